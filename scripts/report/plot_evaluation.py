#!/usr/bin/env python
"""Draw the evaluation: harmlessness by category, helpfulness and over-refusal of each stage."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.figures import drawing
from cai.files.records import read_json


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=cli.existing_file, required=True, help="summary.json")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png and .csv are written beside it"
    )
    options = parser.parse_args()
    drawing.draw_evaluation(read_json(options.summary)).write(options.output)


if __name__ == "__main__":
    cli.run(main)
