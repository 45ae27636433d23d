"""What all protocols share: one retry policy, and calls in flight, as many as a server bears."""

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

CONNECT_TIMEOUT = 10.0  # seconds
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between two attempts
LONGEST_RETRY_AFTER = 600.0  # seconds; a server that asks for more is not waited for longer
BLOT = "[key]"
SHOWN = 300  # characters of a server's answer that are shown in a message
LOOK = 0.5  # seconds after which a thread that waits for its turn looks whether all is over

Item = TypeVar("Item")
Result = TypeVar("Result")


class Transient(Exception):
    """A failure that may pass: no connection, an overloaded or broken server, a garbled answer."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Busy(Transient):
    """The server is given more than it can do: HTTP 429 or 503."""


class TimedOut(Transient):
    """The server took the request and did not answer in time."""


class Refused(Exception):
    """The server answered that it will not do this; asking again would change nothing."""

    def __init__(self, reason: str, status: int = 200) -> None:
        super().__init__(reason)
        self.status = status


def direct_session(connections: int = 1) -> requests.Session:
    """A session for servers of this cluster: a proxy must not stand between a node and itself.

    It keeps so many connections open, for as many threads.
    """
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=connections))
    return session


class Flow:
    """How many requests a server gets at a time: as many as it bears, at most ``most``.

    All threads that ask one server share it. Additive increase, multiplicative decrease: each
    window of answers lets one request more through; an answer that says that the server is
    overloaded (:class:`Busy`, :class:`TimedOut`) halves the limit, once for all requests that were
    under way together. A server's Retry-After pauses all of them.

    Source: Chiu and Jain 1989, "Analysis of the increase and decrease algorithms for congestion
    avoidance in computer networks".
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._under_way = 0
        self._cuts = 0
        self._resume = 0.0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be under way at a time."""
        return int(self._limit)

    @contextmanager
    def turn(self, stop: threading.Event) -> Iterator[None]:
        """Wait for a turn, and learn from what becomes of the request that is made in it.

        When ``stop`` is set there is nothing to wait for any more: the turn is given at once.
        """
        cuts = self._enter(stop)
        try:
            yield
        except Transient as failure:
            self._leave(cuts, failure)
            raise
        except BaseException:
            self._leave(cuts, None)
            raise
        self._leave(cuts, None, good=True)

    def _enter(self, stop: threading.Event) -> int:
        with self._changed:
            while not stop.is_set():
                pause = self._resume - time.monotonic()
                if pause <= 0 and self._under_way < self.limit:
                    break
                self._changed.wait(min(pause, LOOK) if pause > 0 else LOOK)
            self._under_way += 1
            return self._cuts

    def _leave(self, cuts: int, failure: Transient | None, good: bool = False) -> None:
        with self._changed:
            self._under_way -= 1
            if good:
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
    **options: Any,
) -> str:
    """Send one request and return the text of the answer if its status is 200.

    Redirects are not followed: they would carry a prompt to a place that nobody configured.

    Args:
        timeout: seconds that the server may stay silent once it is connected.
        secret: a text that is blotted out of whatever the server answers.

    Raises:
        Transient: no connection, HTTP 408, 425 or 5xx; :class:`Busy` for 429 and 503,
            :class:`TimedOut` for a late answer.
        Refused: any other status.
    """
    limits = (CONNECT_TIMEOUT, timeout)
    try:
        response = session.request(method, url, timeout=limits, allow_redirects=False, **options)
    except requests.exceptions.ReadTimeout:
        raise TimedOut(f"no answer within {timeout:g} s") from None
    except requests.exceptions.InvalidURL as error:
        raise Refused(str(error), 400) from None
    except requests.exceptions.RequestException as error:
        raise Transient(f"no connection ({type(error).__name__})") from None
    status = response.status_code
    text = blot(response.content.decode("utf-8", "replace"), secret)
    if status == 200:
        return text
    reason = f"HTTP {status}: {' '.join(text.split())[:SHOWN]}"
    if status in (429, 503):
        raise Busy(reason, _retry_after(response))
    if status in (408, 425) or status >= 500:
        raise Transient(reason, _retry_after(response))
    raise Refused(reason, status)


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

    Waits between the attempts: a random time below an exponentially growing bound (so that
    clients that failed together do not come back together), or what the server asked for by
    Retry-After; and, before each, for its turn in ``flow``. ``stop`` ends the waiting.

    Raises:
        Transient: the last failure, when no attempt succeeded.
    """
    policy = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(attempts) | stop_when_event_set(stop),
        wait=_wait,
        sleep=sleep_using_event(stop),
        reraise=True,
    )

    turns = flow or Flow(1)

    def in_turn() -> Result:
        with turns.turn(stop):
            return call()

    return policy(in_turn)


_backoff = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    failure = state.outcome.exception()
    return failure.retry_after if failure.retry_after is not None else _backoff(state)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds to wait by the Retry-After header (a number or an HTTP date), None without one."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER)


def in_flight(
    function: Callable[[Item], Result], items: Sequence[Item], calls: int, stop: threading.Event
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, function(item))`` as they finish, with ``calls`` of them running at a time.

    See :func:`in_flight_together`.
    """
    for finished in in_flight_together(function, items, calls, stop):
        yield from finished


def in_flight_together(
    function: Callable[[Item], Result], items: Sequence[Item], calls: int, stop: threading.Event
) -> Iterator[list[tuple[Item, Result]]]:
    """As :func:`in_flight`, but yield all that have finished since the last look, at least one.

    Who writes them to a disk writes them together, while the next ones are under way.

    The first exception ends the iteration and is raised. The threads are daemons: an interrupted
    program does not wait for answers that are still on their way. ``stop`` is set at the end.
    """
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Item, Result | None, BaseException | None]] = queue.SimpleQueue()
    for item in items:
        todo.put(item)

    def work() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, function(item), None))
            except BaseException as error:  # raised again in the caller's thread
                stop.set()
                done.put((item, None, error))

    for _ in range(min(calls, len(items))):
        threading.Thread(target=work, daemon=True).start()
    try:
        left = len(items)
        while left:
            finished = [done.get()]
            while not done.empty():
                finished.append(done.get())
            good = [(item, result) for item, result, error in finished if error is None]
            if good:
                yield good
            for error in (error for _, _, error in finished if error is not None):
                raise error
            left -= len(finished)
    finally:
        stop.set()
