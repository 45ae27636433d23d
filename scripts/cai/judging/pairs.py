"""Comparisons of a prompt's candidates: which pairs are judged, and in which order.

Both depend on hashes of the texts: never on the sampling temperature, nor on where a candidate
is in its record, so that a judge's bias towards a position cannot favour a temperature.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, NotRequired, TypedDict

from cai.files.records import Ledger, Prompt, uniform
from cai.settings.judges import RandomJudge
from cai.steps.candidates import Candidates

ROUNDING = 1e-12  # of a mean of probabilities


class Said(TypedDict):
    """What a judge said of a comparison.

    ``by_order`` (a shown first, then b shown first) and ``by_principle`` are probabilities that a
    is better; the reasoning is one of several, as an example.
    """

    kind: str
    by_order: NotRequired[list[float]]
    by_principle: NotRequired[dict[str, float]]
    reasoning: NotRequired[str]


class Judgement(Said):
    """What a judge said, and whether that is a tie."""

    tie: bool


class SoftLabel(Prompt):
    """Two answers; ``p_a`` is the probability that ``a`` is better than ``b``."""

    a: str
    b: str
    p_a: float


class Judged(TypedDict):
    """Under which principle a comparison was judged, and what the judge said."""

    id: str
    principle: str | None
    judge: Judgement


class Preference(Judged):
    """A judged comparison of two answers; it is a :class:`SoftLabel`, too."""

    prompt: str
    a: str
    b: str
    p_a: float


class Comparison(NamedTuple):
    """Two answers to a prompt; ``a`` is the one that a judge sees first."""

    id: str
    prompt: str
    a: str
    b: str

    def row(self, principle: str | None, p_a: float, judge: Said) -> Preference:
        """The record of a judged comparison; ``p_a`` is the probability that ``a`` is better."""
        tie = preferred(p_a) == 0
        return {
            "id": self.id,
            "prompt": self.prompt,
            "a": self.a,
            "b": self.b,
            "principle": principle,
            "p_a": 0.5 if tie else p_a,
            "judge": {**judge, "tie": tie},
        }


def preferred(p_a: float) -> int:
    """1 if ``a`` is preferred, -1 if ``b`` is, 0 for a tie, which a rounding error does not end."""
    return (p_a > 0.5 + ROUNDING) - (p_a < 0.5 - ROUNDING)


def draw_pairs(record: Candidates, count: int, seed: int) -> list[Comparison]:
    """Up to ``count`` different pairs of a record's candidates."""
    texts = sorted(candidate_texts(record))
    pairs = itertools.combinations(texts, 2)
    drawn = sorted(pairs, key=lambda pair: uniform("pair", seed, record["id"], *pair))[:count]
    return [
        Comparison(record["id"], record["prompt"], *shuffled(record, pair, seed)) for pair in drawn
    ]


def all_pairs(
    records: Iterable[Candidates], count: int, seed: int, ledger: Ledger
) -> Iterator[Comparison]:
    """The pairs drawn for each record, counted in the ledger as what came in."""
    for record in records:
        for pair in draw_pairs(record, count, seed):
            ledger.count_in()
            yield pair


def shuffled(record: Candidates, texts: Sequence[str], seed: int) -> list[str]:
    """The texts in an order drawn by hash; it does not depend on the order in which they come."""
    among = sorted(texts)
    return sorted(among, key=lambda text: uniform("order", seed, record["id"], *among, text))


def candidate_texts(record: Candidates) -> list[str]:
    """The different texts of a record's candidates."""
    return list(dict.fromkeys(candidate["text"] for candidate in record["candidates"]))


def judge_randomly(
    settings: RandomJudge, records: Iterable[Candidates], seed: int, ledger: Ledger
) -> Iterator[Preference]:
    """The control: a coin for each order of a drawn pair, averaged as the other judges' answers."""
    for pair in all_pairs(records, settings.pairs, seed, ledger):
        coins = [uniform("coin", seed, order, *pair) < 0.5 for order in ("ab", "ba")]
        yield pair.row(None, sum(coins) / len(coins), {"kind": "random"})
