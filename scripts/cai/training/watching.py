"""What is seen of a training while it runs: its steps, and whether it hangs."""

import re
import shutil
import time
from pathlib import Path

from cai.core.errors import UserError
from cai.running.attempts import Entry
from cai.running.process import Program, end_of

FULL = 2**20  # bytes; a disk with less is full

POLL = 0.5  # seconds
HANG_LIMIT = 30.0  # seconds that a program may take to end after it has said that it failed
FAILED = "Error executing job with overrides"  # Hydra, of an exception in a program
LINE_EVERY = 10.0  # seconds between two progress lines
BAR = re.compile(r"(\d+)/(\d+) \[([\d:?]+)<([\d:?]+)")


class HangWatch:
    """Notices a program that has failed but does not end.

    NeMo-Aligner's actor waits for ever for its client threads after an exception.
    """

    def __init__(self, log: Path) -> None:
        self.log, self._begins = log, log.stat().st_size if log.exists() else 0
        self._since: float | None = None

    def failed(self) -> bool:
        """Whether the log has named a failure for longer than the limit."""
        if self._since is None and FAILED in end_of(self.log, 65536, self._begins):
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since > HANG_LIMIT


class SilenceWatch:
    """Notices a program that says nothing any more: a stalled collective waits for ever.

    Args:
        log: what the program says; its progress bar moves with each step.
        minutes: of silence that are too many.
    """

    def __init__(self, log: Path, minutes: float) -> None:
        self._log, self.minutes = log, minutes
        self._size, self._since = -1, time.monotonic()

    def is_too_long(self) -> bool:
        """Whether the log has not grown for longer than the limit."""
        size = self._log.stat().st_size if self._log.exists() else 0
        if size != self._size:
            self._size, self._since = size, time.monotonic()
        return time.monotonic() - self._since > 60 * self.minutes


class StepProgress:
    """Shows the state of a program's own progress bar, read from its log."""

    def __init__(self, what: str, log: Path) -> None:
        self.what, self.log = what, log
        self._shown, self._last = "", time.monotonic()
        self._begins = log.stat().st_size if log.exists() else 0

    def look(self, program: Program, entry: Entry | None) -> None:
        """Note in an attempt's entry how long its program has loaded, once its bar is there."""
        if entry is None or "loading" in entry:
            return
        if BAR.search(end_of(self.log, 65536, self._begins)):
            entry["loading"] = round(time.time() - program.started, 1)

    def show(self, last: bool = False) -> None:
        """Print a line if the bar has moved and the last line is some time ago."""
        if not last and time.monotonic() - self._last < LINE_EVERY:
            return
        self._last = time.monotonic()
        bars = BAR.findall(end_of(self.log, 4096))
        if not bars:
            return
        done, total, _, left = bars[-1]
        line = f"{self.what}: step {done}/{total}, {left} left"
        if line != self._shown:
            print(line, flush=True)
            self._shown = line


def failure(reason: str, program: Program) -> UserError:
    """The error of a program that ended badly, with the end of its log."""
    if shutil.disk_usage(program.log.parent).free < FULL:  # then the log may not say it
        reason += "; the disk is full: free some space and run the same command again"
    return UserError(f"{reason}; log: {program.log}, which ends:\n{program.tail()}")
