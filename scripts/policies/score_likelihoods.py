#!/usr/bin/env python
"""Ask a model how probable it finds given answers: log-probabilities, for KL divergences.

Reads {"id", "prompt", "answer", "finish"}, writes {"id", "log_probability", "tokens"}.
"""

import argparse

from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.steps.answers import Answer
from cai.steps.likelihoods import likelihoods


def main() -> None:
    """Read the command line and score."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Score all answers, write the log-probabilities."""
    ledger = Ledger("score_likelihoods")
    records = run.records(options, Answer)
    with run.model(options, counts=True) as model:
        rows = likelihoods(model, records, ledger, f"likelihoods of {options.input.stem}")
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "answers (evaluation/answers/*.jsonl)")
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
