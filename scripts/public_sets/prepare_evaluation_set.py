#!/usr/bin/env python
"""Read a public evaluation set in its published form: comparisons, questions or prompts."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.splits import HeldOut
from cai.evaluation.public_sets import KINDS, prepare_set
from cai.provenance.manifest import record
from cai.settings.sources import Source


def main() -> None:
    """Read the command line and write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="the form of its records")
    parser.add_argument(
        "--source", type=cli.json_option(Source), required=True, help="JSON of where it comes from"
    )
    parser.add_argument("--output", type=Path, required=True, help="records; a ledger beside")
    parser.add_argument("--seed", type=int, default=1234, help="of the order")
    parser.add_argument("--limit", type=cli.positive, help="most records")
    parser.add_argument("--max-bad-share", type=float, default=0.05)
    parser.add_argument(
        "--trained-on",
        type=Path,
        nargs="*",
        default=[],
        help="training data: its prompts are left out",
    )
    options = parser.parse_args()
    ledger = prepare_set(
        options.kind,
        options.source,
        options.output,
        seed=options.seed,
        limit=options.limit,
        max_bad_share=options.max_bad_share,
        trained_on=HeldOut(options.trained_on),
    )
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
