#!/usr/bin/env python
"""Choose the candidate of each prompt that the reward model scores highest, to train on it.

Reads {"id", "prompt", "candidates": [{"text"}]}, writes {"id", "prompt", "revision", "reward",
"rewards"}: the best answer, under the name that the SFT set is made from.

    choose_answers_to_train_on.py [options] --url URL
    choose_answers_to_train_on.py [options] -- SERVER COMMAND

In the command, FREE_PORT stands for the server's port.
"""

import argparse

from cai.asking.program import parse, program
from cai.asking.rewards import add_reward_model_options
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.steps.best_answers import choose_best
from cai.steps.candidates import Candidates


def main() -> None:
    """Read the command line and choose."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Score all candidates, write the best ones."""
    ledger = Ledger("choose_answers_to_train_on")
    records = list(run.records(options, Candidates))
    with run.reward_model(options) as (model, limit):
        what = f"rewards of {options.input.stem}"
        rows = list(choose_best(records, model, options.template, limit, ledger, what))
        ledger.notes["usage"] = model.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "candidates (rl_cai/candidates/*.jsonl)")
    add_reward_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
