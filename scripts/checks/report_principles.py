#!/usr/bin/env python
"""Report what each principle does (draws, edits, opinions, disagreements), and draw it.

Reads revisions (sl_cai/revisions/*.jsonl), judged comparisons (rl_cai/preferences/*.jsonl) and, if
there are any, chains whose texts are scored (--scored), with the rewards: {"id": "ID.ROUND",
"reward"}, round 0 being the first response.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from cai.asking.rewards import Scored
from cai.core import cli
from cai.core.errors import fail_if
from cai.evaluation import principles
from cai.figures.public_figures import write_figure
from cai.figures.refusals_and_principles import draw_principles
from cai.files.records import Row, read_records
from cai.judging.pairs import Judged, Preference
from cai.steps.critique import Chain

ALONE = "each comparison was asked under one principle (judges.*.principles_per_comparison)"


def main() -> None:
    """Read the command line, count, draw."""
    options = _parser().parse_args()
    scores = {_place(row["id"]): row["reward"] for row in _rows(options.scores, Scored)}
    supervised = principles.supervised(
        principles.edits(_rows(options.chains, Chain)),
        options.seed,
        principles.edits(_rows(options.scored, Chain), scores),
    )
    preference = principles.preference(_rows(options.preferences, Preference), options.seed)
    disagreements = principles.disagreements(
        _rows([*options.preferences, *options.together], Judged)
    )
    missing = {} if scores else {"reward": "no rewards of the chains' texts were given"}
    if not preference:
        missing["preference"] = "the judge is not asked under single principles"
    if not disagreements:
        missing["disagreements"] = ALONE
    record = {
        "title": "What each principle does",
        "method": "Edits: Levenshtein's distance over the longer text's length. An opinion: a "
        f"probability at least {principles.OPINION:g} away from one half. Means have bootstrap "
        "intervals, shares Wilson's.",
        "supervised": supervised,
        "preference": preference,
        "disagreements": disagreements,
        "unsupported": [{"what": what, "why": why} for what, why in missing.items()],
    }
    write_figure(options.output, draw_principles(record), record)
    for name, found in supervised.items():
        edit = found["edit"]
        print(f"{name}: drawn {found['drawn']}, edits {edit['value']:.0%} of a text", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("chains", "preferences"):
        parser.add_argument(f"--{name}", type=cli.existing_file, nargs="+", required=True)
    for name, what in {
        "scored": "chains whose texts are scored",
        "scores": "rewards of their texts",
        "together": "comparisons judged under several principles each",
    }.items():
        parser.add_argument(f"--{name}", type=cli.existing_file, nargs="*", default=[], help=what)
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    return parser


def _rows(paths: Sequence[Path], kind: type[Row]) -> Iterator[Row]:
    return (row for path in paths for row in read_records(path, kind))


def _place(name: str) -> tuple[str, int]:
    """The record and the round that a text's id names."""
    record, _, number = name.rpartition(".")
    fail_if(not number.isdecimal(), f"--scores: expected ids ID.ROUND, found {name!r}")
    return record, int(number)


if __name__ == "__main__":
    cli.run(main)
