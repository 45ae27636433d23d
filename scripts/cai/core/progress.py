"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

LINE_EVERY = 10.0  # seconds between two plain lines


class Progress:
    """Counts ``total`` units of work, with a rate and the time left.

    Use as a context manager and call :meth:`advance`. On a terminal it draws tqdm's bar; in a log
    it writes a line every ten seconds and one at the end. Without a name, ``what``, it is silent.
    """

    def __init__(self, total: int, what: str | None, unit: str = "records") -> None:
        self.total, self.what, self.unit = total, what, unit
        self.done = 0
        self._skipped = 0
        self._started = self._last_line = time.monotonic()
        self._silent = what is None
        draw = sys.stderr.isatty() and not self._silent
        self._bar = tqdm(total=total, desc=what, unit=f" {unit}") if draw else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.total:
            self._line()

    def advance(self, count: int = 1, *, reused: bool = False) -> None:
        """Count finished units; reused ones do not count towards the rate."""
        self.done += count
        self._skipped += count if reused else 0
        if self._bar is not None:
            self._bar.update(count)
        elif self.done < self.total and time.monotonic() - self._last_line > LINE_EVERY:
            self._line()

    def _line(self) -> None:
        if self._silent:
            return
        self._last_line = time.monotonic()
        elapsed = self._last_line - self._started
        rate = (self.done - self._skipped) / elapsed if elapsed > 0 else 0.0
        left = (
            f", {(self.total - self.done) / rate:.0f} s left"
            if rate and self.done < self.total
            else ""
        )
        reused = f", {self._skipped} reused" if self._skipped else ""
        print(
            f"{self.what}: {self.done}/{self.total} {self.unit}{reused}, {rate:.1f}/s{left}",
            file=sys.stderr,
            flush=True,
        )
