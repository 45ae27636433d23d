"""Make the human comparisons of helpfulness, train and test, in the chat template's text form."""

import argparse

from cai.core import cli
from cai.data.comparisons import PreferenceFiles
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.splits import HeldOut, SplitOptions
from cai.models.templates import Template
from cai.models.tokens import LengthLimit
from cai.provenance.manifest import record
from cai.settings.sources import Source


def main() -> None:
    """Read the options and make the four files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=cli.json_option(Source), nargs="+", help="JSON of each")
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    PreferenceFiles.add_options(parser)
    HeldOut.add_options(parser)
    LengthLimit.add_options(parser, "comparison")
    cli.add_options(parser, SplitOptions)
    options = parser.parse_args()
    ledger = prepare_helpful_preferences(
        options.sources,
        PreferenceFiles.from_options(options),
        options.template,
        LengthLimit.from_options(options, add_bos=options.template.add_bos),
        cli.read_options(SplitOptions, options),
        HeldOut.from_options(options),
    )
    record(options, *PreferenceFiles.names(), ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
