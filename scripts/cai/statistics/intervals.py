"""Intervals and tests for evaluations on a sample of prompts.

Everything here is deterministic: the bootstrap's draws come from a seed.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy

LEVEL = 0.95
RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value with its interval, from ``n`` prompts."""

    n: int
    value: float
    low: float
    high: float


def proportion(outcomes: Sequence[bool], level: float = LEVEL) -> Estimate:
    """The share of true outcomes with Wilson's score interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    It keeps its level near 0 and 1, where the textbook interval has no width.

    Raises:
        ValueError: if there are no outcomes.
    """
    return share_of(sum(map(bool, outcomes)), len(outcomes), level)


def share_of(successes: float, n: int, level: float = LEVEL) -> Estimate:
    """The share of so many successes among ``n`` with the interval of :func:`proportion`.

    Successes may be halves (ties): the interval is then wider than it need be, since outcomes that
    are neither 0 nor 1 vary less.

    Raises:
        ValueError: if there are no outcomes.
    """
    if n == 0:
        raise ValueError("a proportion needs at least one outcome")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Estimate(n, share, low, high)


def mean(
    values: Sequence[float], seed: int, level: float = LEVEL, resamples: int = RESAMPLES
) -> Estimate:
    """The mean with a percentile bootstrap interval over prompts.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Raises:
        ValueError: if there are no values.
    """
    sample = numpy.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("a mean needs at least one value")
    draws = numpy.random.default_rng(seed)
    means = [sample[draws.integers(sample.size, size=sample.size)].mean() for _ in range(resamples)]
    low, high = numpy.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(sample.size, float(sample.mean()), float(low), float(high))


def mean_difference(
    after: Sequence[float], before: Sequence[float], seed: int, level: float = LEVEL
) -> Estimate:
    """The mean of ``after - before``, paired by prompt, with a bootstrap interval over the pairs.

    Raises:
        ValueError: if the two differ in length or are empty.
    """
    pairs = zip(after, before, strict=True)
    return mean([float(late) - float(early) for late, early in pairs], seed, level)


def share_difference(
    after: Sequence[bool], before: Sequence[bool], level: float = LEVEL
) -> Estimate:
    """The change of a proportion, paired by prompt, with Newcombe's interval.

    Wilson's intervals of both proportions, joined with their correlation. Unlike the bootstrap's,
    it has a width where nothing changed, and it agrees with :func:`mcnemar` for rare outcomes.
    Source: Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", 1998, method 10.

    Raises:
        ValueError: if the two differ in length or are empty.
    """
    both, gained, lost, neither = _paired_counts(after, before)
    late, early = proportion(after, level), proportion(before, level)
    correlation = _correlation(both, gained, lost, neither)

    def join(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))

    change = late.value - early.value
    below = join(late.value - late.low, early.high - early.value)
    above = join(late.high - late.value, early.value - early.low)
    return Estimate(late.n, change, change - below, change + above)


def _correlation(both: int, gained: int, lost: int, neither: int) -> float:
    """The phi coefficient of a 2x2 table, corrected towards 0 as Newcombe does."""
    n = both + gained + lost + neither
    product = both * neither - gained * lost
    corrected = max(product - n / 2, 0) if product > 0 else product
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    return corrected / math.sqrt(margins) if margins else 0.0


def _paired_counts(after: Sequence[bool], before: Sequence[bool]) -> tuple[int, int, int, int]:
    """How many pairs are true in both, only after, only before, and in neither."""
    pairs = [(bool(late), bool(early)) for late, early in zip(after, before, strict=True)]
    return tuple(
        pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))
    )


def mcnemar(after: Sequence[bool], before: Sequence[bool]) -> float:
    """The exact two-sided p-value for a change of a proportion, paired by prompt.

    Of the prompts whose outcome changed, as many gains as losses are expected: a binomial test
    with probability one half. Source: McNemar, "Note on the sampling error of the difference
    between correlated proportions or percentages", 1947, in its exact form.
    """
    _, gained, lost, _ = _paired_counts(after, before)
    return _two_sided(gained, lost)


def sign_test(after: Sequence[float], before: Sequence[float]) -> float:
    """The exact two-sided p-value for a shift of paired numbers: how many went up, how many down.

    Pairs that are equal say nothing. Source: Conover, "Practical Nonparametric Statistics", 1999,
    section 3.4. For outcomes that are true or false it is :func:`mcnemar`'s.
    """
    pairs = list(zip(after, before, strict=True))
    return _two_sided(sum(x > y for x, y in pairs), sum(x < y for x, y in pairs))


def _two_sided(gained: int, lost: int) -> float:
    """The binomial test's p-value of so many changes each way, if both are as likely."""
    changed = gained + lost
    tail = sum(math.comb(changed, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)


def sign_flip(
    after: Sequence[float], before: Sequence[float], seed: int, resamples: int = 10_000
) -> float:
    """The two-sided p-value for a change of a mean, paired by prompt.

    A randomisation test: if nothing changed, each difference is as likely with the other sign.
    Source: Fisher, "The Design of Experiments", 1935, section 21, by random signs; the observed
    ones count as one of the draws (Phipson and Smyth, 2010), so that it is never 0.

    Raises:
        ValueError: if the two differ in length.
    """
    pairs = zip(after, before, strict=True)
    differences = numpy.array([float(late) - float(early) for late, early in pairs])
    differences = differences[differences != 0]
    draws = numpy.random.default_rng(seed)
    observed = abs(differences.sum()) * (1 - 1e-12)
    signs = (draws.integers(2, size=differences.size) * 2 - 1 for _ in range(resamples))
    beyond = sum(abs(differences @ flipped) >= observed for flipped in signs)
    return float((beyond + 1) / (resamples + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number: below 0.05, even the family of all claims holds at 5 %.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def rank_correlation(
    first: Sequence[float], second: Sequence[float], level: float = LEVEL
) -> Estimate:
    """Spearman's rank correlation, with an interval by Fisher's transformation.

    Its variance is (1 + r^2/2) / (n - 3): Bonett and Wright, "Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", 2000.

    Raises:
        ValueError: if the two differ in length, have fewer than four values or one that is alike
            in all.
    """
    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    if n < 4 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        raise ValueError("a rank correlation needs four pairs, and values that differ")
    ranks = [_ranks(side) for side in zip(*pairs, strict=True)]
    value = float(numpy.corrcoef(*ranks)[0, 1])
    z = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + value**2 / 2) / (n - 3))
    middle = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    return Estimate(n, value, math.tanh(middle - z), math.tanh(middle + z))


def _ranks(values: Sequence[float]) -> numpy.ndarray:
    """Ranks [n] from 1; equal values share the mean of theirs."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[inverse]
