"""Write the run's datasets as Parquet, in the forms that TRL, OpenRLHF and NeMo-RL load."""

import argparse
from pathlib import Path

from cai.asking.program import read_principles
from cai.core import cli
from cai.data.comparisons import PreferenceFiles
from cai.data.export.export_card import card
from cai.data.export.export_files import Sources, export
from cai.files.records import write_text
from cai.models.templates import Template
from cai.provenance.manifest import record


def main() -> None:
    """Read the options and make the datasets and their card."""
    parser = argparse.ArgumentParser(description=__doc__)
    for part in ("train", "validation"):
        parser.add_argument(f"--sft-{part}", type=Path, required=True, help=".jsonl")
    PreferenceFiles.add_options(parser)
    parser.add_argument("--preferences", type=Path, nargs="+", required=True, help="all shards")
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    parser.add_argument("--principles", nargs="+", required=True, metavar="JSON", help="or a file")
    parser.add_argument("--made-from", nargs="*", default=[], metavar="TEXT", help="for the card")
    parser.add_argument(
        "--card", type=Path, required=True, help="output: README.md, in the folder of the datasets"
    )
    options = parser.parse_args()
    sources = Sources(
        options.sft_train,
        options.sft_validation,
        PreferenceFiles.from_options(options),
        options.preferences,
    )
    ledgers = export(sources, options.card.parent, options.template)
    principles = read_principles(options.principles, "preference")
    texts = {name: texts["preference"] for name, texts in principles.items()}
    write_text(options.card, card(ledgers, texts, options.made_from))
    record(options, "card", what="export")


if __name__ == "__main__":
    cli.run(main)
