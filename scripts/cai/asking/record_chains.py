"""One record's chain of questions as an ``async`` function, and what runs many of them at a time.

A step says what happens to one record: ``reply = await ask(...)`` and what follows from it. No
event loop is behind it: a chain hands out what it asks and is given the answers, in one thread.
"""

from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from cai.asking.chat_model import ChatModel
from cai.asking.client import Completion, Failed
from cai.asking.stream import Stream
from cai.core.progress import Progress
from cai.files.records import Ledger
from cai.models.sampling import Sampling
from cai.models.templates import Message

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = Completion | Failed


class Ask(NamedTuple):
    """The model's next turn in a conversation.

    Attributes:
        conversation: so far.
        sampling: of the turn.
        seed: of the turn.
        what: names the pass that the question belongs to, those of all records alike.
    """

    conversation: Sequence[Message]
    sampling: Sampling
    seed: int
    what: str


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


Asks = Sequence[Ask]
Chain = Coroutine[Asks, list[Answer], Result]


class _Asked:
    """What a chain waits for."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def __await__(self) -> Generator[Asks, list[Answer], list[Answer]]:
        return (yield self._asks)


async def replies(asks: Asks) -> list[Answer]:
    """The answers to questions of a chain that are asked together, in their order."""
    return await _Asked(asks)


async def reply(ask: Ask) -> Answer:
    """The answer to a question of a chain."""
    [answer] = await _Asked([ask])
    return answer


def run(
    model: ChatModel, chain: Callable[[Item], Chain[Result]], records: Sequence[Item], what: str
) -> list[Result]:
    """What a chain gives for each record, in their order.

    A server that gives each request a seed of its own is asked the next question of a chain as soon
    as its answer is there. To one that has a seed for a batch, all questions of a pass go together:
    so its batches, and hence its answers, follow from what is asked and not from when.

    Args:
        model: that is asked.
        chain: begins the chain of a record.
        records: of all chains.
        what: names the work in the progress line; where passes are, each has its own name.
    """
    if model.client.flows:
        return _flow(model, chain, records, what)
    return _waves(model, list(map(chain, records)))


def kept(outcomes: Iterable[Result | Dropped], ledger: Ledger) -> list[Result]:
    """The outcomes without those that were dropped; these go to the ledger, pass by pass."""
    results, dropped = [], []
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            dropped.append(outcome)
        else:
            results.append(outcome)
    for each in sorted(dropped, key=lambda drop: drop.stage):  # stable: in the records' order
        ledger.drop(each.reason, record=each.record)
    return results


def _waves(model: ChatModel, chains: Sequence[Chain[Result]]) -> list[Result]:
    """Run all chains until each waits, ask what they wait for, and so on."""
    results: dict[int, Result] = {}
    waiting: dict[int, Asks] = {}

    def advance(place: int, answers: list[Answer] | None) -> None:
        try:
            waiting[place] = chains[place].send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            results[place] = end.value

    for place in range(len(chains)):
        advance(place, None)
    while waiting:
        wave, waiting = waiting, {}
        answers = iter(_answers(model, [ask for asks in wave.values() for ask in asks]))
        for place, asks in wave.items():
            advance(place, [next(answers) for _ in asks])
    return [results[place] for place in range(len(chains))]


def _answers(model: ChatModel, asks: Asks) -> list[Answer]:
    """Ask pass by pass, in the order in which they come first."""
    passes: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for place, ask in enumerate(asks):
        passes[ask.what, ask.seed, ask.sampling.model_dump_json()].append(place)
    answers: dict[int, Answer] = {}
    for places in passes.values():
        first = asks[places[0]]
        conversations = [asks[place].conversation for place in places]
        found = model.replies(conversations, first.sampling, first.seed, first.what)
        answers |= zip(places, found, strict=True)
    return [answers[place] for place in range(len(asks))]


@dataclass
class _Waiting:
    """The answers that a chain waits for, and those that are there."""

    count: int
    answers: dict[int, Answer] = field(default_factory=dict)

    @property
    def in_order(self) -> list[Answer]:
        """All answers, in the order of the questions."""
        return [self.answers[number] for number in range(self.count)]


Place = tuple[int, int]  # of a chain, and of a question among those that it asks together


class _Flow:
    """The chains that go on one by one, each when its answers are there."""

    def __init__(self, model: ChatModel, stream: Stream) -> None:
        self._model, self._stream = model, stream
        self._chains: dict[int, Chain[Any]] = {}
        self._waiting: dict[int, _Waiting] = {}
        self.results: dict[int, Any] = {}

    def begin(self, place: int, chain: Chain[Any]) -> None:
        """Run a new chain until it waits for the server, or ends."""
        self._chains[place] = chain
        self._advance(place, None)

    def _advance(self, place: int, answers: list[Answer] | None) -> None:
        while True:
            try:
                asks = self._chains[place].send(answers)  # type: ignore[arg-type]
            except StopIteration as end:
                self.results[place] = end.value
                del self._chains[place]
                return
            waiting = _Waiting(len(asks))
            for number, ask in enumerate(asks):
                if (known := self._known_or_put((place, number), ask)) is not None:
                    waiting.answers[number] = known
            if len(waiting.answers) < waiting.count:
                self._waiting[place] = waiting
                return
            answers = waiting.in_order

    def _known_or_put(self, place: Place, ask: Ask) -> Answer | None:
        request = self._model.request(ask.conversation, ask.sampling, ask.seed)
        refusal = self._model.refusal(request.prompt, ask.sampling.max_tokens)
        if refusal is not None:
            return refusal
        answer: Answer | None = self._stream.put(place, self._model.client.question(request))
        return answer

    def take(self, places: Iterable[tuple[Place, Answer]]) -> int:
        """Give answers to the chains that wait for them; returns how many of these have ended."""
        before = len(self.results)
        for (place, number), answer in places:
            waiting = self._waiting[place]
            waiting.answers[number] = answer
            if len(waiting.answers) == waiting.count:
                del self._waiting[place]
                self._advance(place, waiting.in_order)
        return len(self.results) - before


def _flow(
    model: ChatModel, chain: Callable[[Item], Chain[Result]], records: Sequence[Item], what: str
) -> list[Result]:
    """Begin chains while the server bears more questions; each goes on with its own answers."""
    with Progress(len(records), what) as progress, model.client.stream() as stream:
        flow = _Flow(model, stream)
        for place, record in enumerate(records):
            while not stream.wants_more:
                progress.advance(flow.take(stream.get()))
            flow.begin(place, chain(record))
            progress.advance(place in flow.results, reused=True)
        while stream.under_way:
            progress.advance(flow.take(stream.get()))
    return [flow.results[place] for place in range(len(records))]
