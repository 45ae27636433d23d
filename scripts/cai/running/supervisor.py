"""Runs a program, and ends all that it has started when it ends or when its caller is gone.

    supervisor.py SECONDS PROGRAM ARGUMENT...

All of them get SIGTERM, and SIGKILL after so many seconds.

It is a process of its own, so that it outlives a caller that was killed: its standard input is a
pipe that then closes. What the program starts and leaves behind becomes a child of this process (a
"subreaper"), also what has gone into a session of its own, so that all can be found. Its exit code
is the program's. It imports nothing of the project: it must start at once.
"""

import ctypes
import os
import resource
import select
import signal
import sys
import time

AFTERWARDS = 1.0  # seconds between SIGTERM and SIGKILL for what outlives the program
POLL = 0.05  # seconds
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_libc = ctypes.CDLL(None)  # loaded here: between fork and exec there is no time for it


class Supervisor:
    """Of one program, which it starts.

    Args:
        patience: seconds between SIGTERM and SIGKILL.
        argv: the program's command.
    """

    def __init__(self, patience: float, argv: list[str]) -> None:
        self._patience = patience
        self._ending = False
        self._status: int | None = None
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._awake, wake = os.pipe()
        for end in (self._awake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, self._tell)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._pid = _start(argv)

    def _tell(self, *_: object) -> None:
        self._ending = True

    def run(self) -> int:
        """Wait for the program's end, or for a reason to end it; then for all others' end.

        Returns:
            The program's status, as waitpid(2) gives it.
        """
        self._reap()
        while self._status is None and not self._ending:
            ready, _, _ = select.select([0, self._awake], [], [])
            if self._awake in ready:
                os.read(self._awake, 4096)
            if 0 in ready and not os.read(0, 1):
                self._ending = True  # the pipe is closed
            self._reap()
        self._end_all(self._patience if self._status is None else AFTERWARDS)
        return self._status or 0

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._status = status

    def _end_all(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        number = signal.SIGTERM
        signalled: set[int] = set()
        while left := _descendants(os.getpid()):
            if time.monotonic() > deadline:
                number, signalled = signal.SIGKILL, set()
            for pid in left - signalled:
                _send(pid, number)
            signalled |= left
            time.sleep(POLL)
            self._reap()
        self._reap()


def _start(argv: list[str]) -> int:
    """The program as a child that ends when this process is killed outright."""
    pid = os.fork()
    if pid:
        return pid
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (*ENDING, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: cannot be run: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _descendants(ancestor: int) -> set[int]:
    """The processes that run below one, by what /proc says."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            state, parent = _state(name)
            if state not in ("Z", "X", ""):
                children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    work = [ancestor]
    while work:
        new = set(children.get(work.pop(), [])) - found
        found |= new
        work.extend(new)
    return found


def _state(pid: str) -> tuple[str, int]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[1])
    except (OSError, IndexError):  # it has just ended
        return "", 0


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def main() -> None:
    """Run the program and end as it did."""
    status = Supervisor(float(sys.argv[1]), sys.argv[2:]).run()
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
