"""Make the helpful dialogues of the SFT blend."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.helpful_sft import prepare_helpful_sft
from cai.provenance.manifest import record
from cai.settings.sources import ReadOptions, Source


def main() -> None:
    """Read the options and make the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=cli.json_option(Source), required=True, help="JSON")
    parser.add_argument("--output", type=Path, required=True)
    cli.add_options(parser, ReadOptions)
    options = parser.parse_args()
    limits = cli.read_options(ReadOptions, options)
    ledger = prepare_helpful_sft(options.source, options.output, limits)
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
