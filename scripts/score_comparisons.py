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
from cai.evaluation.rewards import RewardModel
from cai.generation.program import add_server_options, conclude, opened_server, parse, program
from cai.manifest import identity
from cai.records import Ledger, read_jsonl
from cai.templates import Template
from cai.tokens import LengthLimit, Tokenizer

SIDES = ("chosen", "rejected")


def main() -> None:
    """Read the command line and score."""
    parser = program(__doc__, "comparisons (evaluation/sets/*.jsonl)")
    parser.add_argument(
        "--model", type=cli.existing_file, required=True, help=".nemo of the reward model"
    )
    parser.add_argument(
        "--template",
        type=cli.json_option(Template),
        required=True,
        help="JSON of the comparisons' template",
    )
    add_server_options(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="texts of a request")
    parser.add_argument("--max-tokens", type=int, help="sequence length of the reward model")
    options = parse(parser)
    tokenizer = Tokenizer(options.model) if options.max_tokens else None
    limit = LengthLimit(tokenizer, options.max_tokens, add_bos=options.template.add_bos)
    ledger = Ledger("score_comparisons")
    rows, texts = [], []
    for row in read_jsonl(options.input):
        ledger.count_in()
        pair = [options.template.closed(messages_with(row, row[side])) for side in SIDES]
        if all(map(limit.fits, pair)):
            rows.append({"id": row["id"], "set": row["set"]})
            texts += pair
        else:
            ledger.drop("too long for the reward model", record={"id": row["id"]})
    with opened_server(options) as (served, journal):
        model = RewardModel(served, journal, identity(options.model), options.batch_size)
        rewards = iter(model.rewards(texts, f"rewards of {options.input.stem}"))
    scored = ({**row, "chosen": next(rewards), "rejected": next(rewards)} for row in rows)
    conclude(scored, ledger, options)


if __name__ == "__main__":
    cli.run(main)
