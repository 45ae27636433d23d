"""Comparisons of a prompt's candidates: which pairs are judged, and in which order.

Both depend on hashes of the texts: never on the sampling temperature, nor on where a candidate
is in its record, so that a judge's bias towards a position cannot favour a temperature.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from cai.files.records import Ledger, Record, uniform
from cai.settings.judges import RandomJudge

ROUNDING = 1e-12  # of a mean of probabilities


class Comparison(NamedTuple):
    """Two answers to a prompt; ``a`` is the one that a judge sees first."""

    id: str
    prompt: str
    a: str
    b: str

    def row(self, principle: str | None, p_a: float, judge: Record) -> Record:
        """The record of a judged comparison; ``p_a`` is the probability that ``a`` is better."""
        tie = preferred(p_a) == 0
        p_a = 0.5 if tie else p_a
        verdict = {"principle": principle, "p_a": p_a, "judge": {**judge, "tie": tie}}
        return {**self._asdict(), **verdict}


def preferred(p_a: float) -> int:
    """1 if ``a`` is preferred, -1 if ``b`` is, 0 for a tie, which a rounding error does not end."""
    return (p_a > 0.5 + ROUNDING) - (p_a < 0.5 - ROUNDING)


def draw_pairs(record: Record, count: int, seed: int) -> list[Comparison]:
    """Up to ``count`` different pairs of a record's candidates."""
    texts = sorted(candidate_texts(record))
    pairs = itertools.combinations(texts, 2)
    drawn = sorted(pairs, key=lambda pair: uniform("pair", seed, record["id"], *pair))[:count]
    return [
        Comparison(record["id"], record["prompt"], *shuffled(record, pair, seed)) for pair in drawn
    ]


def all_pairs(records: Sequence[Record], count: int, seed: int, ledger: Ledger) -> list[Comparison]:
    """The pairs drawn for each record, counted in the ledger as what came in."""
    pairs = [pair for record in records for pair in draw_pairs(record, count, seed)]
    ledger.count_in(len(pairs))
    return pairs


def shuffled(record: Record, texts: Sequence[str], seed: int) -> list[str]:
    """The texts in an order drawn by hash; it does not depend on the order in which they come."""
    among = sorted(texts)
    return sorted(among, key=lambda text: uniform("order", seed, record["id"], *among, text))


def candidate_texts(record: Record) -> list[str]:
    """The different texts of a record's candidates."""
    return list(dict.fromkeys(candidate["text"] for candidate in record["candidates"]))


def judge_randomly(
    settings: RandomJudge, records: Sequence[Record], seed: int, ledger: Ledger
) -> list[Record]:
    """The control: a coin for each order of a drawn pair, averaged as the other judges' answers."""
    rows = []
    for pair in all_pairs(records, settings.pairs, seed, ledger):
        coins = [uniform("coin", seed, order, *pair) < 0.5 for order in ("ab", "ba")]
        rows.append(pair.row(None, sum(coins) / len(coins), {"kind": "random"}))
    return rows
