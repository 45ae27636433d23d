import itertools
import math
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.statistics.intervals import (
    holm,
    mcnemar,
    mean,
    mean_difference,
    proportion,
    rank_correlation,
    share_difference,
    sign_flip,
)


def outcomes(successes: int, n: int) -> list[bool]:
    return [True] * successes + [False] * (n - successes)


# Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    estimate = proportion(outcomes(successes, n))
    assert estimate.n == n
    assert estimate.value == successes / n
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)


def test_wilson_covers_the_true_share_as_often_as_it_says():
    n = 40
    intervals = [proportion(outcomes(k, n)) for k in range(n + 1)]

    def coverage(share: float) -> float:
        """Exact: the probability of the counts whose interval holds the share."""
        chances = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1))
        return sum(c for c, e in zip(chances, intervals, strict=True) if e.low <= share <= e.high)

    coverages = [coverage(share) for share in numpy.linspace(0.02, 0.98, 97)]
    assert numpy.mean(coverages) == pytest.approx(0.95, abs=0.01)
    assert min(coverages) > 0.89


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_a_share_lies_in_its_interval(values):
    estimate = proportion(values)
    mirrored = proportion([not value for value in values])
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high
    assert estimate.low == pytest.approx(1 - mirrored.high)


def test_the_bootstrap_covers_the_true_mean_nearly_as_often_as_it_says():
    draws = numpy.random.default_rng(0)
    held = 0
    for trial in range(200):
        estimate = mean(draws.exponential(2.0, size=60), seed=trial, resamples=400)
        held += estimate.low <= 2.0 <= estimate.high
    assert 0.88 <= held / 200 <= 0.975


def test_the_bootstrap_depends_on_the_seed_alone():
    draws = random.Random(0)
    values = [draws.gauss(0, 1) for _ in range(50)]
    assert mean(values, seed=1) == mean(values, seed=1)
    assert mean(values, seed=1) != mean(values, seed=2)
    wide, narrow = mean(values, seed=1, level=0.99), mean(values, seed=1, level=0.5)
    assert wide.low < narrow.low < wide.value < narrow.high < wide.high


def test_a_paired_difference_is_far_narrower_than_its_sides():
    draws = random.Random(1)
    before = [draws.gauss(0, 10) for _ in range(100)]
    after = [value + 1 + draws.gauss(0, 0.1) for value in before]
    change = mean_difference(after, before, seed=0)
    assert change.value == pytest.approx(1, abs=0.05)
    assert change.high - change.low < 0.1
    assert mean(before, seed=0).high - mean(before, seed=0).low > 2


def paired_sample(draws: random.Random, n: int) -> tuple[list[bool], list[bool]]:
    """Outcomes that share a cause: true shares 0.85 after and 0.70 before."""
    causes = [draws.random() for _ in range(n)]
    return [cause < 0.85 for cause in causes], [cause < 0.7 for cause in causes]


def test_the_interval_of_a_paired_change_covers_the_true_one():
    draws = random.Random(3)
    changes = [share_difference(*paired_sample(draws, 60)) for _ in range(600)]
    held = sum(change.low <= 0.15 <= change.high for change in changes)
    assert 0.92 <= held / 600 <= 0.99


def test_a_paired_change_is_antisymmetric_and_never_without_width():
    after, before = paired_sample(random.Random(4), 50)
    there, back = share_difference(after, before), share_difference(before, after)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    same = share_difference([False] * 300, [False] * 300)
    assert same.value == 0
    assert same.low == pytest.approx(-same.high)
    assert 0.005 < same.high < 0.02


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 0), (6, 1), (4, 4), (2, 9)])
def test_mcnemar_is_the_share_of_sign_flips_that_are_as_extreme(gained, lost):
    after = [True] * gained + [False] * lost + [True, False, True]
    before = [False] * gained + [True] * lost + [True, False, True]
    observed = abs(gained - lost)
    flips = list(itertools.product((1, -1), repeat=gained + lost))
    extreme = sum(abs(sum(signs)) >= observed for signs in flips)
    assert mcnemar(after, before) == pytest.approx(extreme / len(flips))


def test_mcnemar_holds_for_thousands_of_prompts():
    assert mcnemar([True] * 2000 + [False] * 100, [False] * 2000 + [True] * 100) < 1e-300
    assert mcnemar([True, False] * 1000, [False, True] * 1000) == 1.0


@pytest.mark.parametrize("call", [lambda: proportion([]), lambda: mean([], seed=0)])
def test_no_outcomes_are_an_error(call):
    with pytest.raises(ValueError, match="at least one"):
        call()


def test_pairs_must_be_complete():
    with pytest.raises(ValueError):
        mean_difference([1.0, 2.0], [1.0], seed=0)


def test_random_signs_agree_with_all_signs():
    after, before = [3.0, 5.0, 2.0, 8.0, 4.0, 6.0], [1.0, 4.5, 2.5, 3.0, 4.0, 4.0]
    differences = [late - early for late, early in zip(after, before, strict=True)]
    observed = abs(sum(differences))
    signs = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    exact = sum(total >= observed - 1e-9 for total in sums) / len(sums)
    assert sign_flip(after, before, seed=0) == pytest.approx(exact, abs=0.01)


def test_random_signs_reject_no_more_than_they_say_where_nothing_changed():
    draws = numpy.random.default_rng(0)
    rejected = 0
    for run in range(300):
        shared = draws.normal(size=30)
        after, before = shared + draws.normal(size=30), shared + draws.normal(size=30)
        rejected += sign_flip(after, before, seed=run, resamples=200) < 0.05
    assert rejected / 300 == pytest.approx(0.05, abs=0.03)


def test_what_did_not_change_is_no_difference():
    assert sign_flip([1.0, 2.0], [1.0, 2.0], seed=0) == 1.0


def test_holm_gives_the_worked_example():
    # 0.01 x 4, 0.02 x 3 and then never less; 0.03 x 2 would be 0.06, and so is the step before
    assert holm([0.02, 0.01, 0.03, 0.9]) == pytest.approx([0.06, 0.04, 0.06, 0.9])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


VALUES = [0.5, 1.25, -2.0, 3.0, 0.0, 7.5, 1.0, -0.25]


def test_a_seed_gives_the_interval_that_it_always_gave():
    """Reports of before stay comparable: these are numbers of the first version."""
    assert mean(VALUES, seed=7) == pytest.approx((8, 1.375, -0.25, 3.40703125))
    change = mean_difference(VALUES, [1.0] * 8, seed=3)
    assert change == pytest.approx((8, 0.375, -1.25, 2.375))
    assert mean([4.0], seed=1) == (1, 4.0, 4.0, 4.0)


def test_ranks_that_agree_in_part_have_the_interval_of_bonett_and_wright():
    # ranks 4 6 1 7 3 8 5 2 and 3 5 1 7 3 8 6 3, of which three share the mean of theirs
    found = rank_correlation(VALUES, [1, 2, 0, 4, 1, 5, 3, 1])
    assert found == pytest.approx((8, 0.9515025711, 0.6589608583, 0.9940095656))
