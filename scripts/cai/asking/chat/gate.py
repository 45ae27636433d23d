"""A gate before a service whose answers have yet to be read: few requests pass until one is."""

import threading
from collections import Counter
from typing import Any

from cai.asking.transport.http import LOOK
from cai.asking.verdicts.final_words import UNREADABLE_TRIES, Unreadable


class Gate:
    """Lets few requests through until an answer can be read; counts those that cannot be.

    Args:
        expected: how answers should look like; empty: everything is let through.

    Attributes:
        is_open: whether an answer of this kind was read, or nothing is expected.
    """

    def __init__(self, expected: str) -> None:
        self.expected = expected
        self.is_open = not expected
        self.unread: Counter[str] = Counter()
        self.example = ""
        self._entered = self._new = 0
        self._changed = threading.Condition()

    def enter(self, stop: threading.Event) -> None:
        """Wait until a request may be sent."""
        with self._changed:
            while not self.is_open and self._entered >= self._most and not stop.is_set():
                self._changed.wait(LOOK)
            self._entered += 1

    def hear(self, outcome: Any, *, known: bool = False) -> None:
        """Learn from what was read, of the service or, if it was known, of the journal."""
        with self._changed:
            if not isinstance(outcome, Unreadable):
                self.is_open = True
            elif outcome.answer is None:  # there was no answer
                self._entered -= not known
            else:
                self._new += not known
                self.unread[outcome.reason] += 1
                self.example = self.example or outcome.answer
            self._changed.notify_all()

    def is_shut(self, *, at_end: bool) -> bool:
        """Whether enough answers came to know that none can be read."""
        if self.is_open:
            return False
        return self.unread.total() >= UNREADABLE_TRIES and (at_end or self._new >= self._most)

    @property
    def _most(self) -> int:
        """Requests that are let through, beside those that the journal has answers to."""
        return max(UNREADABLE_TRIES - self.unread.total() + self._new, 1)
