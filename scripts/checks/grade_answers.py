#!/usr/bin/env python
"""Let the judge grade a model's answers one by one, by a rubric.

Reads {"id", "prompt", "set", "answer"}, writes {"id", "set", "grades"}: of each scale of the rubric
the grade and the probability of each.
"""

import argparse

from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.judging.judge import add_judge_option, grade
from cai.judging.rubrics import rubric_option
from cai.steps.answers import Answered


def main() -> None:
    """Read the command line and grade."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Ask the judge, write the grades."""
    ledger = Ledger("grade_answers")
    rows = grade(options.rubric, run.records(options, Answered), options, ledger, run)
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "answers (evaluation/xstest/*.jsonl)")
    add_judge_option(parser)
    parser.add_argument(
        "--rubric", type=rubric_option, required=True, metavar="FILE|JSON", help="of the grades"
    )
    add_model_options(parser, required=False)
    return parser


if __name__ == "__main__":
    cli.run(main)
