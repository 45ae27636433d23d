"""Shows how far an installation is: a bar on a terminal, else a line now and then.

    pip install ... 2>&1 | python envs/progress.py LOG PACKAGES TOTAL MEGABYTES

All that pip says goes to the file LOG. TOTAL packages of MEGABYTES (of wheels, compressed) are to
come. A package counts, by its size, half when pip has got it and whole when it lies in the folder
PACKAGES. Python's standard library is enough.
"""

import os
import re
import select
import signal
import sys
import time
from pathlib import Path

# One of several files of a package, and its size: "Downloading torch-2.13.0-cp311.whl (192.1 MB)".
GOT = re.compile(
    r"^\s*(?:(?:Downloading|Using cached)\s+(\S+?)-\d\S*(?<!\.metadata)\s+\(([\d.]+) (\w+)\)"
    r"|Processing\s+(\S+))",
    re.MULTILINE,
)
UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
LEAST = 0.1  # megabytes that a package counts at least: it takes its time, too
WIDTH = 24  # characters of the bar
LOOK = 0.5  # seconds between two looks at the folder
APART = 15.0  # seconds between two lines where there is no terminal
EARLY = 0.1  # share before which no time is estimated


class Progress:
    """What has been got and installed, and what it looks like."""

    def __init__(self, packages: Path, total: int, megabytes: float) -> None:
        self.packages, self.total, self.megabytes = packages, max(total, 1), megabytes
        self.at_first = self._installed()
        self.got: dict[str, float] = {}  # by name: megabytes
        self.began = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def _installed(self) -> set[str]:
        return {_name(path.name.partition("-")[0]) for path in self.packages.glob("*.dist-info")}

    def read(self, lines: str) -> None:
        """Take up what pip says: a file that it has got, or begins to get."""
        for name, size, unit, path in GOT.findall(lines):
            if path:
                file = Path(path.removeprefix("file://"))
                name = file.name.partition("-")[0]
                found = file.stat().st_size / 1e6 if file.is_file() else 0.0
            else:
                found = float(size) * UNITS.get(unit, 0.0)
            self.got[_name(name)] = max(found, LEAST)

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
        installed = self._installed() - self.at_first
        there = sum(self.got.values()) + sum(self.got.get(name, 0.0) for name in installed)
        share = min(there / (2 * max(self.megabytes, sum(self.got.values()), LEAST)), 1.0)
        full = round(WIDTH * share)
        bar = "#" * full + "-" * (WIDTH - full)
        got = min(len(self.got), self.total)
        counts = f"{got} of {self.total} downloaded, {min(len(installed), self.total)} installed"
        left = seconds * (1 - share) / share if share >= EARLY else 0.0
        about = f", about {duration(left)} left" if left > 1 else ""
        return f"  [{bar}] {share:4.0%}  {counts}{about}"

    def clear(self) -> None:
        """Take the bar away."""
        if self.terminal:
            print("\r\033[K", end="", flush=True)


def _name(name: str) -> str:
    """A package's name as files and folders have it alike."""
    return re.sub(r"[-_.]+", "-", name).lower()


def duration(seconds: float) -> str:
    """A time as a person says it: ``40 s``, ``2 min``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def main(log: str, packages: str, total: str, megabytes: str) -> None:
    """Copy what pip says into the log and show how far it is, until pip ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    progress = Progress(Path(packages), int(total), float(megabytes))
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
                progress.read(lines.decode(errors="replace"))
            progress.show()
    progress.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
