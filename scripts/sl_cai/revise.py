"""Critique and revise first responses according to principles of the constitution.

Reads {"id", "prompt", "response"}, writes {"id", "prompt", "response", "rounds": [{"round",
"principle", "critique", "revision"}], "revision"}; the last field is the last round's revision.
Which principle a response draws in a round depends on the seed, its id, the round and the ids of
the principles; an edit of a principle's text regenerates only what drew it, and what follows.
"""

import argparse

from cai.asking.program import (
    add_few_shot_option,
    add_model_options,
    add_sampling_option,
    parse,
    program,
    read_few_shot,
    read_principles,
)
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.steps.critique import Revising, ToRevise, revise


def main() -> None:
    """Read the command line and revise."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Go through the rounds, write the revisions."""
    how = Revising(
        principles=read_principles(options.principles, "supervised"),
        few_shot=read_few_shot(options.few_shot),
        rounds=options.rounds,
        critique=options.critique_sampling,
        revision=options.revision_sampling,
        seed=options.seed,
        direct=options.direct,
        keep_unfinished=options.keep_unfinished,
    )
    ledger = Ledger("revise")
    records = run.records(options, ToRevise)
    with run.model(options) as model:
        rows = run.spooled(revise(model, records, how, ledger), options)
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "first responses (sl_cai/responses/*.jsonl)")
    parser.add_argument(
        "--principles",
        nargs="+",
        required=True,
        metavar="PRINCIPLE",
        help="a constitution's file, or JSON objects {id, critique, revision}",
    )
    add_few_shot_option(parser)
    parser.add_argument(
        "--rounds", type=cli.positive, default=1, help="rounds of critique and revision"
    )
    for what in ("critique", "revision"):
        add_sampling_option(parser, f"how a {what} is sampled", f"--{what}-sampling")
    parser.add_argument(
        "--direct", action="store_true", help="ask for the revision at once, without a critique"
    )
    parser.add_argument(
        "--keep-unfinished",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="keep revisions that were cut at max_tokens (default: drop them)",
    )
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
