"""Questions to a server that come one by one, with the journal before it."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from cai.asking.journal.entries import Journal
from cai.asking.protocol import Failed
from cai.asking.transport.pool import Pool

FULL = 2  # questions under way for each call that runs: what is asked next lies ready


class Keyed(Protocol):
    """A question that the journal knows by a key."""

    @property
    def key(self) -> str:
        """A digest of what determines the answer."""


Asked = TypeVar("Asked", bound=Keyed)


class Stream(Generic[Asked]):
    """Asks questions as they come; what the journal holds is answered at once.

    Use as a context manager.

    Args:
        question: what asks for something, or why it is not asked.
        source: gives what asks a server; called for the first question that has no answer.
        journal: where finished answers are kept.
        known: the answer that the journal holds.
        taken: keeps what came and reads it: the answers to questions, in their order.
    """

    in_passes = False
    shows_chains = True

    def __init__(
        self,
        question: Callable[[Any], Asked | Failed],
        source: Callable[[], Pool[Asked, Any]],
        journal: Journal,
        known: Callable[[Asked], Any],
        taken: Callable[[Sequence[tuple[Asked, Any]]], Sequence[Any]],
    ) -> None:
        self._question, self._source, self._journal = question, source, journal
        self._known, self._taken = known, taken
        self._pool: Pool[Asked, Any] | None = None
        self._waiting: dict[str, list[Any]] = {}
        self._failed: dict[str, Any] = {}  # not asked again in this run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.close()

    @property
    def under_way(self) -> int:
        """Questions without an answer so far."""
        return self._pool.under_way if self._pool else 0

    @property
    def wants_more(self) -> bool:
        """Whether the server would soon have nothing to do."""
        return self._pool is None or self._pool.under_way < FULL * self._pool.calls

    def put(self, tag: Any, ask: Any) -> Any:
        """Ask for something, or return its answer if that is known.

        The tag comes back with the answer; equal questions are asked once.
        """
        question = self._question(ask)
        if isinstance(question, Failed):
            return question
        key = question.key
        if key in self._waiting:
            self._waiting[key].append(tag)
            return None
        if key in self._failed:
            return self._failed[key]
        if key in self._journal:
            return self._known(question)
        self._waiting[key] = [tag]
        self._pool = self._pool or self._source()
        self._pool.put(question)
        return None

    def get(self) -> list[tuple[Any, Any]]:
        """The tags with the answers that have come since the last look; they are in the journal."""
        assert self._pool is not None, "nothing is asked"
        finished = self._pool.get()
        answers = self._taken(finished)
        pairs = []
        for (question, _), answer in zip(finished, answers, strict=True):
            if question.key not in self._journal:
                self._failed[question.key] = answer
            pairs += [(tag, answer) for tag in self._waiting.pop(question.key)]
        return pairs
