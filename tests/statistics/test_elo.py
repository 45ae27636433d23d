"""Elo ratings from simulated matches, whose answer is known."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.statistics.elo import Match, elo_ratings

TRUE = {"a": -120.0, "b": 0.0, "c": 60.0, "d": 260.0}


def expected_score(rating, other):
    """The probability that a player of one rating wins against one of another."""
    return 1 / (1 + 10 ** ((other - rating) / 400))


def simulated(seed, prompts, ties=0.0):
    """Each pair meets once a prompt; who wins is drawn by the true ratings, some matches tie."""
    rng = random.Random(seed)
    matches = []
    for prompt, (first, second) in itertools.product(
        range(prompts), itertools.combinations(TRUE, 2)
    ):
        won = rng.random() < expected_score(TRUE[first], TRUE[second])
        score = 0.5 if rng.random() < ties else float(won)
        matches.append(Match(f"{prompt}", first, second, score))
    return matches


def test_ratings_are_recovered_from_many_matches():
    rated = elo_ratings(simulated(0, 4000), list(TRUE), "b", seed=1, resamples=50)
    assert rated["b"][1:] == (0, 0, 0)
    for player, rating in TRUE.items():
        assert rated[player].value == pytest.approx(rating, abs=12)
        assert rated[player].n == 3 * 4000


def test_expected_wins_give_the_very_ratings():
    matches = [
        Match("p", first, second, expected_score(TRUE[first], TRUE[second]))
        for first, second in itertools.combinations(TRUE, 2)
        for _ in range(10_000)
    ]
    rated = elo_ratings(matches, list(TRUE), "b", seed=1, resamples=2)
    for player, rating in TRUE.items():
        assert rated[player].value == pytest.approx(rating, abs=0.1)


def test_intervals_cover_the_truth_as_often_as_they_say():
    runs = [elo_ratings(simulated(seed, 60), list(TRUE), "b", seed) for seed in range(60)]
    others = [player for player in TRUE if player != "b"]
    covered = [run[p].low <= TRUE[p] <= run[p].high for run in runs for p in others]
    assert 0.88 <= sum(covered) / len(covered) <= 1.0


def test_answers_of_one_prompt_are_drawn_together():
    """Ten copies of each match are no more evidence, if the copies share their prompt."""
    once = simulated(3, 50)
    one, ten = (elo_ratings(matches, list(TRUE), "b", 1) for matches in (once, once * 10))
    widths = [result["d"].high - result["d"].low for result in (one, ten)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_all_ties_are_equal_ratings():
    rated = elo_ratings(simulated(0, 20, ties=1.0), list(TRUE), "b", 1, resamples=20)
    assert all(abs(estimate.value) < 1e-6 for estimate in rated.values())


def test_who_wins_all_matches_has_a_finite_rating():
    matches = [Match(str(i), "a", "b", 1.0) for i in range(100)]
    rated = elo_ratings(matches, ["a", "b"], "b", 1, resamples=20)
    assert 700 < rated["a"].value < 1100


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.integers(1, 9))
def test_where_all_prompts_are_alike_the_interval_is_the_value(scores, prompts):
    pairs = list(itertools.combinations(TRUE, 2))
    matches = [
        Match(f"{prompt}", *pair, score)
        for prompt in range(prompts)
        for pair, score in zip(pairs, scores, strict=True)
    ]
    for rating in elo_ratings(matches, list(TRUE), "b", seed=0, resamples=20).values():
        assert rating.low == rating.value == rating.high


def test_a_player_without_matches_is_refused():
    with pytest.raises(ValueError, match="no matches lead from a to c"):
        elo_ratings([Match("p", "a", "b", 1.0)], ["a", "b", "c"], "a", 1)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_who_stands_first_does_not_matter(scores):
    matches = [Match(str(i), "a", "b", score) for i, score in enumerate(scores)]
    swapped = [Match(str(i), "b", "a", 1 - score) for i, score in enumerate(scores)]
    one, other = (elo_ratings(m, ["a", "b"], "a", 7, resamples=5) for m in (matches, swapped))
    assert one["b"].value == pytest.approx(other["b"].value, abs=1e-6)


@pytest.mark.parametrize("prompts", [6, 30])
def test_resamples_that_leave_players_out_have_an_interval_all_the_same(prompts):
    """Seven players, one match on each prompt: a resample often has no match of some player."""
    players = "abcdefg"
    pairs = [(players[i % 6], players[i % 6 + 1]) for i in range(prompts)]
    matches = [Match(f"p{i}", *pair, i * 37 % 10 / 10) for i, pair in enumerate(pairs)]
    ratings = elo_ratings(matches, players, "a", seed=1)
    assert ratings.pop("a")[1:] == (0, 0, 0)
    assert all(math.isfinite(row.value) and row.low < row.high for row in ratings.values())
