#!/usr/bin/env python
"""Write the card of an exported model: README.md in its folder.

It says what the model is made of, under which licences, how it was evaluated, and how to ask it.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.files.records import write_text
from cai.lineage.model_card import card, read_licences
from cai.lineage.trace import trace
from cai.models.templates import Template


def main() -> None:
    """Read the command line and write the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=cli.existing_file, required=True, help="its .nemo")
    parser.add_argument(
        "--measured",
        type=cli.existing_file,
        required=True,
        help="its evaluation: Markdown, or the metrics of its training (CSV)",
    )
    parser.add_argument("--licences", type=cli.existing_file, required=True, help="YAML")
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    parser.add_argument("--output", type=Path, required=True, help="README.md, in the folder")
    options = parser.parse_args()
    licences = read_licences(options.licences)
    lineage = trace(options.model)
    text = card(options.model.stem, lineage, licences, options.template, options.measured)
    write_text(options.output, text)


if __name__ == "__main__":
    cli.run(main)
