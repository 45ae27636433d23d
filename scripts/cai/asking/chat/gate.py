"""A gate before a service whose answers have yet to be read: few requests pass until one is."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from cai.asking.transport.http import (
    LOOK,
)
from cai.asking.verdicts.final_words import UNREADABLE_TRIES, Unreadable


class Gate:
    """Lets few requests through until an answer can be read; counts those that cannot be.

    Args:
        expected: how answers should look like; empty: everything is let through.
        known: what was read of the journal's answers.
        is_open: whether an answer of this kind was read before.
    """

    def __init__(self, expected: str, known: Iterable[Any], is_open: bool) -> None:
        self.expected = expected
        self.is_open = is_open or not expected
        self.unread: Counter[str] = Counter()
        self.example = ""
        self._entered = self._new = 0
        self._most = UNREADABLE_TRIES
        self._changed = threading.Condition()
        for outcome in known:
            self.hear(outcome)
        self._most = max(UNREADABLE_TRIES - self.unread.total(), 1)
        self._entered = self._new = 0

    def enter(self, stop: threading.Event) -> None:
        """Wait until a request may be sent."""
        with self._changed:
            while not self.is_open and self._entered >= self._most and not stop.is_set():
                self._changed.wait(LOOK)
            self._entered += 1

    def hear(self, outcome: Any) -> None:
        """Learn from what was read."""
        with self._changed:
            if not isinstance(outcome, Unreadable):
                self.is_open = True
            elif outcome.answer is None:  # there was no answer
                self._entered -= 1
            else:
                self._new += 1
                self.unread[outcome.reason] += 1
                self.example = self.example or outcome.answer
            self._changed.notify_all()

    def is_shut(self, *, at_end: bool) -> bool:
        """Whether enough answers came to know that none can be read."""
        if self.is_open:
            return False
        return self.unread.total() >= UNREADABLE_TRIES and (at_end or self._new >= self._most)
