#!/usr/bin/env python
"""Look for signs of collapse, reward hacking and leakage in the files of a run.

The warnings are data: they are written and printed, and never end a run.
"""

import argparse
import heapq
from collections.abc import Iterable
from pathlib import Path

from cai.asking.rewards import Scored
from cai.core import cli
from cai.evaluation.warnings import stage_warnings
from cai.evaluation.warnings.answer_checks import answer_checks, by_set, stage_checks, where
from cai.evaluation.warnings.stage_warnings import Check
from cai.files.records import read_json, read_records, uniform, write_json
from cai.steps.critique import Chain

CHAINS = 10000  # so many are checked, drawn by hash


def main() -> None:
    """Read the command line, check, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in {
        "chains": "revisions, with the first responses",
        "answers": "of each model, in the order of the stages",
        "rewards": "of the same models",
    }.items():
        parser.add_argument(f"--{name}", type=cli.existing_file, nargs="*", default=[], help=what)
    parser.add_argument("--summary", type=cli.existing_file, help="of the evaluation")
    parser.add_argument("--leakage", type=cli.existing_file, help="of check_leakage.py")
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap")
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    options = parser.parse_args()
    found = [
        *_revisions(options.chains, options.seed),
        *answer_checks(options.answers, options.seed),
        *_rewards(options.answers, options.rewards),
        *(
            stage_warnings.reward_against_judge(read_json(options.summary))
            if options.summary
            else []
        ),
        *(_leakage(options.leakage) if options.leakage else []),
    ]
    record = stage_warnings.as_record(found)
    write_json(options.output, record)
    for one in record["warnings"]:
        print(f"{one['what']} ({one['weight']}): {one['stage']}: {one['told']} {one['advice']}")
    print(f"{len(record['warnings'])} warnings in {len(found)} checks", flush=True)


def _revisions(paths: Iterable[Path], seed: int) -> list[Check]:
    rows = (row for path in paths for row in read_records(path, Chain) if row["rounds"])
    chains = heapq.nsmallest(CHAINS, rows, key=lambda row: uniform("alarms", row["id"]))
    first = {row["id"]: row["response"] for row in chains}
    last = {row["id"]: row["rounds"][-1]["revision"] for row in chains}
    return stage_checks("Revisions", first, last, seed)


def _rewards(answers: list[Path], rewards: list[Path]) -> list[Check]:
    scores = {
        path.stem: {row["id"]: row["reward"] for row in read_records(path, Scored)}
        for path in rewards
    }
    checks = [
        stage_warnings.reward_and_length(where(path.stem, part), texts, scores.get(path.stem, {}))
        for path in answers
        for part, texts in by_set(path).items()
    ]
    return [check for check in checks if check]


def _leakage(path: Path) -> list[Check]:
    return [stage_warnings.leakage(name, found) for name, found in read_json(path)["sets"].items()]


if __name__ == "__main__":
    cli.run(main)
