"""Answers graded one by one: the run's judge chooses a grade on each scale of a rubric.

The ``logprob`` judge is read by the probability of each grade's letter, the ``chat`` judge by the
letter that it names. Both are asked as they compare answers: in one order of the grades or, if the
judge is to be asked in both orders, also in the reverse one, and the probabilities are averaged. An
answer without a grade on one of the scales is dropped with the reason, never guessed.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TypedDict

from cai.asking.chat.chat_client import ChatAnswer, ChatClient, ChatRequest
from cai.asking.chat_model import ChatModel
from cai.asking.client import Failed
from cai.asking.record_chains import replies, run
from cai.asking.verdicts.choices import conclusion
from cai.asking.verdicts.conclusions import TIE, UNREADABLE
from cai.asking.verdicts.final_words import Unreadable, final_words
from cai.files.lazily import Rows
from cai.files.records import Ledger
from cai.judging.rubrics import LETTERS, Grade, Rubric, Scale
from cai.models.templates import single_turn
from cai.settings.judges import ChatJudge, LogprobJudge
from cai.steps.answers import Answered

_LABEL = r"(?i:(?:(?:the|my|final)\s+)*(?:verdict|grade|answer|rating|category|label)\W*:\W*)?"
UNDECIDED = "the judge finds two grades equally probable"

Order = Sequence[Grade]
Probabilities = dict[str, float]  # by the ids of the grades


class Verdict(TypedDict):
    """The grade on one scale, and the probability of each."""

    grade: str
    probabilities: Probabilities


class Graded(TypedDict):
    """The grades of an answer by scale; ``id`` and ``set`` are those of its prompt."""

    id: str
    set: str
    grades: dict[str, Verdict]


def grade_by_probability(
    judge: LogprobJudge, model: ChatModel, rubric: Rubric, answers: Rows[Answered], ledger: Ledger
) -> Iterator[Graded]:
    """Grades by the probabilities that a served model gives to the letters of the grades."""
    asked = [
        (
            single_turn(scale.asked(row["prompt"], row["answer"], order)),
            f"{judge.answer_prefix}{at}",
        )
        for row in answers
        for scale in rubric.scales
        for order in _orders(scale, judge.both_orders)
        for at in _shown(order)
    ]
    found = iter(model.log_probabilities(asked, "grades"))
    for row in answers:
        said = {
            scale.id: [
                _among(order, [next(found) for _ in order])
                for order in _orders(scale, judge.both_orders)
            ]
            for scale in rubric.scales
        }
        yield from _graded(row, said, ledger, judge.tie)


def _among(order: Order, scores: Sequence[float | Failed]) -> Probabilities | Unreadable:
    """The probabilities of the grades among themselves, from log-probabilities of whole texts."""
    failed = [score for score in scores if isinstance(score, Failed)]
    if failed:
        return Unreadable(failed[0].reason, None)
    known = [score for score in scores if not isinstance(score, Failed)]
    weights = [math.exp(score - max(known)) for score in known]
    return {grade.id: weight / sum(weights) for grade, weight in zip(order, weights, strict=True)}


def grade_by_chat(
    judge: ChatJudge, client: ChatClient, rubric: Rubric, answers: Rows[Answered], ledger: Ledger
) -> Iterator[Graded]:
    """Grades by the letters that a chat service names."""

    async def graded(row: Answered) -> tuple[Answered, list[Probabilities | Unreadable]]:
        requests = [
            ChatRequest(
                single_turn(scale.asked(row["prompt"], row["answer"], order)),
                read=partial(_read, order=order),
                expected=f"{', '.join(_shown(order)[:-1])} or {_shown(order)[-1]} alone",
            )
            for scale in rubric.scales
            for order in _orders(scale, judge.orders == 2)
        ]
        return row, await replies(requests)

    for row, said in run(client, graded, answers, "grade"):
        each = iter(said)
        by_scale = {
            scale.id: [next(each) for _ in _orders(scale, judge.orders == 2)]
            for scale in rubric.scales
        }
        yield from _graded(row, by_scale, ledger)


def _read(answer: ChatAnswer, order: Order) -> Probabilities | Unreadable:
    """The grade that an answer names by its letter, or by its name, or by both: (C) refusal."""
    letters = LETTERS[: len(order)]
    named = conclusion(answer.text, answer.finish, letters, graded=True)
    if isinstance(named, Unreadable):
        letter = _with_its_name(answer, order) if named.reason == UNREADABLE else None
        if letter is None:
            return named
    else:
        letter = named.letter
    if letter == TIE:
        return Unreadable(UNDECIDED, answer.text)
    return {grade.id: float(at == letter) for at, grade in zip(letters, order, strict=True)}


def _with_its_name(answer: ChatAnswer, order: Order) -> str | None:
    words = final_words(answer.text, answer.finish)
    if isinstance(words, Unreadable):
        return None
    found = [
        letter
        for letter, grade in zip(LETTERS, order, strict=False)
        if re.fullmatch(rf"\W*{_LABEL}(?:\(?{letter}\W+)?(?i:{_names(grade)})\W*", words)
    ]
    return found[0] if len(found) == 1 else None


def _names(grade: Grade) -> str:
    """How an answer may call a grade: its id, its text, or what comes before a colon in that."""
    names = (grade.id, grade.text.rstrip("."), grade.text.split(":")[0])
    return "|".join(re.escape(name) for name in names)


def _orders(scale: Scale, both: bool) -> list[Order]:
    return [scale.grades, scale.grades[::-1]] if both else [scale.grades]


def _shown(order: Order) -> list[str]:
    return [f"({letter})" for letter, _ in zip(LETTERS, order, strict=False)]


def _graded(
    row: Answered,
    said: Mapping[str, Sequence[Probabilities | Unreadable]],
    ledger: Ledger,
    tie: float = 0.0,
) -> Iterator[Graded]:
    """The record of an answer, unless a grade is missing: that is counted."""
    ledger.count_in()
    verdicts = {scale: _verdict(found, tie) for scale, found in said.items()}
    missing = [verdict for verdict in verdicts.values() if isinstance(verdict, Unreadable)]
    if missing:
        ledger.drop(missing[0].reason, record={"id": row["id"], **missing[0].kept()})
        return
    grades = {name: verdict for name, verdict in verdicts.items() if isinstance(verdict, dict)}
    yield {"id": row["id"], "set": row["set"], "grades": grades}


def _verdict(found: Iterable[Probabilities | Unreadable], tie: float) -> Verdict | Unreadable:
    """The most probable grade, by the mean over the orders.

    There is none where the next one is as probable: of two grades, where the probability is within
    ``tie`` of 1/2, as between two answers.
    """
    known = []
    for one in found:
        if isinstance(one, Unreadable):
            return one
        known.append(one)
    means = {name: fmean(each[name] for each in known) for name in known[0]}
    best, second, *_ = sorted(means, key=means.__getitem__, reverse=True)
    if means[best] - means[second] <= 2 * tie:
        return Unreadable(UNDECIDED, None)
    return {"grade": best, "probabilities": means}
