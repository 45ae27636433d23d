"""What a training has cost so far, over kills, time limits and resumptions; and when to give up.

Each start of a training's programs is an entry of a JSON file in its work folder. The time is
brought up to date while they run, so that a kill loses a minute at most.
"""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cai.errors import UserError, fail_if
from cai.records import read_json, write_json

WRITE_EVERY = 60.0  # seconds
TRIES = 2  # ends at the same step, after which another submission would only cost GPU-hours


class Attempts:
    """The entries of one work folder.

    Args:
        path: the JSON file.
        number: of this submission, counted from 1: at 1 a person has asked for it.
        gpus: that it has been given.
    """

    def __init__(self, path: Path, number: int = 1, gpus: int = 0) -> None:
        self.path, self.number, self.gpus = path, number, gpus
        self.entries: list[dict[str, Any]] = read_json(path) if path.exists() else []

    def check(self, what: str) -> None:
        """Refuse a resubmission of what ends by itself, at the same step, time and again.

        Raises:
            UserError: naming the step.
        """
        steps = [entry["step"] for entry in _in_a_row(self.entries)] if self.number > 1 else []
        fail_if(
            len(steps) >= TRIES and len(set(steps[:TRIES])) == 1,
            f"{what}: ended {TRIES} times without getting beyond step {steps and steps[0]}: not "
            "tried again; start snakemake anew to try all the same",
        )

    @contextmanager
    def running(self, step: int) -> Iterator["Attempts"]:
        """Keep an entry while the programs run.

        Args:
            step: of the checkpoint that they go on from, 0 for none.
        """
        entry = {
            "number": self.number,
            "step": step,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": 0.0,
            "gpus": self.gpus,
            "host": platform.node(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "end": None,
        }
        self.entries.append(entry)
        self._began = self._written = time.monotonic()
        self._write()
        try:
            yield self
            entry["end"] = "ended"
        except UserError:
            entry["end"] = "failed"
            raise
        finally:
            self._write()

    def tick(self) -> None:
        """Bring the time up to date."""
        if time.monotonic() - self._written > WRITE_EVERY:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self.entries[-1]["seconds"] = round(self._written - self._began, 1)
        write_json(self.path, self.entries)

    def cost(self) -> dict[str, Any]:
        """When the first began; GPUs of the last; seconds and GPU-hours of all entries."""
        hours = sum(entry["seconds"] * entry["gpus"] for entry in self.entries) / 3600
        seconds = sum(entry["seconds"] for entry in self.entries)
        return {
            "started": self.entries[0]["started"] if self.entries else None,
            "gpus": self.gpus,
            "seconds": round(seconds, 1),
            "gpu_hours": round(hours, 4),
        }


def _in_a_row(entries: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The last entries that were not killed, back to the one that a person asked for."""
    for entry in reversed(entries):
        if entry["end"] is None:
            return
        yield entry
        if entry["number"] == 1:
            return
