#!/usr/bin/env python
"""Score both answers of comparisons with the reward model, through NeMo-Aligner's server.

Reads {"id", "set", "messages", "chosen", "rejected"}, writes {"id", "set", "chosen", "rejected"}
with the rewards of the two.

    score_comparisons.py [options] --url URL
    score_comparisons.py [options] -- SERVER COMMAND

In the command, FREE_PORT stands for the server's port.
"""

import argparse

from cai.asking.program import parse, program
from cai.asking.rewards import add_reward_model_options
from cai.asking.run import Run
from cai.core import cli
from cai.evaluation.public_sets import KnownComparison, messages_with
from cai.files.records import Ledger, Record


def main() -> None:
    """Read the command line and score."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Score both sides of each comparison."""
    ledger = Ledger("score_comparisons")
    rows: list[Record] = []
    texts: list[str] = []
    with run.reward_model(options) as (model, limit):
        for row in run.read(options.input, KnownComparison):
            ledger.count_in()
            answers = (row["chosen"], row["rejected"])
            pair = [options.template.closed(messages_with(row, each)) for each in answers]
            if all(map(limit.fits, pair)):
                rows.append({"id": row["id"], "set": row["set"]})
                texts += pair
            else:
                ledger.drop("too long for the reward model", record={"id": row["id"]})
        rewards = iter(model.rewards(texts, f"rewards of {options.input.stem}"))
        ledger.notes["usage"] = model.usage.as_dict()
    scored = [{**row, "chosen": next(rewards), "rejected": next(rewards)} for row in rows]
    run.conclude(scored, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "comparisons (evaluation/sets/*.jsonl)")
    add_reward_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
