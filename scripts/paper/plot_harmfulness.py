#!/usr/bin/env python
"""Fit ratings of harm and draw the score of each policy's answers (Fig. 10)."""

import argparse
from pathlib import Path
from typing import Any

from cai.core import cli
from cai.figures import harmfulness
from cai.figures.drawing import read_metrics
from cai.figures.options import figure_options
from cai.files.records import read_jsonl


def main() -> None:
    """Read the command line, fit and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    files: dict[str, Any] = {"type": cli.existing_file, "nargs": "+", "required": True}
    parser.add_argument("--samples", **files, help="answers, named by the policy, in order")
    parser.add_argument("--ratings", type=cli.existing_file, required=True)
    parser.add_argument("--rewards", **files, help="of the answers, and of the ratings")
    parser.add_argument(
        "--truth", type=cli.existing_file, nargs="*", default=[], help="of the answers, if known"
    )
    parser.add_argument("--metrics", type=cli.existing_file, required=True, help="of PPO, .csv")
    parser.add_argument("--options", type=figure_options, required=True, help="JSON: seed ...")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    harmfulness.draw(
        {path.stem: list(read_jsonl(path)) for path in options.samples},
        list(read_jsonl(options.ratings)),
        {path.stem: _column(path, "reward") for path in options.rewards},
        {path.stem: _column(path, "harmless") for path in options.truth},
        read_metrics(options.metrics),
        options.options,
    ).write(options.output)


def _column(path: Path, field: str) -> dict[str, Any]:
    return {row["id"]: row[field] for row in read_jsonl(path)}


if __name__ == "__main__":
    cli.run(main)
