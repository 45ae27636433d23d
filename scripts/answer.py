"""Answers of one model to held-out prompts, for evaluation.

Reads {"id", "prompt", "set"}, writes {"id", "prompt", "set", "answer", "finish"}. Unfinished and
empty answers are kept: they are part of what the model does. With --temperatures there are several
answers to a prompt, also with "prompt_id" and "temperature"; their ids are numbered.
"""

import argparse

from cai import cli
from cai.generation.answers import answer, answers_at
from cai.generation.program import (
    add_model_options,
    add_sampling_option,
    conclude,
    opened_model,
    parse,
    program,
    records_of_shard,
)
from cai.records import Ledger


def main() -> None:
    """Read the options, ask the model, write the answers."""
    options = parse(_parser())
    ledger = Ledger("answer")
    records = [_known(record) for record in records_of_shard(options)]
    sampling, seed = options.sampling, options.seed
    with opened_model(options) as model:
        if options.temperatures is None:
            replies = answer(model, records, sampling, seed, ledger)
        else:
            replies = answers_at(options.temperatures, model, records, sampling, seed, ledger)
        rows = [
            {**record, "answer": reply.text, "finish": reply.finish} for record, reply in replies
        ]
    conclude(rows, ledger, options)


def _known(record: dict) -> dict:
    return {key: record[key] for key in ("id", "prompt", "set")}


def _parser() -> argparse.ArgumentParser:
    parser = program(__doc__, "prompts, each with its set, such as harmful or helpful")
    add_sampling_option(parser)
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        metavar="T",
        help="temperature of each of several answers to a prompt, such as 1 1 1 0; 0 is greedy "
        "(default: one answer, as --sampling says)",
    )
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
