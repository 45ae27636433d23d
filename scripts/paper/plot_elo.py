#!/usr/bin/env python
"""Draw Elo ratings: against each other (Fig. 2), or over RL training (Fig. 8)."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.figures.elo_scores import draw_frontier, draw_training
from cai.files.records import read_json

FIGURES = {"fig02": draw_frontier, "fig08": draw_training}


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elo", type=cli.existing_file, required=True, help="of fit_elo.py")
    parser.add_argument("--figure", choices=FIGURES, required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    FIGURES[options.figure](read_json(options.elo)).write(options.output)


if __name__ == "__main__":
    cli.run(main)
