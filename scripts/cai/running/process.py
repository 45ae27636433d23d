"""Child processes: each in its own process group, with a log, and always stopped."""

import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cai.core.errors import fail_if

FIRST_PORT = 10_000  # below lie the ports of well-known services
TRIES = 100  # ports that are looked at, before the kernel is asked for one
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
TAIL = 2**20  # bytes at the end of a log in which its last lines are looked for
SUPERVISOR = Path(__file__).with_name("supervisor.py")
GRACE = 15.0  # seconds between SIGTERM and SIGKILL
AT_ONCE = 3.0  # the same, for a server, which has nothing to save
LATER = 10.0  # seconds that the supervisor has beyond its own grace time
# Names of variables that hold what only their owner may know, and values that do.
SECRET = re.compile(
    r"(^|_)(KEYS?|TOKENS?|PAT|AUTH|JWT|BEARER|COOKIES?)$|(API|ACCESS|PRIVATE|SIGNING)_?KEY"
    r"|SECRET|PASSW(OR)?D|PASSPHRASE|PASSWD|CREDENTIAL|^SSH_AUTH_SOCK$|^SSHPASS$|^MYSQL_PWD$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")  # an address with a password
OWN_SECRETS = "CAI_SECRET_VARIABLES"  # names, separated by commas, that the configuration gives
MARK = (
    "CAI_PROGRAM"  # variable by which a program and what it starts are known, see cai.running.ports
)
NEEDED = {"SLURM_JWT"}  # by srun itself


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without keys, tokens and passwords, for programs that need none.

    Model servers and trainers run code that others wrote on data that others wrote.

    Args:
        environment: variables to choose from, in place of this process's.

    >>> inherited({"HOME": "/root", "HF_TOKEN": "x", "TOKENIZERS_PARALLELISM": "false"})
    {'HOME': '/root', 'TOKENIZERS_PARALLELISM': 'false'}
    """
    given = os.environ if environment is None else environment
    own = given.get(OWN_SECRETS, "").split(",")
    return {
        name: value
        for name, value in given.items()
        if name in NEEDED or not (name in own or SECRET.search(name) or SECRET_VALUE.search(value))
    }


def keep_from_programs(names: Iterable[str | None]) -> None:
    """Have variables of these names count as secret, here and in all jobs, whatever they hold."""
    os.environ[OWN_SECRETS] = ",".join(name for name in names if name)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on now, of the loopback interface or of ``host``'s.

    It lies below the ports that the kernel gives to outgoing connections: one of these would take
    it in the seconds in which a server still loads its model.
    """
    for _ in range(TRIES):
        port = random.SystemRandom().randrange(FIRST_PORT, _first_outgoing())
        if _is_free(host, port):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _first_outgoing() -> int:
    """The first port of outgoing connections, as Linux says; its default if it does not say."""
    try:
        first = int(OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32768
    return first if first > FIRST_PORT else 65536


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def with_variables(given: Mapping[str, str | None]) -> dict[str, str]:
    """What is inherited, with the variables that are given and without those that are None."""
    return {name: text for name, text in {**inherited(), **given}.items() if text is not None}


class Program:
    """A program that runs in the background, as the leader of its own process group.

    Use as a context manager: at the end it is stopped, with all that it has started. That happens,
    too, should this process be killed outright: see :mod:`cai.running.supervisor`, whose pid it
    has.

    Args:
        argv: the command.
        log: what its output is added to.
        env: variables beside those of this process; None: one that it must not have.
        patience: seconds that all have to end by themselves after SIGTERM.
        ask: another way to end the program than SIGTERM; returns whether it could.
        grace: seconds that the program then has.

    Raises:
        UserError: there is no such program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str | None] | None = None,
        patience: float = GRACE,
        ask: Callable[[], bool] | None = None,
        grace: float = GRACE,
    ) -> None:
        self.argv, self.log = list(argv), Path(log)
        self._patience, self._ask, self._grace = patience, ask, grace
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.mark = secrets.token_hex(16)
        variables = with_variables({**(env or {}), MARK: self.mark})
        _check(self.argv[0], variables.get("PATH"))
        with open(self.log, "ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", SUPERVISOR, str(patience), *self.argv],
                stdin=subprocess.PIPE,  # closes when this process ends
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,
            )
        self.pid, self.started = self._process.pid, time.time()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End the program and all that it has started: SIGTERM, and SIGKILL after a grace time."""
        if self._ask and self.poll() is None and self._ask():
            self._ended_within(self._grace)
        self._process.send_signal(signal.SIGTERM)
        self._ended_within(self._patience + LATER)
        try:
            os.killpg(self.pid, signal.SIGKILL)  # should the supervisor have been killed
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _ended_within(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)


def _check(program: str, path: str | None) -> None:
    """Refuse a program that is not there, or must not be run."""
    found = shutil.which(program, path=path)
    reason = "Permission denied" if os.path.exists(program) else "No such file or directory"
    fail_if(found is None, f"{program}: cannot be run: {reason}")


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
