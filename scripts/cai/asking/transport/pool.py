"""Calls in flight: of a list of items, or with an open end, where an answer leads to new items."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from cai.asking.transport.http import LOOK

DRAIN = 20.0  # seconds that answers under way get when a call has failed
Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool(Generic[Item, Result]):
    """Calls a function for each item that is put in, ``calls`` of them at a time.

    The first exception ends all and is raised by :meth:`get`. Before it come the answers that are
    on their way: they may have been paid for. The threads are daemons: an interrupted program
    waits for none.

    Attributes:
        under_way: items whose results :meth:`get` has not given yet.
        calls: that run at a time.
    """

    def __init__(
        self, function: Callable[[Item], Result], calls: int, stop: threading.Event
    ) -> None:
        self.under_way, self.calls = 0, calls
        self._function, self._stop = function, stop
        self._todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Item, Result] | BaseException] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._deadline = 0.0

    def close(self) -> None:
        """End the threads, each with the call that it is at."""
        self._stop.set()

    def put(self, item: Item) -> None:
        """Add something to do."""
        self.under_way += 1
        self._todo.put(item)
        if len(self._threads) < min(self.under_way, self.calls):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    def get(self) -> list[tuple[Item, Result]]:
        """All that have finished since the last look, at least one.

        Raises:
            BaseException: the first that a call has raised.
        """
        while True:
            good = []
            for each in self._finished():
                if isinstance(each, BaseException):
                    self._fail(each)
                else:
                    good.append(each)
            if good:
                self.under_way -= len(good)
                return good
            if self._failure is not None and self._is_over():
                raise self._failure

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure, self._deadline = error, time.monotonic() + DRAIN

    def _is_over(self) -> bool:
        """Whether nothing more will come, or not in time."""
        ended = not any(thread.is_alive() for thread in self._threads)
        return (ended and self._done.empty()) or time.monotonic() > self._deadline

    def _finished(self) -> list[tuple[Item, Result] | BaseException]:
        """What is there; nothing if none came within a moment."""
        try:
            finished = [self._done.get(timeout=LOOK)]
        except queue.Empty:
            return []
        while not self._done.empty():
            finished.append(self._done.get())
        return finished

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._todo.get(timeout=LOOK)
            except queue.Empty:
                continue
            try:
                self._done.put((item, self._function(item)))
            except BaseException as error:  # raised again in the caller's thread
                self._done.put(error)  # before others fail because of the stop
                self._stop.set()


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

    Who writes them to a disk writes them together, while the next ones are under way. A failure
    ends the iteration, see :class:`Pool`. ``stop`` is set at the end.
    """
    pool = Pool(function, calls, stop)
    for item in items:
        pool.put(item)
    try:
        while pool.under_way:
            yield pool.get()
    finally:
        pool.close()
