#!/usr/bin/env python
"""Score both answers of comparisons with the reward model, through NeMo-Aligner's server.

Reads {"id", "set", "messages", "chosen", "rejected"}, writes {"id", "set", "chosen", "rejected"}
with the rewards of the two.

    score_comparisons.py [options] --url URL
    score_comparisons.py [options] -- SERVER COMMAND

In the command, FREE_PORT stands for the server's port.
"""

from cai import cli
from cai.evaluation.public_sets import messages_with
from cai.evaluation.rewards import add_reward_model_options, opened_reward_model
from cai.generation.program import conclude, parse, program
from cai.records import Ledger, read_jsonl

SIDES = ("chosen", "rejected")


def main() -> None:
    """Read the command line and score."""
    parser = program(__doc__, "comparisons (evaluation/sets/*.jsonl)")
    add_reward_model_options(parser)
    options = parse(parser)
    ledger = Ledger("score_comparisons")
    rows, texts = [], []
    with opened_reward_model(options) as (reward_model, limit):
        for row in read_jsonl(options.input):
            ledger.count_in()
            pair = [options.template.closed(messages_with(row, row[side])) for side in SIDES]
            if all(map(limit.fits, pair)):
                rows.append({"id": row["id"], "set": row["set"]})
                texts += pair
            else:
                ledger.drop("too long for the reward model", record={"id": row["id"]})
        rewards = iter(reward_model.rewards(texts, f"rewards of {options.input.stem}"))
    scored = ({**row, "chosen": next(rewards), "rejected": next(rewards)} for row in rows)
    conclude(scored, ledger, options)


if __name__ == "__main__":
    cli.run(main)
