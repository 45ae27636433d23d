#!/usr/bin/env python
"""Measure over-refusal and evasiveness by phrases of refusal, and draw them.

Reads answers {"id", "set", "answer"} of each model, in the order of the stages, to the held-out
prompts and, if there are any, to sets of safe and unsafe ones. What a classifier knows (--truth) is
shown beside it.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.evaluation import refusals
from cai.evaluation.prompt_sets import by_model
from cai.figures.options import add_missing_option
from cai.figures.public_figures import write_figure
from cai.figures.refusals_and_principles import draw_refusals
from cai.files.records import Record, read_records


def main() -> None:
    """Read the command line, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument(
        "--to-sets", type=cli.existing_file, nargs="*", default=[], help="SET/MODEL.jsonl"
    )
    parser.add_argument("--truth", type=cli.existing_file, nargs="*", default=[])
    add_missing_option(parser)
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    answers = {path.stem: list(read_records(path, refusals.Told)) for path in options.answers}
    to_sets = by_model(options.to_sets, refusals.Told)
    truth = {path.stem: list(read_records(path, refusals.Known)) for path in options.truth}
    shares, changes = refusals.measured(answers)
    more = refusals.measured(to_sets)
    record: Record = {
        "title": "Refusals and evasions, by their words",
        "method": refusals.HEURISTIC,
        "shares": shares + more[0],
        "changes": changes + more[1],
        "agrees_with_classifier": refusals.against_truth(
            {name: (rows, truth[name]) for name, rows in answers.items() if name in truth}
        ),
        "unsupported": [{"what": what, "why": why} for what, why in options.missing.items()],
    }
    write_figure(options.output, draw_refusals(record), record)
    for row in record["shares"]:
        print(f"{row['label']}, {row['set']}: {row['value']:.1%} {row['measure']} of {row['n']}")


if __name__ == "__main__":
    cli.run(main)
