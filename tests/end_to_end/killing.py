"""Runs that are killed, and the processes that belong to them."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import TypeVar

from tests.project import Project

Answer = TypeVar("Answer")


class Bench:
    """A project whose runs are killed."""

    def __init__(self, project: Project) -> None:
        self.project, self.results = project, project.results
        self.run: Popen[bytes] | None = None

    def kill_when(self, condition: Callable[[], Answer], *arguments: str) -> Answer:
        """Run until the condition holds, then kill all processes as a power cut would.

        Returns:
            What the condition has answered.
        """
        self.run = self.project.start(*arguments)
        while not (answer := condition()):
            assert self.run.poll() is None, "it ended before it came to that"
            time.sleep(0.02)
        self.kill()
        self.project.snakemake("--unlock")
        return answer

    def kill(self) -> None:
        """Kill what was started: Snakemake and all processes that work in the project."""
        while found := processes(self.project.folder):
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)
        if self.run is not None:
            self.run.wait()

    def training(self, name: str, pattern: str) -> list[Path]:
        """What is in the work folders of a training."""
        return list((self.results / "work" / name).glob(f"*/{pattern}"))

    def has_saved(self, name: str, step: int) -> bool:
        """Whether a training has a whole checkpoint of this step as its last one."""
        whole = self.training(name, f"train/checkpoints/*step={step}*-last")
        return bool(whole) and not whole[0].with_name(f"{whole[0].name}-unfinished").exists()


def processes(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdecimal() and os.readlink(f"{entry.path}/cwd").startswith(str(folder)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
