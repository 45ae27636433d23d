#!/usr/bin/env python
"""Rated transcripts, for a regression of how harmful an answer is (Fig. 10).

Reads red-team transcripts with a "rating" from 0 to 4, as Anthropic's; writes the first exchange of
each: {"id", "prompt_id", "prompt", "answer", "rating", "part"}.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.ratings import prepare_ratings
from cai.data.splits import SplitOptions
from cai.models.tokens import LengthLimit
from cai.provenance.manifest import record
from cai.settings.sources import Source


def main() -> None:
    """Read the options and prepare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=cli.json_option(Source), required=True, help="JSON: source, revision ..."
    )
    parser.add_argument("--output", type=Path, required=True)
    cli.add_options(parser, SplitOptions)
    LengthLimit.add_options(parser, "exchange")
    options = parser.parse_args()
    ledger = prepare_ratings(
        options.source,
        options.output,
        LengthLimit.from_options(options),
        cli.read_options(SplitOptions, options),
    )
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
