#!/usr/bin/env python
"""Ask the judge about comparisons of which the better answer is known.

Reads {"id", "set", "prompt", "chosen", "rejected"}, writes {"id", "set", "principle", "p_chosen",
"judge"}; p_chosen is the probability that the judge gives to the better answer, and so are those
by principle.
"""

import argparse

from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.evaluation.public_sets import KnownComparison, candidates
from cai.files.records import Ledger, Record
from cai.judging.judge import add_judge_options, judge
from cai.judging.pairs import Preference


def main() -> None:
    """Read the command line and judge."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Judge, write how probable the better answer was found."""
    ledger = Ledger("judge_comparisons")
    rows = {row["id"]: row for row in run.records(options, KnownComparison)}
    judged = judge(candidates(rows.values()), options, ledger, run)
    known = [_known(rows[verdict["id"]], verdict) for verdict in judged]
    run.conclude(known, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "comparisons (evaluation/sets/*.jsonl)")
    add_judge_options(parser)
    add_model_options(parser, required=False)
    return parser


def _known(row: KnownComparison, verdict: Preference) -> Record:
    a_is_better = verdict["a"] == row["chosen"]
    p_a, by = verdict["p_a"], verdict["judge"].get("by_principle", {})
    judge = verdict["judge"]
    if by:
        of_chosen = {name: p if a_is_better else 1 - p for name, p in by.items()}
        judge = {**judge, "by_principle": of_chosen}
    label = {"principle": verdict["principle"], "p_chosen": p_a if a_is_better else 1 - p_a}
    return {"id": row["id"], "set": row["set"], **label, "judge": judge}


if __name__ == "__main__":
    cli.run(main)
