#!/usr/bin/env python
"""Fit Elo ratings of harmlessness and of helpfulness to matches between policies (Fig. 2, 8)."""

import argparse
from pathlib import Path
from typing import Any

from cai.core import cli
from cai.figures import elo_scores
from cai.figures.drawing import read_metrics
from cai.figures.options import figure_options
from cai.files.records import read_jsonl, write_json
from cai.judging.matches import judged_matches, scored_matches, true_matches
from cai.statistics.elo import Match

MEASURE = {"harmful": "harmlessness", "helpful": "helpfulness"}
OUTCOME = {"harmlessness": ("harmful", "harmless"), "helpfulness": ("helpful", "helpful")}


def main() -> None:
    """Read the command line, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    files: dict[str, Any] = {"type": cli.existing_file, "nargs": "*", "default": []}
    parser.add_argument(
        "--policies",
        **{**files, "nargs": "+"},
        help="answers of each policy, named by it, in order",
    )
    for name, what in (
        ("first", "first sides of matches, such as harmful.first.jsonl"),
        ("second", "their second sides"),
        ("judged", "what the judge said of them"),
        ("rewards", "rewards of the answers by a model of helpfulness, named by the policy"),
        ("truth", "what a classifier says of the answers, named by the policy"),
    ):
        parser.add_argument(f"--{name}", **files, help=what)
    parser.add_argument("--metrics", type=cli.existing_file, required=True, help="of PPO, .csv")
    parser.add_argument("--dpo-metrics", **files, help="of DPO, if it is among the policies")
    parser.add_argument("--judge", required=True, help="the kind of the judge")
    parser.add_argument("--options", type=figure_options, required=True, help="JSON: seed ...")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    policies = [path.stem for path in options.policies]
    matches: dict[str, dict[str, list[Match]]] = {measure: {} for measure in MEASURE.values()}
    for sides in zip(options.first, options.second, options.judged, strict=True):
        measure = MEASURE[sides[0].name.split(".")[0]]
        matches[measure]["judge"] = judged_matches(*map(read_jsonl, sides))
    helpful = {row["id"] for row in read_jsonl(options.policies[0]) if row["set"] == "helpful"}
    if options.rewards:
        rewards = {path.stem: _rewards(path, helpful) for path in options.rewards}
        matches["helpfulness"]["reward_model"] = scored_matches(rewards)
    if options.truth:
        for measure, (part, field) in OUTCOME.items():
            outcomes = {path.stem: _outcomes(path, part, field) for path in options.truth}
            matches[measure]["classifier"] = true_matches(outcomes)
    dpo = read_metrics(options.dpo_metrics[0]) if options.dpo_metrics else None
    fitted = elo_scores.fit(
        policies, matches, read_metrics(options.metrics), options.judge, options.options, dpo
    )
    write_json(options.output, fitted)


def _rewards(path: Path, ids: set[str]) -> dict[str, float]:
    return {row["id"]: row["reward"] for row in read_jsonl(path) if row["id"] in ids}


def _outcomes(path: Path, part: str, field: str) -> dict[str, bool]:
    return {row["id"]: row[field] for row in read_jsonl(path) if row["set"] == part}


if __name__ == "__main__":
    cli.run(main)
