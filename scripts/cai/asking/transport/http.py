"""What all protocols share: one retry policy, and as many requests at a time as a server bears."""

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from cai.asking.transport import faults
from cai.asking.transport.faults import Fault
from cai.asking.transport.session import TooLarge, body_of, open_session, until
from cai.core.errors import UserError
from cai.core.shown import MOST, one_line

CONNECT_TIMEOUT = 10.0  # seconds
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between two attempts
BLOT = "[key]"
SHOWN = MOST  # characters of a server's answer that are shown in a message
LOOK = 0.5  # seconds after which a thread that waits for its turn looks whether all is over
ANSWER_BYTES = 2**22  # of an answer that are accepted, unless a protocol expects more
ERROR_BYTES = 2**16  # of an error's body that are looked at
LATE_TRIES = 3  # that answers late in a row get: each costs a whole time-out
WHOLE = (200, 201, 202, 203)  # statuses of an answer that is all there
SLOW_PROOF = 3.0  # seconds after which a first answer that is under way holds up nobody
PATIENCE = 10.0  # seconds in which a service that has not answered yet must be reached
LONG_PATIENCE = 60.0  # seconds for one that has answered before

Result = TypeVar("Result")


class Transient(Exception):
    """A failure that may pass: no connection, an overloaded or broken server, a garbled answer."""

    cause = "server"
    address = "the service"  # until it is known

    def __init__(
        self, reason: str, retry_after: float | None = None, fault: Fault | None = None
    ) -> None:
        super().__init__(reason)
        self.fault = fault or Fault("moment", self.cause, reason, retry_after=retry_after)
        self.retry_after = self.fault.retry_after


class Busy(Transient):
    """The server is given more than it can do: HTTP 429 or 503."""

    cause = "busy"


class TimedOut(Transient):
    """The server took the request and did not answer in time."""

    cause = "timeout"


class Unreachable(Transient):
    """No connection to the server can be made."""

    cause = "unreachable"


class Garbled(Transient):
    """The answer is in no known form."""

    cause = "garbled"


class Refused(Exception):
    """The server answered that it will not do this; asking again would change nothing."""

    def __init__(self, reason: str, status: int = 200, fault: Fault | None = None) -> None:
        super().__init__(reason)
        self.fault = fault or Fault("prompt", "bad_request", reason, status)
        self.status = self.fault.status


class OutOfService(UserError):
    """The account or the service is at fault: no question will be answered, so the job ends."""

    def __init__(self, address: str, fault: Fault, key: str = "the key") -> None:
        self.address, self.fault = address, fault
        end = ENDS[fault.cause].format(key=key)
        super().__init__(f"{address}: {end}: {fault.reason}; {KEPT}")


KEPT = "what was answered is kept, run the same command again when this is mended"
ENDS = {
    "key": "the service refuses {key}, or what it may do",
    "quota": "the account is exhausted",
    "not found": "no such service, or no such model there",
    "redirect": "the service has moved; expected is its final address",
    "address": "this is no address of a service",
    "unreachable": "the service cannot be reached",
}
_MOMENTS = {"busy": Busy, "timeout": TimedOut, "unreachable": Unreachable, "garbled": Garbled}


def raised(fault: Fault, address: str) -> Exception:
    """The exception that stands for a fault: Transient, Refused or OutOfService."""
    if fault.kind == "service":
        return OutOfService(address, fault)
    if fault.kind == "prompt":
        return Refused(fault.reason, fault=fault)
    return _MOMENTS.get(fault.cause, Transient)(fault.reason, fault=fault)


def address_of(url: str) -> str:
    """A URL as it is shown: without what may be a secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return one_line(url)
    host = parts.netloc.rpartition("@")[2]
    query = re.sub("=[^&]*", "=...", parts.query)
    return one_line(urlunsplit((parts.scheme, host, parts.path, query, "")))


def direct_session(connections: int = 1) -> requests.Session:
    """A session for servers of this cluster: a proxy must not stand between a node and itself.

    It keeps so many connections open, for as many threads.
    """
    return open_session(connections, direct=True)


class Flow:
    """How many requests a server gets at a time: as many as it bears, at most ``most``.

    All threads that ask one server share it. Additive increase, multiplicative decrease: each
    window of answers lets one request more through; an answer that says that the server is
    overloaded (:class:`Busy`, :class:`TimedOut`) halves the limit, once for all requests that were
    under way together. A server's Retry-After pauses all of them.

    A server that cannot be reached is waited for, but not for ever: for ``PATIENCE`` seconds at
    first, for ``LONG_PATIENCE`` once it has answered.

    Args:
        most: requests that may be under way at a time.
        proven: whether the service is known to answer. If not, requests are made one by one until
            one is answered, so that a service that is not there is not asked a hundred times.

    Source: Chiu and Jain 1989, "Analysis of the increase and decrease algorithms for congestion
    avoidance in computer networks".
    """

    def __init__(self, most: int, *, proven: bool = True) -> None:
        self._most = most
        self._proven = proven
        self._proving = self._answered = False
        self._asked = 0.0  # when the question that proves it was sent; 0 while none is under way
        self._unreached: float | None = None  # since when
        self._limit = float(most)
        self._under_way = 0
        self._cuts = 0
        self._resume = 0.0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be under way at a time."""
        return int(self._limit) if self._proven else 1

    @contextmanager
    def turn(self, stop: threading.Event) -> Iterator[None]:
        """Wait for a turn, and learn from what becomes of the request that is made in it.

        When ``stop`` is set there is nothing to wait for any more: the turn is given at once.

        Raises:
            OutOfService: the server cannot be reached, for too long now.
        """
        cuts = self._enter(stop)
        try:
            yield
        except Transient as failure:
            self._leave(cuts, failure)
            if self._is_gone(failure):
                raise OutOfService(failure.address, failure.fault) from None
            raise
        except BaseException:
            self._leave(cuts, None)
            raise
        self._leave(cuts, None, good=True)

    @contextmanager
    def first(self, stop: threading.Event) -> Iterator[None]:
        """Wait until the service is proven, or until it is this thread's to prove it.

        A thread that proves it goes on until its question is answered or has failed for good.
        """
        with self._changed:
            while self._proving and not self._proven and not stop.is_set():
                self._changed.wait(LOOK)
                if self._asked and time.monotonic() - self._asked > SLOW_PROOF:
                    self._proven = True  # it took a question and is at it: others need not wait
            mine = not self._proven and not self._proving
            self._proving = self._proving or mine
        try:
            yield
        finally:
            if mine:
                with self._changed:
                    self._proving = False
                    self._changed.notify_all()

    def prove(self) -> None:
        """Know that the service answers: as many requests may be made as it bears."""
        with self._changed:
            self._proven = self._answered = True
            self._changed.notify_all()

    def _is_gone(self, failure: Transient) -> bool:
        with self._changed:
            if not isinstance(failure, Unreachable):
                self._unreached = None
                return False
            now = time.monotonic()
            self._unreached = now if self._unreached is None else self._unreached
            return now - self._unreached > (LONG_PATIENCE if self._answered else PATIENCE)

    def _enter(self, stop: threading.Event) -> int:
        with self._changed:
            while not stop.is_set():
                pause = self._resume - time.monotonic()
                if pause <= 0 and self._under_way < self.limit:
                    break
                self._changed.wait(min(pause, LOOK) if pause > 0 else LOOK)
            self._under_way += 1
            self._asked = time.monotonic()
            return self._cuts

    def _leave(self, cuts: int, failure: Transient | None, good: bool = False) -> None:
        with self._changed:
            self._under_way -= 1
            self._asked = 0.0
            if good:
                self._proven = self._answered = True
                self._unreached = None
                self._limit = min(self._limit + 1 / self._limit, self._most)
            if isinstance(failure, Busy | TimedOut) and cuts == self._cuts:
                self._limit = max(self._limit / 2, 1.0)
                self._cuts += 1
            if failure is not None and failure.retry_after is not None:
                self._resume = max(self._resume, time.monotonic() + failure.retry_after)
            self._changed.notify_all()


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeout: float,
    secret: str | None = None,
    most: int = ANSWER_BYTES,
    **options: Any,
) -> str:
    """Send one request and return the text of the answer if its status says that it is one.

    Redirects are not followed: they would carry a prompt, or a key, to a place that nobody
    configured. Every failure is sorted, see :mod:`cai.asking.transport.faults`.

    Args:
        session: of :func:`cai.asking.transport.session.open_session`.
        timeout: seconds for the whole answer, however it comes.
        secret: a text that is blotted out of whatever the server answers.
        most: bytes of the answer that are accepted.

    Raises:
        Transient: it may pass.
        Refused: the server will not answer this.
        OutOfService: it will not answer anything.
    """
    limits = (min(CONNECT_TIMEOUT, timeout), timeout)
    options |= {"timeout": limits, "allow_redirects": False, "stream": True}
    try:
        with until(time.monotonic() + timeout), session.request(method, url, **options) as response:
            status, headers = response.status_code, response.headers
            good = status in WHOLE
            content = body_of(response, most if good else ERROR_BYTES, cut=not good)
    except TooLarge:
        raise Garbled(f"an answer of more than {most / 1e6:.0f} MB") from None
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,  # UnicodeError too: of a URL, or of an answer's head
    ) as error:
        failure = raised(_of_connection(error, timeout), address_of(url))
        if isinstance(failure, Transient):
            failure.address = address_of(url)
        raise failure from None
    text = blot(content.decode("utf-8", "replace"), secret)
    if good:
        return text
    hidden = {name: blot(str(value), secret) for name, value in headers.items()}
    fault = faults.of_response(status, text, requests.structures.CaseInsensitiveDict(hidden))
    raise raised(fault, address_of(url))


def _of_connection(error: Exception, timeout: float) -> Fault:
    """Sort what the HTTP library raises."""
    chain = list(_chain(error))
    name = type(error).__name__
    if _any(chain, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) or _any(
        chain, requests.exceptions.MissingSchema, urllib3.exceptions.LocationParseError
    ):
        return Fault("service", "address", one_line(str(error)))
    for each in chain:
        if isinstance(each, socket.gaierror):
            known = each.errno not in (socket.EAI_AGAIN, None)
            reason = f"the host's name cannot be resolved ({each.strerror})"
            return Fault("service" if known else "moment", "unreachable", reason)
        if isinstance(each, ssl.SSLCertVerificationError):
            return Fault("service", "address", f"no trusted certificate ({each.verify_message})")
        if isinstance(each, ssl.SSLError) and each.reason in (
            "WRONG_VERSION_NUMBER",
            "HTTP_REQUEST",
        ):
            return Fault("service", "address", "it does not speak https")
    if _any(chain, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError):
        return Fault("moment", "unreachable", f"no connection ({_why(chain) or name})")
    if _any(chain, TimeoutError, urllib3.exceptions.ReadTimeoutError):
        return Fault("moment", "timeout", f"no answer within {timeout:g} s")
    if _any(chain, requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError, OSError):
        return Fault("moment", "server", f"no connection ({_why(chain) or name})")
    return Fault("moment", "garbled", f"no HTTP answer ({one_line(str(error), 100)})")


def _any(chain: Sequence[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in chain)


def _why(chain: Sequence[BaseException]) -> str:
    """The system's words for a connection that failed."""
    return next((e.strerror for e in chain if type(e).__module__ == "builtins"
                 and isinstance(e, OSError) and e.strerror), "")  # fmt: skip


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was made of."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen or len(seen) > 50:
            continue
        seen.add(id(each))
        yield each
        parts = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        todo += [part for part in parts if isinstance(part, BaseException)]


def blot(text: str, secret: str | None) -> str:
    """The text without the secret, whichever way JSON spells its characters."""
    if not secret:
        return text
    spelt = (rf"(?:\\?{re.escape(one)}|\\u(?i:{ord(one):04x}))" for one in secret)
    return re.sub("".join(spelt), BLOT, text)


def persist(
    call: Callable[[], Result], attempts: int, stop: threading.Event, flow: Flow | None = None
) -> Result:
    """Call until it succeeds: at most ``attempts`` times, :class:`Transient` failures only.

    After ``LATE_TRIES`` time-outs in a row it gives up, too.

    Waits between the attempts: a random time below an exponentially growing bound (so that
    clients that failed together do not come back together), or what the server asked for by
    Retry-After; and, before each, for its turn in ``flow``. ``stop`` ends the waiting.

    Raises:
        Transient: the last failure, when no attempt succeeded.
    """
    late = 0

    def may_pass(failure: BaseException) -> bool:
        nonlocal late
        late = late + 1 if isinstance(failure, TimedOut) else 0
        return isinstance(failure, Transient) and late < LATE_TRIES

    policy = Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(attempts) | stop_when_event_set(stop),
        wait=_wait,
        sleep=sleep_using_event(stop),
        reraise=True,
    )

    turns = flow or Flow(1)

    def in_turn() -> Result:
        with turns.turn(stop):
            if stop.is_set():  # while it waited: nothing is asked any more
                raise Transient("the job ended before it was asked")
            return call()

    return policy(in_turn)


_backoff = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    told = failure.retry_after if isinstance(failure, Transient) else None
    return _backoff(state) if told is None else told
