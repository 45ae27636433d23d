"""What a training or a generation has cost, kills and resumptions included; and when to give up.

Each start is an entry of a JSON file in the work folder. The time in it is brought up to date while
the programs run, so that a kill loses a minute at most.
"""

import os
import platform
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from cai.core.errors import UserError, fail_if
from cai.files.records import read_json, write_json

WRITE_EVERY = 60.0  # seconds
KEPT = 1000  # entries
TRIES = 2  # ends at the same step, after which another submission would only cost GPU-hours


class Entry(TypedDict):
    """One start of a job, and how it ended ("ended", "failed"; None: it runs, or was killed).

    A job that asks models has ``new`` answers, ``reused`` ones of its journals, and, where it
    started a server, the ``start_seconds`` of that; a training has the ``step`` that it went on
    from, and the seconds of ``loading``.
    """

    number: int
    step: NotRequired[int]
    started: str
    seconds: float
    gpus: int
    host: str
    slurm_job: str | None
    end: str | None
    new: NotRequired[int]
    reused: NotRequired[int]
    start_seconds: NotRequired[float]
    loading: NotRequired[float]


class Cost(TypedDict):
    """What a job has cost, over all of its starts."""

    started: str | None
    gpus: int
    seconds: float
    gpu_hours: float


class Attempts:
    """The entries of one file, the latest ones if there are many.

    Args:
        path: the JSON file.
        number: of this submission, counted from 1: at 1 a person has asked for it.
        gpus: that it has been given.
    """

    def __init__(self, path: Path, number: int = 1, gpus: int = 0) -> None:
        self.path, self.number, self.gpus = path, number, gpus
        self.entries = read_entries(path)

    def check(self, what: str) -> None:
        """Refuse a resubmission of what ends by itself, at the same step, time and again.

        Raises:
            UserError: naming the step.
        """
        steps = [entry.get("step") for entry in _in_a_row(self.entries)] if self.number > 1 else []
        fail_if(
            len(steps) >= TRIES and len(set(steps[:TRIES])) == 1,
            f"{what}: ended {TRIES} times without getting beyond step {steps and steps[0]}: not "
            "tried again; start snakemake anew to try all the same",
        )

    @contextmanager
    def running(self, step: int | None = None) -> Iterator[Entry]:
        """Keep an entry while something runs.

        Args:
            step: of a training, the checkpoint's that it goes on from.

        Yields:
            The entry, for what is known only later.
        """
        entry: Entry = {
            "number": self.number,
            "step": step or 0,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": 0.0,
            "gpus": self.gpus,
            "host": platform.node(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "end": None,
        }
        if step is None:
            del entry["step"]
        self.entries = [*self.entries, entry][-KEPT:]
        began, over = time.monotonic(), threading.Event()

        def write() -> None:
            entry["seconds"] = round(time.monotonic() - began, 1)
            write_json(self.path, self.entries)

        def keep_up_to_date() -> None:
            while not over.wait(WRITE_EVERY):
                write()

        write()
        clock = threading.Thread(target=keep_up_to_date, daemon=True)
        clock.start()
        try:
            yield entry
            entry["end"] = "ended"
        except UserError:
            entry["end"] = "failed"
            raise
        finally:
            over.set()
            clock.join()
            write()

    def cost(self) -> Cost:
        """When the first began; GPUs of the last; seconds and GPU-hours of all entries."""
        hours = sum(entry["seconds"] * entry["gpus"] for entry in self.entries) / 3600
        seconds = sum(entry["seconds"] for entry in self.entries)
        return {
            "started": self.entries[0].get("started") if self.entries else None,
            "gpus": self.gpus,
            "seconds": round(seconds, 1),
            "gpu_hours": round(hours, 4),
        }


def read_entries(path: Path) -> list[Entry]:
    """The entries of a file; those that cannot be read, after a power loss say, are no cost."""
    try:
        found = read_json(path) if path.exists() else []
    except (UserError, UnicodeDecodeError):
        found = None
    entries = [entry for entry in found if _is_entry(entry)] if isinstance(found, list) else []
    if entries != found:
        said = f"warning: {path}: cannot be read in full: what is missing counts as no cost"
        print(said, file=sys.stderr, flush=True)
    return entries


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or "end" not in entry:
        return False
    return all(type(entry.get(field)) in (int, float) for field in ("seconds", "gpus"))


def _in_a_row(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The last entries that were not killed, back to the one that a person asked for."""
    for entry in reversed(entries):
        if entry["end"] is None:
            return
        yield entry
        if entry.get("number", 1) == 1:
            return
