"""Questions to a server that come one by one, with the journal before it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Self

from cai.asking.journal.entries import Journal
from cai.asking.protocol import Failed, Question, Reply
from cai.asking.transport.pool import Pool
from cai.asking.usage import Usage

FULL = 2  # questions under way for each call that runs: what is asked next lies ready


class Stream:
    """Asks questions as they come; what the journal holds is answered at once.

    Use as a context manager.

    Args:
        source: gives what asks a server; called for the first question that has no answer.
        journal: where finished answers are kept.
        usage: counts them.
        read: makes a value of a reply.
        kept: the value of a key in the journal.
        origin: what the journal names the model and the sampling of a question by.
    """

    def __init__(
        self,
        source: Callable[[], Pool[Question, Reply | Failed]],
        journal: Journal,
        usage: Usage,
        read: Callable[[Question, Reply | Failed], Any],
        kept: Callable[[str], Any],
        origin: Callable[[Question], tuple[str, str]],
    ) -> None:
        self._source, self._journal, self._usage = source, journal, usage
        self._pool: Pool[Question, Reply | Failed] | None = None
        self._read, self._kept, self._origin = read, kept, origin
        self._waiting: dict[str, list[Any]] = {}
        self._failed: dict[str, Failed] = {}  # not asked again in this run

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

    def put(self, tag: Any, question: Question) -> Any:
        """Ask a question, or return its answer if that is known.

        The tag comes back with the answer; equal questions are asked once.
        """
        if question.key in self._waiting:
            self._waiting[question.key].append(tag)
            return None
        if question.key in self._failed:
            return self._failed[question.key]
        if question.key in self._journal:
            self._usage.answered(question.key, None, reused=True)
            return self._kept(question.key)
        self._waiting[question.key] = [tag]
        self._pool = self._pool or self._source()
        self._pool.put(question)
        return None

    def get(self) -> list[tuple[Any, Any]]:
        """The tags with the answers that have come since the last look; they are in the journal."""
        assert self._pool is not None, "nothing is asked"
        finished = self._pool.get()
        alike: dict[str, dict[str, Any]] = defaultdict(dict)
        first: dict[str, Question] = {}
        for question, reply in finished:
            used = None if isinstance(reply, Failed) else reply.used
            self._usage.answered(question.key, used)
            value = self._read(question, reply)
            if isinstance(value, Failed):
                self._failed[question.key] = value
                value = value.kept
            if value is not None:
                alike[question.parameters][question.key] = value
                first[question.parameters] = question
        for parameters, values in alike.items():
            self._journal.put_all(values, *self._origin(first[parameters]))
        return [pair for question, _ in finished for pair in self._answered(question.key)]

    def _answered(self, key: str) -> Sequence[tuple[Any, Any]]:
        answer = self._failed.get(key) or self._kept(key)
        return [(tag, answer) for tag in self._waiting.pop(key)]
