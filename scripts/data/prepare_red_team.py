"""Make the red-team prompts, train and test, from transcripts."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.red_team import prepare_red_team
from cai.data.splits import HeldOut, SplitOptions
from cai.models.own_template import resolved, template_option
from cai.models.tokens import LengthLimit
from cai.provenance.manifest import record
from cai.settings.sources import Source


def main() -> None:
    """Read the options and make the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=cli.json_option(Source), required=True, help="JSON")
    parser.add_argument("--train", type=Path, required=True, help="output")
    parser.add_argument("--test", type=Path, required=True, help="output, the held-out prompts")
    parser.add_argument(
        "--template",
        type=template_option,
        nargs="*",
        default=[],
        help="each in which models see the prompts, JSON or auto (that of the --tokenizer's "
        "model): none may hold a mark of it",
    )
    HeldOut.add_options(parser)
    LengthLimit.add_options(parser, "prompt")
    cli.add_options(parser, SplitOptions)
    options = parser.parse_args()
    options.template = [resolved(template, options.tokenizer) for template in options.template]
    ledger = prepare_red_team(
        options.source,
        {"train": options.train, "test": options.test},
        LengthLimit.from_options(options),
        cli.read_options(SplitOptions, options),
        options.template,
        HeldOut.from_options(options),
    )
    record(options, "train", "test", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
