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
from cai.evaluation.tables import label, stages
from cai.evaluation.warnings import stage_warnings
from cai.evaluation.warnings.stage_warnings import Check, Texts
from cai.files.records import read_json, read_records, uniform, write_json
from cai.steps.answers import Answered
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
        *_answers(options.answers, options.seed),
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
    return _stage("Revisions", first, last, seed)


def _answers(paths: list[Path], seed: int) -> list[Check]:
    """Each model's answers, by set of prompts, against those of the model before."""
    models = {path.stem: _by_set(path) for path in paths}
    return [
        check
        for before, name in stages(list(models))
        for part, after in models[name].items()
        for check in _stage(_where(name, part), models[before].get(part, {}), after, seed)
    ]


def _stage(stage: str, before: Texts, after: Texts, seed: int) -> list[Check]:
    phrase = stage_warnings.boilerplate(stage, before, after, seed)
    return [*stage_warnings.collapse(stage, before, after, seed), *([phrase] if phrase else [])]


def _rewards(answers: list[Path], rewards: list[Path]) -> list[Check]:
    scores = {
        path.stem: {row["id"]: row["reward"] for row in read_records(path, Scored)}
        for path in rewards
    }
    checks = [
        stage_warnings.reward_and_length(_where(path.stem, part), texts, scores.get(path.stem, {}))
        for path in answers
        for part, texts in _by_set(path).items()
    ]
    return [check for check in checks if check]


def _by_set(path: Path) -> dict[str, dict[str, str]]:
    sets: dict[str, dict[str, str]] = {}
    for row in read_records(path, Answered):
        sets.setdefault(row["set"], {})[row["id"]] = row["answer"]
    return sets


def _where(model: str, part: str) -> str:
    return f"{label(model)}: {part} prompts"


def _leakage(path: Path) -> list[Check]:
    return [stage_warnings.leakage(name, found) for name, found in read_json(path)["sets"].items()]


if __name__ == "__main__":
    cli.run(main)
