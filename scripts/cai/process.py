"""Child processes: each in its own process group, with a log, stopped whatever happens."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cai.errors import UserError

GRACE = 15.0  # seconds between SIGTERM and SIGKILL
TAIL = 2**20  # bytes at the end of a log in which its last lines are looked for
PR_SET_PDEATHSIG = 1  # of prctl(2)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on now, of the loopback interface or of ``host``'s."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def with_variables(given: Mapping[str, str | None]) -> dict[str, str]:
    """The variables of this process with those that are given, and without those that are None."""
    return {name: text for name, text in {**os.environ, **given}.items() if text is not None}


_libc = ctypes.CDLL(None)  # loaded here: between fork and exec there is no time for it


def _end_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A program that runs in the background, as the leader of its own process group.

    Use as a context manager: the whole group is stopped at the end. Output goes to ``log``.
    Should this process be killed outright, the kernel ends the program; since it goes by the
    thread that started the program, start it in the main thread.

    Args:
        argv: the command.
        log: what its output is added to.
        env: variables beside those of this process; None: one that it must not have.
        ask: another way to tell the program to end than SIGTERM; returns whether it could.
        grace: seconds that the program then has.

    Raises:
        UserError: there is no such program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str | None] | None = None,
        ask: Callable[[], bool] | None = None,
        grace: float = GRACE,
    ) -> None:
        self.argv, self.log = list(argv), Path(log)
        self._ask, self._grace = ask, grace
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as stream:
            try:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=with_variables(env or {}),
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except (FileNotFoundError, PermissionError) as error:
                raise UserError(f"{self.argv[0]}: cannot be run: {error.strerror}") from None
        self.pid = self._process.pid

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End the process group: SIGTERM, and SIGKILL after a grace time."""
        if self._ask and self.poll() is None and self._ask():
            self._ended_within(self._grace)
        self._signal(signal.SIGTERM)
        self._ended_within(GRACE)
        self._signal(signal.SIGKILL)  # children that outlive their leader
        self._process.wait()

    def _ended_within(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file, with each progress bar's last state only."""
    if not log.exists():
        return f"({log} was never written)"
    last = end_of(log, TAIL).rstrip("\n").split("\n")[-lines:]
    return "\n".join(line.rstrip().split("\r")[-1] for line in last)


def end_of(path: Path, size: int, begin: int = 0) -> str:
    """The last ``size`` bytes of a file, none of those before the byte ``begin``."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(begin, path.stat().st_size - size))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
