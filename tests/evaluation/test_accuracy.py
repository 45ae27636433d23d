"""The accuracy of methods on known comparisons, and when they are said to differ."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.evaluation.accuracy import (
    accuracies,
    by_probability,
    by_reward,
    differences,
    drawn_alone,
)
from cai.statistics import intervals


def test_a_higher_reward_is_right_and_a_tie_is_half():
    rows = [{"id": str(i), "chosen": c, "rejected": 0.0} for i, c in enumerate((1.0, 0.0, -1.0))]
    assert by_reward(rows) == {"0": 1.0, "1": 0.5, "2": 0.0}
    rows = [{"id": str(i), "p_chosen": p} for i, p in enumerate((0.6, 0.5, 0.4))]
    assert by_probability(rows) == {"0": 1.0, "1": 0.5, "2": 0.0}


def test_parts_are_told_beside_the_whole_if_there_are_any():
    outcomes = {"a": {"1": 1.0, "2": 0.0, "3": 0.5}}
    rows = accuracies(outcomes, {"1": "x", "2": "x", "3": "y"})
    assert {row["set"]: (row["n"], row["value"]) for row in rows} == {
        "all": (3, 0.5),
        "x": (2, 0.5),
        "y": (1, 0.5),
    }
    assert [row["set"] for row in accuracies(outcomes, dict.fromkeys("123", "x"))] == ["all"]


def test_equal_methods_seldom_differ_and_better_ones_do():
    def methods(seed: int, chance: float):
        draws = random.Random(seed)
        return {
            "first": {str(i): float(draws.random() < 0.7) for i in range(200)},
            "second": {str(i): float(draws.random() < chance) for i in range(200)},
        }

    equal = [differences(methods(seed, 0.7), "first", seed)[0]["differs"] for seed in range(20)]
    better = [differences(methods(seed, 0.95), "first", seed)[0]["differs"] for seed in range(20)]
    assert sum(equal) <= 3
    assert sum(better) >= 19


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_the_sign_test_of_truth_values_is_mcnemars(pairs):
    after, before = zip(*pairs, strict=True)
    assert intervals.sign_test(after, before) == intervals.mcnemar(after, before)


def test_the_sign_test_counts_ups_and_downs():
    assert intervals.sign_test([1, 2, 3, 4, 5, 9], [0, 1, 2, 3, 4, 9]) == pytest.approx(2 / 32)


def test_a_rank_correlation_covers_the_truth():
    """Of pairs that share half of their variance, Spearman's is 6/pi asin(r/2), r = 1/2."""
    covered = 0
    for seed in range(40):
        draws = random.Random(seed)
        common = [draws.gauss(0, 1) for _ in range(200)]
        found = intervals.rank_correlation(*([c + draws.gauss(0, 1) for c in common] for _ in "ab"))
        covered += found.low <= 0.4826 <= found.high
    assert covered >= 35
    assert intervals.rank_correlation([1, 2, 2, 4], [10, 20, 20, 99]).value == pytest.approx(1)


def test_of_a_judge_asked_by_all_principles_the_drawn_one_is_the_first():
    row = {"id": "1", "p_chosen": 0.7, "principle": "b+a"}
    row |= {"judge": {"by_principle": {"b": 0.9, "a": 0.5}}}
    assert [r["p_chosen"] for r in drawn_alone([row])] == [0.9]
    assert drawn_alone([{**row, "principle": "b"}]) == []
