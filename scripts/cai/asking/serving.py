"""A model server that runs as long as it is needed: started late, watched, always stopped."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cai.asking.transport import received
from cai.asking.transport.http import (
    OutOfService,
    Refused,
    Transient,
    address_of,
    direct_session,
    exchange,
)
from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.nemo.triton import tidied
from cai.nemo.unpacking import unpacked
from cai.running.launcher import Launcher
from cai.running.ports import owner
from cai.running.process import GRACE, Program
from cai.settings.model_servers import FREE_PORT, names

POLL = 0.25  # seconds between two looks at a server that starts
TAIL = 20  # lines of the log that an error shows
ENDING = 2.0  # seconds after its last word in which a server that died is seen to have ended
TAKEN = "port {port} was taken by another program; run the command again"
IN_USE = "ddress already in use"  # errno's words, with which servers report a taken port
LOOKED = 2.0  # seconds in which a server answers that is up
MODELS = "/v1/models"
LISTED = 30.0  # seconds in which a server that is up must name its models
REACHABLE = 10.0  # seconds in which a server that somebody else started must answer


class ServerFailed(UserError):
    """A server did not start, died or fell silent; the message ends with the tail of its log."""


class Served:
    """An inference server, started at the first use of :attr:`url` and stopped at the end.

    Use as a context manager. When everything is already in the journal no one asks for the url,
    and no server is started.

    Attributes:
        log: where its output goes.
        start_seconds: that it took to answer; 0 if it was not started.

    Args:
        command: what starts the server; ``FREE_PORT`` in an argument (``port=FREE_PORT``) becomes
            a free port of the loopback interface.
        url: a server that runs already, in place of a command.
        log: the file that the server's output goes to.
        start_timeout: seconds in which the server must answer.
        launcher: how the server is started; the first of its nodes must be this one.
        work: folder for what it needs while it runs, such as the unpacked model; by default the
            log's.
        page: what the server answers with status 200 when it is ready; "": it is ready when it
            answers at all, as NeMo's, which has no page for its health.
        patience: seconds that it has to end by itself.
    """

    def __init__(
        self,
        command: Sequence[str] | None,
        url: str | None,
        log: Path | str,
        start_timeout: float = 1800.0,
        launcher: Launcher | None = None,
        page: str = "",
        work: Path | None = None,
        patience: float = GRACE,
    ) -> None:
        fail_if((command is None) == (url is None), "give either a server's command or --url")
        fail_if(
            command is not None and not names(command, FREE_PORT),
            f"the server's command must name its port as {FREE_PORT}, found {command}",
        )
        self.log = Path(log)
        self.start_seconds = 0.0  # that it took to answer; 0 while it is not started
        self._command = command
        self._given_url = url
        self._start_timeout = start_timeout
        self._launcher = launcher or Launcher()
        self._page = page
        self._url: str | None = None
        self._program: Program | None = None
        self._work = work or self.log.parent
        self._patience = patience
        self._around = ExitStack()  # what the program needs, and what is left of it

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of the running server, without a slash at the end; starts it if need be.

        Raises:
            ServerFailed: it died or did not answer in time.
        """
        if self._url is None:
            try:
                self._url = self._opened()
            except BaseException:
                self.close()
                raise
        return self._url

    def check(self) -> None:
        """Raise :class:`ServerFailed` if the server's process has ended."""
        code = self._program.poll() if self._program is not None else None
        if code is not None:
            raise self.failure(f"the model server ended with exit code {code}")

    def broken(self, error: Exception) -> ServerFailed:
        """The error of a server that answers nothing of use: because it has died, or alive."""
        deadline = time.monotonic() + ENDING
        while self._program is not None and time.monotonic() < deadline:
            try:
                self.check()
            except ServerFailed as died:
                return died
            time.sleep(POLL)
        return self.failure(f"the model server is broken: {error}")

    def failure(self, reason: str) -> ServerFailed:
        """An error for ``reason`` that shows where to look: the log and its tail."""
        if self._program is None:
            return ServerFailed(f"{self._given_url}: {reason}")
        return ServerFailed(f"{reason}; its log {self.log} ends:\n{self._program.tail(TAIL)}")

    def close(self) -> None:
        """Stop the server and all its children; calling it again does nothing."""
        program, self._program, self._url = self._program, None, None
        try:
            if program is not None:
                program.stop()
        finally:
            self._around.close()

    def _opened(self) -> str:
        if self._command is not None:
            return self._start(self._command)
        return self._reach(self._given_url or "")

    def _start(self, command: Sequence[str]) -> str:
        began, launcher = time.monotonic(), self._launcher
        port = launcher.free_port()
        filled = [argument.replace(FREE_PORT, port) for argument in command]
        # torch's rendezvous has a fixed port by default: two servers on a node would collide
        own = {"MASTER_ADDR": launcher.host(), "MASTER_PORT": launcher.free_port()}
        own_folder = self._work / f"server-{digest(str(self.log))[:8]}"
        own |= self._around.enter_context(tidied(own_folder))
        [filled] = self._around.enter_context(unpacked([filled], self._work))
        program = launcher.start(filled, own, self.log, "server", self._patience)
        self._program = program
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + self._start_timeout
        while not _answers(url, self._page):
            _check_port(port, program)
            self.check()
            if time.monotonic() > deadline:
                raise self.failure(f"the model server was not up after {self._start_timeout:g} s")
            time.sleep(POLL)
        self._check_owner(url, port, filled, program)
        self.start_seconds = time.monotonic() - began
        return url

    def _check_owner(self, url: str, port: str, command: Sequence[str], program: Program) -> None:
        """Refuse a server that another program has started on the port while ours was loading."""
        whose = owner(int(port), program)
        if whose == "unknown":  # a container of its own: then it must name the model that we gave
            given = {word for argument in command for word in (argument, argument.split("=")[-1])}
            whose = "ours" if given & _named(url) else "other"
        if whose == "nobody":
            self.check()
        if whose == "other":
            raise ServerFailed(TAKEN.format(port=port))

    def _reach(self, given: str) -> str:
        url = given.rstrip("/")
        deadline = time.monotonic() + REACHABLE
        while not _answers(url, self._page):
            if time.monotonic() > deadline:
                raise ServerFailed(f"{url}: no server answers there (option --url)")
            time.sleep(POLL)
        return url


def _check_port(port: str, program: Program) -> None:
    if program.poll() is not None and IN_USE in program.tail(TAIL):
        raise ServerFailed(TAKEN.format(port=port))


def listed_models(url: str) -> list[str]:
    """The names of the models that an OpenAI-compatible server lists, at least one.

    Raises:
        Transient, Refused, OutOfService: it lists none.
    """
    with direct_session() as session:
        text = exchange(session, "GET", url + MODELS, timeout=LISTED)
    try:
        listed = received.decoded(text, url)["data"]
        return [received.text_of(model["id"]) for model in [listed[0], *listed[1:]]]
    except (received.Unfit, LookupError, TypeError):
        raise received.garbled(text) from None


def _named(url: str) -> set[str]:
    try:
        return set(listed_models(url))
    except (Transient, Refused, OutOfService):
        return set()


def _answers(url: str, page: str) -> bool:
    """Whether an HTTP server is there and, if a page is named, has that page."""
    try:
        with direct_session() as session:
            exchange(session, "GET", url + page, timeout=LOOKED)
    except (Transient, Refused, OutOfService) as error:
        fault = error.fault
        if fault.cause == "address":
            raise UserError(
                f"{address_of(url)}: not a URL of a server: {fault.reason}; expected "
                "http://HOST:PORT (option --url)"
            ) from None
        if fault.kind == "service" and not fault.status:
            raise UserError(f"{address_of(url)}: {fault.reason} (option --url)") from None
        return not page and bool(fault.status)
    return True
