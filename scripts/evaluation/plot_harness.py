#!/usr/bin/env python
"""Draw what lm-evaluation-harness has measured of each model, with intervals."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.evaluation import harness
from cai.figures.public_figures import nothing, write_figure
from cai.figures.refusals_and_principles import draw_refusals
from cai.files.records import Record, read_json
from cai.statistics.intervals import LEVEL


def main() -> None:
    """Read the command line, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    found = [read_json(path) for path in options.results]
    models = {row["model"]: row["tasks"] for row in found}
    record: Record = {
        "title": "lm-evaluation-harness",
        "method": "Tasks of lm-evaluation-harness, asked of each model through an endpoint, in the "
        "model's own chat template.",
        "intervals": f"{LEVEL:.0%}: Wilson's of shares of yes and no; else by the standard error",
        "shares": harness.shares_of(models),
        "tasks": models,
        "unsupported": [],
    }
    if record["shares"]:
        drawing = draw_refusals(record)
    else:
        why = {"what": "shares", "why": "no metric is a share with a standard error; see the JSON"}
        drawing, record = nothing({**record, "unsupported": [why]})
    write_figure(options.output, drawing, record)
    print(drawing.description, flush=True)


if __name__ == "__main__":
    cli.run(main)
