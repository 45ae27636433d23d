"""The paper's judge: soft labels of pairs, from a model's choice between "(A)" and "(B)".

Each pair is asked about under the principles drawn for it, in one order or in both, once or several
times, with or without chain of thought; the label is the mean of the answers, or the product of the
principles' odds. A wrong or missing answer is counted and left out. A pair that is without any
answer to one of its questions is dropped: a mean over one order, or over some of its principles,
would be another label.

Source: Bai et al. 2022 (arXiv 2212.08073), section 4.1 and (principles averaged) 4.3; asking in
both orders, voting, and the product of odds are additions.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from statistics import fmean
from typing import NamedTuple, Protocol

from cai.asking.record_chains import Answering, run
from cai.asking.verdicts.final_words import Unreadable
from cai.files.lazily import Rows
from cai.files.records import Ledger
from cai.judging.pairs import Comparison, Preference, Said, draw_pairs
from cai.models.templates import Message, single_turn
from cai.settings.constitution import draw_principles
from cai.settings.judges import Pairwise, Reasoning
from cai.steps.candidates import Candidates

Conversation = list[Message]


class Asker(Protocol):
    """A model that can be asked for reasoning and for a choice between (A) and (B)."""

    @property
    def answering(self) -> Answering:
        """Who answers what is asked."""

    async def reason(
        self, conversations: Sequence[Conversation], settings: Reasoning, sample: int
    ) -> list[str | Unreadable]:
        """The model's reasoning in each conversation; another ``sample`` is another draw."""

    async def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """P(A) in each conversation; a vote is 0 or 1."""


class Question(NamedTuple):
    """A comparison under a principle (None: the whole constitution), in one of its two orders."""

    pair: Comparison
    principle: str | None
    swapped: bool


class Answer(NamedTuple):
    """The probability that the answer shown first is better, and the reasoning before it."""

    p_first: float
    reasoning: str | None = None


Answers = Mapping[Question, Sequence[Answer | Unreadable]]  # one of each sample

LEAST = 0.01  # a probability whose odds count, so that one vote cannot outweigh all others


def judge_pairs(
    kind: str,
    settings: Pairwise,
    orders: Sequence[bool],
    records: Rows[Candidates],
    principles: dict[str, str],
    seed: int,
    asker: Asker,
    ledger: Ledger,
) -> Iterator[Preference]:
    """Soft labels: ``p_a`` is the mean, over orders and samples, of P(a is better).

    ``settings.combine`` says how the probabilities under several principles become one.

    Args:
        kind: of the judge, for the records.
        settings: what is asked.
        orders: whether the pair is swapped, for each time that it is asked about.
        records: of candidates.
        principles: preference texts by id.
        seed: of the draws of pairs, of their orders and of principles.
        asker: who is asked.
        ledger: counts pairs; its note ``answers`` counts what the judge answered.
    """
    counts = AnswerCounts(ledger)

    async def judged(record: Candidates) -> list[tuple[Comparison, Answers]]:
        pairs = draw_pairs(record, settings.pairs, seed)
        asked = [
            Question(pair, name, swapped)
            for pair in pairs
            for swapped, name in product(orders, _drawn(pair, list(principles), settings, seed))
        ]
        answers = await _ask(settings, asked, principles, asker)
        return [(pair, {q: answers[q] for q in asked if q.pair == pair}) for pair in pairs]

    for found in run(asker.answering, judged, records, "judge"):
        ledger.count_in(len(found))
        for pair, answers in found:
            counts.add(sample for samples in answers.values() for sample in samples)
            wrong = unanswered(answers)
            if wrong is None:
                yield soft_label(kind, pair, answers, COMBINE[settings.combine], settings.tie)
            else:
                ledger.drop(wrong.reason, record={**pair._asdict(), **wrong.kept()})


def _drawn(pair: Comparison, ids: list[str], settings: Pairwise, seed: int) -> Sequence[str | None]:
    if settings.constitution == "whole":
        return [None]
    both = "\x1f".join(sorted((pair.a, pair.b)))
    return draw_principles(seed, pair.id, both, ids, settings.principles_per_comparison)


async def _ask(
    settings: Pairwise, questions: Sequence[Question], principles: dict[str, str], asker: Asker
) -> Answers:
    """Ask every question as many times as there are samples."""
    form = settings.reasoning.question if settings.reasoning else settings.question
    conversations = [single_turn(_filled(form, question, principles)) for question in questions]
    samples = [
        await _reasoned(settings.reasoning, conversations, sample, asker)
        if settings.reasoning
        else [_answer(p) for p in await asker.choose(conversations, sample)]
        for sample in range(settings.samples)
    ]
    return dict(zip(questions, zip(*samples, strict=True), strict=True))


def _filled(form: str, question: Question, principles: dict[str, str]) -> str:
    """The question's text, filled in one pass: an answer that holds "{b}" is text, not a slot."""
    pair, name = question.pair, question.principle
    a, b = (pair.b, pair.a) if question.swapped else (pair.a, pair.b)
    principle = whole_constitution(principles.values()) if name is None else principles[name]
    values = {"prompt": pair.prompt, "a": a, "b": b, "principle": principle}
    return re.sub(r"\{(prompt|a|b|principle)\}", lambda match: values[match[1]], form)


def whole_constitution(texts: Iterable[str]) -> str:
    """All principles as one text."""
    return "Weigh all of these principles together:\n" + numbered(texts)


def numbered(texts: Iterable[str]) -> str:
    """The texts as a numbered list, a line each."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


async def _reasoned(
    settings: Reasoning, conversations: Sequence[Conversation], sample: int, asker: Asker
) -> list[Answer | Unreadable]:
    """Ask for reasoning, then, with it, for the answer."""
    thoughts = await asker.reason(conversations, settings, sample)
    follow_ups: list[Conversation] = [
        [*asked, {"role": "assistant", "content": thought}, *single_turn(settings.request)]
        for asked, thought in zip(conversations, thoughts, strict=True)
        if not isinstance(thought, Unreadable)
    ]
    choices = iter(await asker.choose(follow_ups, sample))
    return [
        thought
        if isinstance(thought, Unreadable)
        else _answer(next(choices), thought, settings.clamp)
        for thought in thoughts
    ]


def _answer(
    p_first: float | Unreadable, reasoning: str | None = None, clamp: float = 0.0
) -> Answer | Unreadable:
    if isinstance(p_first, Unreadable):
        return p_first
    return Answer(clamped(p_first, clamp), reasoning)


def clamped(probability: float, least: float) -> float:
    """The probability, or the nearer end of [least, 1 - least] if it is not within."""
    return min(max(probability, least), 1.0 - least)


class AnswerCounts:
    """How many answers were asked for, and why some do not count: a ledger's note ``answers``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._asked, self._failed = 0, Counter[str]()
        self.add(())

    def add(self, answers: Iterable[object]) -> None:
        """Count answers."""
        for answer in answers:
            self._asked += 1
            if isinstance(answer, Unreadable):
                self._failed[answer.reason] += 1
        failed = dict(sorted(self._failed.items()))
        self._ledger.notes["answers"] = {"asked": self._asked, "failed": failed}


def unanswered(answers: Answers) -> Unreadable | None:
    """What went wrong with the first question that has no answer at all, None if all have one."""
    for samples in answers.values():
        failed = [sample for sample in samples if isinstance(sample, Unreadable)]
        if len(failed) == len(samples):
            return failed[0]
    return None


def soft_label(
    kind: str,
    pair: Comparison,
    answers: Answers,
    combine: Callable[[Sequence[float]], float] = fmean,
    tie: float = 0.0,
) -> Preference:
    """The record of a comparison, of which each question has an answer.

    Each order and each principle weighs the same, however many of its samples could be read; a
    principle whose probability is within ``tie`` of 1/2 has no opinion.
    """
    of_a = {question: _p_a(question, samples) for question, samples in answers.items()}
    orders = sorted({question.swapped for question in of_a})
    names = list(dict.fromkeys(question.principle for question in of_a))
    by_principle = {
        name: settled(fmean(p for q, p in of_a.items() if q.principle == name), tie)
        for name in names
    }
    judge: Said = {
        "kind": kind,
        "by_order": [combine([p for q, p in of_a.items() if q.swapped == x]) for x in orders],
    }
    drawn = {name: p_a for name, p_a in by_principle.items() if name is not None}
    if drawn:
        judge["by_principle"] = drawn
    read = [s for samples in answers.values() for s in samples if isinstance(s, Answer)]
    if read[0].reasoning is not None:
        judge["reasoning"] = read[0].reasoning  # one, as an example; all are in the journal
    return pair.row("+".join(drawn) or None, combine(list(by_principle.values())), judge)


def settled(probability: float, tie: float) -> float:
    """The probability, or 1/2 if it is within ``tie`` of that."""
    return 0.5 if abs(probability - 0.5) <= tie else probability


def product_of_odds(probabilities: Sequence[float]) -> float:
    """The probability whose odds are the product of these, as of independent opinions.

    One alone stays as it is, but within ``LEAST`` and one minus that.
    """
    kept = [clamped(probability, LEAST) for probability in probabilities]
    yes, no = prod(kept), prod(1 - probability for probability in kept)
    return yes / (yes + no)


COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "odds": product_of_odds}


def _p_a(question: Question, samples: Sequence[Answer | Unreadable]) -> float:
    p_first = fmean(sample.p_first for sample in samples if isinstance(sample, Answer))
    return 1 - p_first if question.swapped else p_first
