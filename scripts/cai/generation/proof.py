"""Whose fault a failure is: found out by a trivial question of the same form."""

import threading
from collections.abc import Callable
from typing import TypeVar

from cai.errors import UserError
from cai.generation.http import Busy, Flow, Refused, TimedOut, Transient, Unreachable

HELLO = "Hello"  # a trivial prompt
ABOUT_CONTENT = ("content_filter",)  # a refusal for it says that the form of the request is fine
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

    def accept(self, form: str) -> None:
        """Know that a question of this form was answered."""
        self._accepted.add(form)
        self._flow.prove()

    def blame(self, form: str, failure: Refused | Transient) -> None:
        """Return if the prompt is at fault; ask a trivial one to find out, where need be.

        Raises:
            UserError: the service is at fault.
        """
        if isinstance(failure, Refused):
            if failure.fault.cause in ABOUT_CONTENT:
                self._flow.prove()
                return
            if form in self._accepted:
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
        with self._flow.first(stop):
            for left in reversed(range(ROUNDS)):
                try:
                    result = send()
                except (Refused, Transient) as failure:
                    self.blame(form, failure)
                    if not left or not isinstance(failure, Busy | Unreachable):
                        return failure
                else:
                    self.accept(form)
                    return result
        raise AssertionError("the last round returns")
