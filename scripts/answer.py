"""Answers of one model to held-out prompts, for evaluation.

Reads {"id", "prompt", "set"}, writes {"id", "prompt", "set", "answer", "finish"}. Unfinished and
empty answers are kept: they are part of what the model does.
"""

import argparse

from cai import cli
from cai.generation.answers import answer
from cai.generation.program import (
    add_model_options,
    add_sampling_option,
    parse,
    program,
)
from cai.generation.run import Run
from cai.records import Ledger


def main() -> None:
    """Read the command line and answer."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Ask the model, write the answers."""
    ledger = Ledger("answer")
    records = run.records(options)
    with run.model(options) as model:
        rows = [
            {**_known(record), "answer": reply.text, "finish": reply.finish}
            for record, reply in answer(model, records, options.sampling, options.seed, ledger)
        ]
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "prompts, each with its set, such as harmful or helpful")
    add_sampling_option(parser)
    add_model_options(parser)
    return parser


def _known(record: dict) -> dict:
    return {key: record[key] for key in ("id", "prompt", "set")}


if __name__ == "__main__":
    cli.run(main)
