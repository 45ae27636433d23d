"""Judge candidates: which of two answers the constitution prefers, and how clearly.

Reads {"id", "prompt", "candidates": [{"temperature", "text"}]}, writes {"id", "prompt", "a", "b",
"principle", "p_a", "judge"}: p_a is the probability that a is better than b. "judge" holds its
kind, whether it is a tie, what p_a is the mean of: by_order (a shown first, then b shown first) and
by_principle, and one reasoning if there was any. Beside the output go a ledger, which keeps the
answers of the judge that cannot be read, and a *.report.json: agreement of orders and principles,
confidence, ties, failures, dependence on the candidates' temperatures, requests and tokens.
"""

import argparse

from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.judging.judge import add_judge_options, judge
from cai.judging.label_report import judge_report
from cai.steps.candidates import Candidates


def main() -> None:
    """Read the command line and judge."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Judge, write the preferences and the report."""
    ledger = Ledger("judge")
    records = run.records(options, Candidates)
    rows = judge(records, options, ledger, run)
    run.conclude(rows, ledger, options, judge_report(rows, ledger, records))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "candidates (rl_cai/candidates/*.jsonl)")
    add_judge_options(parser)
    add_model_options(parser, required=False)
    return parser


if __name__ == "__main__":
    cli.run(main)
