"""One record's chain of questions as an ``async`` function, and what runs many of them at a time.

A step says what happens to one record: ``answer = await reply(...)`` and what follows from it. No
event loop is behind it: a chain hands out what it asks and is given the answers, in one thread.
"""

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cai.core.progress import Progress
from cai.files.lazily import Rows
from cai.files.records import Ledger

AHEAD = 10_000  # outcomes that wait for an earlier one at most; no chain begins meanwhile
NOTHING = object()  # what a chain that asks nothing asks in a pass, to stay in step with the others

Item = TypeVar("Item")
Result = TypeVar("Result")
Tag = tuple[int, int]  # the place of a chain, and of a question among those that it asks together


class Answers(Protocol):
    """What gives the answers to the questions of chains.

    Attributes:
        in_passes: whether questions wait for those of all chains.
        shows_chains: whether a line shows how many chains have ended; passes have their own lines.
    """

    in_passes: bool
    shows_chains: bool

    @property
    def wants_more(self) -> bool:
        """Whether more questions should be put, if there are any."""

    @property
    def under_way(self) -> int:
        """Questions without an answer so far."""

    def put(self, tag: Tag, ask: Any) -> Any:
        """Ask a question, or return its answer if that is known."""

    def get(self) -> Iterable[tuple[Tag, Any]]:
        """Answers that have come, with the tags of their questions."""


class Answering(Protocol):
    """Who is asked the questions of chains."""

    def stream(self) -> AbstractContextManager[Answers]:
        """What gives the answers; it is open as long as chains run."""


class Passes:
    """Asks the questions of all chains together, then those that follow from the answers.

    Args:
        ask: gives the answers to questions, in their order.
    """

    in_passes = wants_more = True
    shows_chains = False

    def __init__(self, ask: Callable[[list[Any]], Sequence[Any]]) -> None:
        self._ask = ask
        self._asked: list[tuple[Tag, Any]] = []

    @property
    def under_way(self) -> int:
        """Questions without an answer so far."""
        return len(self._asked)

    def put(self, tag: Tag, ask: Any) -> None:
        """Add a question to the pass."""
        self._asked.append((tag, ask))

    def get(self) -> Iterator[tuple[Tag, Any]]:
        """Ask all of the pass."""
        asked, self._asked = self._asked, []
        answers = iter(self._ask([ask for _, ask in asked if ask is not NOTHING]))
        for tag, ask in asked:
            yield tag, NOTHING if ask is NOTHING else next(answers)


@dataclass
class Dropped:
    """The end of a chain without a result.

    Attributes:
        stage: the number of the pass in which it ended.
        reason: for the ledger.
        record: what there is of it.
    """

    stage: int
    reason: str
    record: Any


Asks = Sequence[Any]
Chain = Coroutine[Asks, list[Any], Result]


class _Asked:
    """What a chain waits for."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def __await__(self) -> Generator[Asks, list[Any], list[Any]]:
        return (yield self._asks)


async def replies(asks: Asks) -> list[Any]:
    """The answers to questions of a chain that are asked together, in their order."""
    return await _Asked(asks)


async def reply(ask: Any) -> Any:
    """The answer to a question of a chain."""
    [answer] = await _Asked([ask])
    return answer


def run(
    model: Answering, chain: Callable[[Item], Chain[Result]], records: Rows[Item], what: str
) -> Iterator[Result]:
    """Yield what a chain gives for each record, in their order.

    A server that gives each request a seed of its own is asked the next question of a chain as soon
    as its answer is there. To one that has a seed for a batch, all questions of a pass go together:
    so its batches, and hence its answers, follow from what is asked and not from when.

    Args:
        model: that is asked.
        chain: begins the chain of a record.
        records: of all chains.
        what: names the work in the progress line; where passes are, each has its own name.
    """
    with (
        model.stream() as answers,
        Progress(len(records), what if answers.shows_chains else None) as progress,
    ):
        flow = _Flow(answers)
        for record in records:
            while flow.must_wait:
                progress.advance(flow.take())
                yield from flow.in_order()
            progress.advance(flow.begin(chain(record)), reused=True)
            yield from flow.in_order()
        while answers.under_way:
            progress.advance(flow.take())
            yield from flow.in_order()


def kept(outcomes: Iterable[Result | Dropped], ledger: Ledger) -> Iterator[Result]:
    """The outcomes without those that were dropped; these go to the ledger, pass by pass."""
    dropped = []
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            dropped.append(outcome)
        else:
            yield outcome
    for each in sorted(dropped, key=lambda drop: drop.stage):  # stable: in the records' order
        ledger.drop(each.reason, record=each.record)


@dataclass
class _Waiting:
    """The answers that a chain waits for, and those that are there."""

    count: int
    answers: dict[int, Any] = field(default_factory=dict)

    @property
    def in_order(self) -> list[Any]:
        """All answers, in the order of the questions."""
        found = (self.answers[number] for number in range(self.count))
        return [answer for answer in found if answer is not NOTHING]


class _Flow:
    """The chains that go on one by one, each when its answers are there."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._chains: dict[int, Chain[Any]] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._results: dict[int, Any] = {}
        self._begun = self._given = 0

    @property
    def must_wait(self) -> bool:
        """Whether no chain should begin before answers have come."""
        answers = self._answers
        full = len(self._results) >= AHEAD and not answers.in_passes
        return answers.under_way > 0 and (full or not answers.wants_more)

    def begin(self, chain: Chain[Any]) -> int:
        """Run a new chain until it waits for an answer, or ends; returns whether it has ended."""
        place, self._begun = self._begun, self._begun + 1
        self._chains[place] = chain
        self._advance(place, None)
        return int(place not in self._chains)

    def take(self) -> int:
        """Give chains the answers that have come; returns how many of them have ended."""
        before = len(self._chains)
        for (place, number), answer in self._answers.get():
            waiting = self._waiting[place]
            waiting.answers[number] = answer
            if len(waiting.answers) == waiting.count:
                del self._waiting[place]
                self._advance(place, waiting.in_order)
        return before - len(self._chains)

    def in_order(self) -> Iterator[Any]:
        """The results that are next in the order of the records."""
        while self._given in self._results:
            yield self._results.pop(self._given)
            self._given += 1

    def _advance(self, place: int, answers: list[Any] | None) -> None:
        while True:
            try:
                asks = self._chains[place].send(answers)  # type: ignore[arg-type]
            except StopIteration as end:
                self._results[place] = end.value
                del self._chains[place]
                return
            if not asks and self._answers.in_passes:
                asks = [NOTHING]
            waiting = _Waiting(len(asks))
            for number, ask in enumerate(asks):
                if (known := self._answers.put((place, number), ask)) is not None:
                    waiting.answers[number] = known
            if len(waiting.answers) < waiting.count:
                self._waiting[place] = waiting
                return
            answers = waiting.in_order
