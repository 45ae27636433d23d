"""Whose fault a failure is, found by a trivial question of the same form."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cai.asking.transport.http import Busy, Flow, Refused, TimedOut, Transient, Unreachable
from cai.core.errors import UserError

HELLO = "Hello"  # a trivial prompt
ABOUT_CONTENT = ("content_filter",)  # a refusal for it says that the form of the request is fine
MOST_WAITING = 8  # prompts that are refused before a trivial one is asked
STARTING = 0.3  # seconds in which all threads have begun
ROUNDS = 3  # in which a question is asked that only an overloaded service keeps from its answer

Result = TypeVar("Result")


class Proof:
    """Tells a prompt that fails from a service that fails.

    A form is what questions have in common: their parameters. A prompt is at fault if the service
    answers another question of the same form.

    Args:
        flow: what requests go through. While the service is not proven there, one question is asked
            at a time, until one is answered.
        probe: asks a trivial question of a form; raises what goes wrong.
        refuses: the error that says that the service refuses all questions of a form.
        broken: the error that says that it answers none.
    """

    def __init__(
        self,
        flow: Flow,
        probe: Callable[[str], object],
        refuses: Callable[[Refused], UserError],
        broken: Callable[[Transient], UserError],
    ) -> None:
        self._flow = flow
        self._probe, self._refuses, self._broken = probe, refuses, broken
        self._accepted: set[str] = set()
        self._changed = threading.Condition()
        self._inside = self._waiting = 0  # threads that ask; those of them whose prompt was refused

    def accept(self, form: str) -> None:
        """Know that a question of this form was answered."""
        with self._changed:
            self._accepted.add(form)
            self._changed.notify_all()
        self._flow.prove()

    def _is_clear(self, form: str, failure: Refused | Transient) -> bool:
        """Whether a failure is known to be the prompt's."""
        if isinstance(failure, Refused) and failure.fault.cause in ABOUT_CONTENT:
            self._flow.prove()
            return True
        return isinstance(failure, Refused) and form in self._accepted

    def _blame(self, form: str, failure: Refused | Transient) -> None:
        """Return if the prompt is at fault; ask a trivial one to find out, where need be."""
        if self._is_clear(form, failure):
            return
        try:
            self._probe(form)
        except Refused as error:
            if error.fault.cause not in ABOUT_CONTENT:
                raise self._refuses(error) from None
        except TimedOut as error:
            raise self._broken(TimedOut(f"{error} (client.timeout)")) from None
        except Transient as error:
            raise self._broken(error) from None
        self.accept(form)

    def answer(
        self, form: str, send: Callable[[], Result], stop: threading.Event
    ) -> Result | Refused | Transient:
        """What ``send`` returns, or the failure that is the prompt's own.

        Raises:
            UserError: the service is at fault.
        """
        with self._changed:
            self._inside += 1
        try:
            outcome = self._asked(form, send, stop)
            if isinstance(outcome, Refused) and not self._is_clear(form, outcome):
                self._wait_for_another(form, stop)
                with self._flow.first(stop):
                    self._blame(form, outcome)
            return outcome
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _asked(
        self, form: str, send: Callable[[], Result], stop: threading.Event
    ) -> Result | Refused | Transient:
        with self._flow.first(stop):
            for left in reversed(range(ROUNDS)):
                try:
                    result = send()
                except Refused as failure:
                    return failure
                except Transient as failure:
                    self._blame(form, failure)
                    if not left or not isinstance(failure, Busy | Unreachable):
                        return failure
                else:
                    self.accept(form)
                    return result
        raise AssertionError("the last round returns")

    def _wait_for_another(self, form: str, stop: threading.Event) -> None:
        """Wait for another thread's question to be answered: that proves more than a trivial one.

        Not for ever: until all threads wait, or ``MOST_WAITING`` do.
        """
        begun = time.monotonic()
        with self._changed:
            self._waiting += 1
            while form not in self._accepted and not stop.is_set():
                enough = self._waiting >= min(self._inside, MOST_WAITING)
                if enough and time.monotonic() - begun > STARTING:
                    break
                self._changed.wait(STARTING)
            self._waiting -= 1
