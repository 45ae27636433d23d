"""Labels of pairs: means that favour no order, bounds that hold, counts that add up."""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.steps.step_programs import candidates

from cai.asking.record_chains import Passes
from cai.asking.verdicts.final_words import Unreadable
from cai.files.records import Ledger
from cai.judging.label_report import judge_report
from cai.judging.pairs import Comparison, preferred
from cai.judging.pairwise import (
    Answer,
    Question,
    clamped,
    judge_pairs,
    product_of_odds,
    soft_label,
)
from cai.settings.judges import LogprobJudge

PRINCIPLES = {name: f"Which has more {name}?" for name in ("calm", "care", "candour")}
probabilities = st.floats(0, 1)


def label(a: str, b: str, p_first: dict[tuple[str, str], list[float]]) -> dict:
    """The label of a pair whose answers depend on what is shown first, and on the principle."""
    pair = Comparison("1", "q", a, b)
    answers = {
        Question(pair, name, swapped): [Answer(p_first[b if swapped else a, name])]
        for swapped in (False, True)
        for name in PRINCIPLES
    }
    return soft_label("logprob", pair, answers)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("xy"), st.sampled_from([*PRINCIPLES])), probabilities, min_size=6
    )
)
def test_averaging_both_orders_is_antisymmetric(p_first) -> None:
    one, turned = label("x", "y", p_first), label("y", "x", p_first)
    assert one["p_a"] + turned["p_a"] == pytest.approx(1)
    assert preferred(one["p_a"]) == -preferred(turned["p_a"])
    assert one["judge"]["tie"] == turned["judge"]["tie"]
    assert one["judge"]["by_order"] == pytest.approx(
        [1 - p_a for p_a in reversed(turned["judge"]["by_order"])]
    )


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("xy"), st.sampled_from([*PRINCIPLES])), probabilities, min_size=6
    )
)
def test_a_label_is_the_mean_of_its_orders_and_of_its_principles(p_first) -> None:
    row = label("x", "y", p_first)
    for means in (row["judge"]["by_order"], [*row["judge"]["by_principle"].values()]):
        assert row["p_a"] == pytest.approx(sum(means) / len(means), abs=1e-9)


@pytest.mark.parametrize(("tie", "expected"), [(0.0, [0.508, 0.9]), (0.01, [0.5, 0.9])])
def test_a_probability_near_one_half_is_no_opinion(tie, expected) -> None:
    """By the mean of its orders: each of them leans to what is shown first, and they cancel out."""
    pair = Comparison("1", "q", "x", "y")
    by_order = {("calm", False): 0.7, ("calm", True): 0.684, ("care", False): 0.9}
    by_order["care", True] = 0.1
    answers = {Question(pair, name, turned): [Answer(p)] for (name, turned), p in by_order.items()}
    row = soft_label("logprob", pair, answers, tie=tie)
    assert [*row["judge"]["by_principle"].values()] == pytest.approx(expected)
    assert row["p_a"] == pytest.approx(sum(expected) / 2)
    assert not row["judge"]["tie"]


@pytest.mark.parametrize("without_opinion", [0, 4, 7, 15])
def test_principles_without_an_opinion_do_not_weaken_the_one_that_has_one(without_opinion) -> None:
    judge = LogprobJudge(principles_per_comparison=16, combine="odds", both_orders=False)
    principles = {"sure": "?", **{f"other {number}": "?" for number in range(without_opinion)}}

    class OneIsSure(Scripted):
        async def choose(self, conversations, sample):
            return [0.95, *[0.5] * without_opinion]

    asker, ledger = OneIsSure([True]), Ledger("judge")
    (row,) = judge_pairs("logprob", judge, (False,), candidates(1), principles, 1, asker, ledger)
    assert max(row["p_a"], 1 - row["p_a"]) == pytest.approx(0.95)


@given(st.lists(probabilities, min_size=1, max_size=16))
def test_odds_favour_no_answer_and_are_never_certain(several) -> None:
    found = product_of_odds(several)
    assert 0 < found < 1
    assert found + product_of_odds([1 - p for p in several]) == pytest.approx(1)


def test_two_sure_votes_against_each_other_are_a_tie() -> None:
    assert preferred(product_of_odds([1.0, 0.0])) == 0
    assert product_of_odds([0.6, 0.6]) == pytest.approx(0.36 / (0.36 + 0.16))


@given(probabilities, st.floats(0, 0.499))
def test_a_clamped_probability_is_the_nearest_within_the_bounds(p, least) -> None:
    found = clamped(p, least)
    assert least <= found <= 1 - least
    assert found == p or found in (least, 1 - least)
    assert (found == p) == (least <= p <= 1 - least)
    assert found + clamped(1 - p, least) == pytest.approx(1)


def test_the_papers_clamp() -> None:
    assert [clamped(p, 0.4) for p in (0.0, 0.39, 0.45, 0.6, 0.98)] == [0.4, 0.4, 0.45, 0.6, 0.6]


class Scripted:
    """Answers well or not, in turn."""

    def __init__(self, answers: Sequence[bool]) -> None:
        self.answering = self
        self._answers = itertools.cycle(answers)
        self.failed = 0

    async def reason(self, conversations, settings, sample):
        return [self._next("because", "no reasoning") for _ in conversations]

    async def choose(self, conversations, sample):
        return [self._next(0.9, "no letter") for _ in conversations]

    def stream(self):
        return nullcontext(Passes(list))  # nothing is asked of it

    def _next(self, good: float | str, reason: str) -> float | str | Unreadable:
        if next(self._answers):
            return good
        self.failed += 1
        return Unreadable(reason, None)


@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
def test_counts_add_up_to_the_comparisons(good, pairs, principles, samples, both, reasons) -> None:
    reasons = reasons or samples > 1
    settings = LogprobJudge(
        pairs=pairs,
        principles_per_comparison=principles,
        samples=samples,
        both_orders=both,
        reasoning={} if reasons else None,
    )
    asker, ledger = Scripted(good), Ledger("judge")
    orders = (False, True) if both else (False,)
    records = candidates(5)
    judged = judge_pairs("logprob", settings, orders, records, PRINCIPLES, 1, asker, ledger)
    rows = list(ledger.kept(judged))
    report = judge_report(rows, ledger, records)
    assert report["comparisons"] == 5 * pairs
    assert report["comparisons"] == report["judged"] + sum(report["failed"].values())
    assert report["judged"] == len(rows) == ledger.as_dict()["out"]
    assert report["failure_rate"] == pytest.approx(sum(report["failed"].values()) / (5 * pairs))
    answers = report["answers"]
    assert answers["asked"] == 5 * pairs * principles * samples * len(orders)
    assert sum(answers["failed"].values()) == asker.failed
    for row in rows:
        assert 0 <= row["p_a"] <= 1
        assert len(row["judge"]["by_order"]) == len(orders)
        assert len(row["judge"]["by_principle"]) == principles


def test_what_some_samples_say_counts_and_the_others_are_told() -> None:
    pair = Comparison("1", "q", "x", "y")
    answers = {
        Question(pair, "calm", False): [Answer(1.0), Unreadable("no letter", "Hm.")],
        Question(pair, "calm", True): [Answer(0.0), Answer(1.0)],
    }
    row = soft_label("chat", pair, answers)
    assert row["judge"]["by_order"] == [1.0, 0.5]
    assert row["p_a"] == 0.75  # each order weighs the same


def test_a_rounding_error_does_not_end_a_tie() -> None:
    pair = Comparison("1", "q", "x", "y")
    almost = 0.5 + 1e-16 + 1e-15
    assert almost != 0.5
    row = pair.row(None, almost, {})
    assert row["p_a"] == 0.5 and row["judge"]["tie"]
    assert not pair.row(None, 0.5001, {})["judge"]["tie"]
