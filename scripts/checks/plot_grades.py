#!/usr/bin/env python
"""Draw which grades the judge gave to each model's answers, with its agreement with the phrases.

Reads {"id", "set", "grades"} and the answers {"id", "set", "answer"} that were graded. What is
missing (--missing) is named; where nothing was graded, the figure says why.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.evaluation import grades, refusals
from cai.evaluation.prompt_sets import by_model
from cai.figures.options import add_fact_options
from cai.figures.public_figures import nothing, write_figure
from cai.figures.refusals_and_principles import draw_refusals
from cai.files.records import Record
from cai.judging.rubrics import rubric_option
from cai.statistics.intervals import LEVEL


def main() -> None:
    """Read the command line, count, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--graded", type=cli.existing_file, nargs="*", default=[], help="SET/MODEL.grades.jsonl"
    )
    parser.add_argument(
        "--answers", type=cli.existing_file, nargs="*", default=[], help="SET/MODEL.jsonl"
    )
    parser.add_argument("--rubric", type=rubric_option, metavar="FILE|JSON", help="of the grades")
    add_fact_options(parser)
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    record = _record(options)
    if not record["shares"]:
        drawing, record = nothing(record)
    else:
        drawing = draw_refusals(record)
    write_figure(options.output, drawing, record)
    print(drawing.description, flush=True)


def _record(options: argparse.Namespace) -> Record:
    graded = by_model(options.graded, grades.GradesOf)
    answers = by_model(options.answers, refusals.Told)
    rubric = options.rubric
    shares, changes = refusals.measured(graded, grades.measures(rubric)) if graded else ([], [])
    agreement = grades.agreement(rubric, graded, answers) if graded else []
    said = "; ".join(map(grades.agreement_in_words, agreement))
    agrees = {"phrases of refusal and judge, Cohen's kappa": said} if said else {}
    return {
        "title": "Answers graded by the judge",
        "method": "The run's judge chooses a grade for each answer on each scale of the rubric. "
        "Answers that it gives no readable grade are left out and counted in the ledgers. Kappa is "
        "1 where the phrases of refusal agree with the judge, 0 where they agree as by chance.",
        "intervals": f"{LEVEL:.0%}: Wilson's of shares, the large-sample one of kappa",
        "settings": {**options.facts, **agrees},
        "shares": shares,
        "changes": changes,
        "agreement": agreement,
        "unsupported": [{"what": what, "why": why} for what, why in options.missing.items()],
    }


if __name__ == "__main__":
    cli.run(main)
