"""Compare two models by their answers to the same prompts: how often the first one's is better.

Reads two files of {"id", "prompt", "set", "answer"}, writes {"id", "prompt", "set", "first",
"second", "p_first", "judge"} and, beside it, OUTPUT.report.json with the first model's win rate in
each set and the judge's report. Equal answers count as half a win and are not judged.
"""

import argparse

from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.judging.judge import add_judge_options, judge
from cai.judging.label_report import judge_report
from cai.judging.win_rates import paired, scored, to_judge, win_rates
from cai.steps.answers import Answered


def main() -> None:
    """Read the command line and judge."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Judge the pairs, write them and the win rates."""
    ledger = Ledger("judge_answers")
    pairs = paired(
        list(run.records(options, Answered)), list(run.read(options.against, Answered)), ledger
    )
    judged = list(judge(to_judge(pairs), options, ledger, run))
    rows = scored(pairs, judged, ledger)
    report = {"sets": win_rates(rows), "judge": judge_report(judged, ledger)}
    run.conclude(rows, ledger, options, report)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "answers of the first model (evaluation/answers/*.jsonl)")
    parser.add_argument(
        "--against",
        type=cli.existing_file,
        required=True,
        metavar="FILE",
        help="answers of the second model",
    )
    add_judge_options(parser)
    add_model_options(parser, required=False)
    return parser


if __name__ == "__main__":
    cli.run(main)
