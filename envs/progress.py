"""Shows how far an installation is: a bar on a terminal, else a line now and then.

    pip install ... 2>&1 | python envs/progress.py LOG PACKAGES TOTAL

All that pip says goes to the file LOG. A package counts half when pip has got it, and whole when it
lies in the folder PACKAGES; TOTAL is how many there will be. Python's standard library is enough.
"""

import os
import re
import select
import signal
import sys
import time
from pathlib import Path

GOT = re.compile(
    rb"^\s*(?:Collecting|Processing|Requirement already satisfied:)\s+([^\s=<>;]+)", re.MULTILINE
)
WIDTH = 24  # characters of the bar
LOOK = 0.5  # seconds between two looks at the folder
APART = 15.0  # seconds between two lines where there is no terminal
EARLY = 3.0  # seconds before which no time is estimated


class Progress:
    """What has been got and installed, and what it looks like."""

    def __init__(self, packages: Path, total: int) -> None:
        self.packages, self.total = packages, max(total, 1)
        self.at_first = self._installed()
        self.got: set[bytes] = set()
        self.began = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def _installed(self) -> int:
        return len(list(self.packages.glob("*.dist-info")))

    def show(self) -> None:
        """Draw the bar anew, or print a line if the last one is long ago."""
        now = time.monotonic()
        if not self.terminal and now - self.shown < APART:
            return
        self.shown = now
        line = self.line(now - self.began)
        print(f"\r\033[K{line}" if self.terminal else line, end="" if self.terminal else "\n")
        sys.stdout.flush()

    def line(self, seconds: float) -> str:
        """The bar, the share, the counts, and the time left as far as it can be estimated."""
        got = min(len(self.got), self.total)
        installed = min(self._installed() - self.at_first, self.total)
        share = (got + installed) / (2 * self.total)
        full = round(WIDTH * share)
        bar = "#" * full + "-" * (WIDTH - full)
        counts = f"{got} of {self.total} downloaded, {installed} installed"
        left = seconds * (1 - share) / share if share else 0.0
        about = f", about {duration(left)} left" if seconds > EARLY and left > 1 else ""
        return f"  [{bar}] {share:4.0%}  {counts}{about}"

    def clear(self) -> None:
        """Take the bar away."""
        if self.terminal:
            print("\r\033[K", end="", flush=True)


def duration(seconds: float) -> str:
    """A time as a person says it: ``40 s``, ``2 min``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def main(log: str, packages: str, total: str) -> None:
    """Copy what pip says into the log and show how far it is, until pip ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    progress = Progress(Path(packages), int(total))
    said = sys.stdin.fileno()
    rest = b""
    with open(log, "ab", buffering=0) as file:
        while True:
            ready, _, _ = select.select([said], [], [], LOOK)
            if ready:
                part = os.read(said, 1 << 16)
                if not part:
                    break
                file.write(part)
                lines, _, rest = (rest + part).rpartition(b"\n")
                progress.got.update(GOT.findall(lines))
            progress.show()
    progress.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
