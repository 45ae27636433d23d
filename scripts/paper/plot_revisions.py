#!/usr/bin/env python
"""Draw how responses change when they are revised again and again (Fig. 5, 6, 7)."""

import argparse
from pathlib import Path
from typing import Any

from cai.asking.rewards import Scored
from cai.core import cli
from cai.figures.chains import RoundText, by_round
from cai.figures.options import figure_options
from cai.figures.revisions import FIGURES, Chain
from cai.files.records import ledger_path, read_json, read_jsonl, read_records
from cai.steps import critique


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", choices=FIGURES, required=True)
    files: dict[str, Any] = {"type": cli.existing_file, "nargs": "+", "required": True}
    parser.add_argument("--chains", **files, help="of revise.py, in the order of the figure")
    parser.add_argument("--texts", **files, help="of chain_texts.py, named as the chains")
    parser.add_argument("--rewards", **files, help="of the texts: MODEL/CHAIN.jsonl")
    parser.add_argument(
        "--truth", type=cli.existing_file, nargs="*", default=[], help="of the texts, if known"
    )
    parser.add_argument(
        "--principles", type=cli.positive, required=True, help="how many the constitution has"
    )
    parser.add_argument("--options", type=figure_options, required=True, help="JSON: seed ...")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    texts = {path.stem: list(read_records(path, RoundText)) for path in options.texts}
    chains = [_chain(path, texts[path.stem], options) for path in options.chains]
    records = {path.stem: list(read_records(path, critique.Chain)) for path in options.chains}
    told = options.options | {
        "principles": options.principles,
        "drawn": {name: _drawn(rows) for name, rows in records.items()},
        "critiques": {name: _critiques(rows) for name, rows in records.items()},
    }
    FIGURES[options.figure](chains, told).write(options.output)


def _chain(path: Path, rows: list[RoundText], options: argparse.Namespace) -> Chain:
    name = path.stem
    scores = {
        rewards.parent.name: by_round(
            rows, {row["id"]: row["reward"] for row in read_records(rewards, Scored)}
        )
        for rewards in options.rewards
        if rewards.stem == name
    }
    truth = [
        by_round(rows, {row["id"]: row["harmless"] for row in read_jsonl(file)})
        for file in options.truth
        if file.stem == name
    ]
    ledger = read_json(ledger_path(path))
    return Chain(
        name,
        by_round(rows, {row["id"]: row["answer"] for row in rows}),
        scores,
        truth[0] if truth else None,
        ledger["in"] - ledger["out"],
    )


def _drawn(rows: list[critique.Chain]) -> list[str]:
    """The principles that a chain has drawn."""
    return sorted({step["principle"] for row in rows for step in row["rounds"]})


def _critiques(rows: list[critique.Chain]) -> list[str]:
    """The critiques of the last round."""
    found = [row["rounds"][-1]["critique"] for row in rows]
    return [text for text in found if text is not None]


if __name__ == "__main__":
    cli.run(main)
