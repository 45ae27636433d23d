"""What a run took: the time of its jobs, the answers that they asked for, and those they reused."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cai.core.units import duration
from cai.files.records import Record, read_json
from cai.provenance.manifest import SUFFIX
from cai.report.run_facts import jobs as jobs_of
from cai.running.attempts import Entry, read_entries

# Folders in a run's that are not of the run, or have no manifests and perhaps very many files.
OTHERS = {"experiments", "comparisons", "before", "work", "logs", "benchmarks"}
COSTS = "work/journal/*.cost.json"


class Took(NamedTuple):
    """What a run took; None for what no file says.

    Attributes:
        seconds: of its jobs, one after another.
        gpu_hours: of its jobs.
        asked: answers of models and judges that were new.
        reused: answers that journals held already.
    """

    seconds: float | None = None
    gpu_hours: float = 0.0
    asked: int | None = None
    reused: int | None = None

    def __str__(self) -> str:
        """Such as ``2 min 40 s, 1,204 answers, 2,951 reused``; empty where nothing is known."""
        parts = [
            "" if self.seconds is None else duration(self.seconds),
            f"{self.gpu_hours:.2f} GPU-hours" if self.gpu_hours else "",
            "" if self.asked is None else f"{self.asked:,} answers",
            "" if self.reused is None else f"{self.reused:,} reused",
        ]
        return ", ".join(filter(None, parts))


def took(folder: Path, since: datetime | None = None) -> Took:
    """What the files of a run took that are in its folder: those of another that it shares do not
    count.

    Args:
        folder: of the run's results.
        since: jobs that ended before do not count either.
    """
    manifests = [read_json(path) for path in _manifests(folder)]
    jobs = jobs_of([one for one in manifests if _later(one.get("written"), since)])
    asking = [_last(read_entries(path), since) for path in sorted(folder.glob(COSTS))]
    entries = [entry for entries in asking for entry in entries]
    return Took(
        seconds=sum(job["seconds"] for job in jobs) if jobs else None,
        gpu_hours=sum(job.get("gpu_hours") or 0 for job in jobs),
        asked=sum(entry.get("new", 0) for entry in entries) if entries else None,
        reused=_reused(asking),
    )


def _manifests(folder: Path) -> Iterator[Path]:
    own = [path for path in folder.glob("*") if path.name not in OTHERS]
    yield from (path for path in own if path.name.endswith(SUFFIX))
    yield from (path for inner in own for path in inner.rglob(f"*{SUFFIX}"))


def _later(time: str | None, since: datetime | None) -> bool:
    return since is None or (time is not None and datetime.fromisoformat(time) >= since)


def _last(entries: Sequence[Entry], since: datetime | None) -> list[Entry]:
    """The starts of a job that made what it has made: the last one, and those that it resumed."""
    last: list[Entry] = []
    for entry in reversed(entries):
        if last and entry["end"] == "ended":
            break
        last.append(entry)
    return [entry for entry in last if _later(entry["started"], since)]


def _reused(asking: Sequence[Sequence[Entry]]) -> int | None:
    """The answers that jobs found in journals, less those that their own earlier starts asked for.

    None if an older version has run one of the jobs, which did not count them.
    """
    known = [entries for entries in asking if entries]
    if not known or any("reused" not in entries[0] for entries in known):
        return None
    return sum(
        max(entries[0]["reused"] - sum(entry.get("new", 0) for entry in entries[1:]), 0)
        for entries in known
    )


def of_judging(judged: Path) -> Took:
    """What a comparison of answers took: ``judged`` is what judge_answers.py has written."""
    usage: Record = read_json(judged.with_suffix(".report.json"))["judge"].get("usage") or {}
    path = judged.with_suffix(SUFFIX)
    manifest = read_json(path) if path.is_file() else {}
    questions, reused = usage.get("questions"), usage.get("reused")
    return Took(
        seconds=manifest.get("seconds"),
        gpu_hours=manifest.get("gpu_hours") or 0.0,
        asked=None if questions is None else questions - reused,
        reused=reused,
    )


def together(one: Took, other: Took) -> Took:
    """The sum of two; what one of them does not know counts as none, unless neither knows it."""
    sums = [
        None if a is None and b is None else (a or 0) + (b or 0)
        for a, b in zip(one, other, strict=True)
    ]
    return Took(*sums)  # type: ignore[arg-type]
