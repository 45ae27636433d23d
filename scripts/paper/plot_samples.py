#!/usr/bin/env python
"""Write the appendix's tables: samples of each stage, or chains of critiques and revisions."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.figures.options import figure_options
from cai.figures.samples import draw_answers, draw_chains
from cai.files.records import read_records
from cai.steps.answers import Answered
from cai.steps.critique import Chain


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--answers", type=cli.existing_file, nargs="+", help="named by the model, in order"
    )
    which.add_argument("--chains", type=cli.existing_file, help="of revise.py")
    parser.add_argument("--options", type=figure_options, required=True, help="JSON: seed ...")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    if options.chains:
        artefact = draw_chains(list(read_records(options.chains, Chain)), options.options)
    else:
        answers = {path.stem: list(read_records(path, Answered)) for path in options.answers}
        artefact = draw_answers(answers, options.options)
    artefact.write(options.output)


if __name__ == "__main__":
    cli.run(main)
