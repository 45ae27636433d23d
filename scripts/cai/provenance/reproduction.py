"""Compares two equal runs: datasets, answers, the summary, and the models' content."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cai.provenance.manifest import identity

# What holds no results of this run.
ELSEWHERE = ("work", "logs", "benchmarks", "checks", "experiments", "before")
SUFFIXES = (".jsonl", ".nemo")
SUMMARY = Path("evaluation/summary.json")
DIGITS = 16  # of a digest that are shown
MISSING = "missing"


class Compared(NamedTuple):
    """An artefact of two runs, by its name in their folders; a digest of None: it is not there."""

    name: str
    here: str | None
    there: str | None

    @property
    def is_equal(self) -> bool:
        """Whether both have it, with the same content."""
        return self.here is not None and self.here == self.there


def artefacts(folder: Path) -> dict[str, str]:
    """The digests of what a run has made of data and models, by the names in its folder.

    A model's is its identity (:func:`cai.provenance.manifest.identity`): weights, tokenizer,
    architecture. Left out is what describes the run itself: manifests, logs, times, pages.
    """
    inside = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    chosen = [
        path
        for path in inside
        if (path.suffix in SUFFIXES or path == SUMMARY)
        and path.parts[0] not in ELSEWHERE
        and not path.name.startswith(".")
    ]
    return {str(path): identity(folder / path) for path in chosen}


def compare(here: Path, there: Path) -> list[Compared]:
    """All that was made ``there``, beside what is ``here``; more may be here."""
    known = artefacts(here)
    made = artefacts(there)
    return [Compared(name, known.get(name), digest) for name, digest in made.items()]


def table(rows: Sequence[Compared], here: str, there: str) -> list[str]:
    """The lines of an aligned table: artefact, digest here, digest there, equal or not."""
    lines = [["artefact", here, there, ""]]
    for row in rows:
        digests = [(digest or MISSING)[:DIGITS] for digest in (row.here, row.there)]
        lines.append([row.name, *digests, "equal" if row.is_equal else "DIFFERENT"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
