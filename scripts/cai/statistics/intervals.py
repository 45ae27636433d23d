"""Intervals and tests for evaluations on a sample of prompts.

By scipy and statsmodels, which are imported when something is computed, not before: most programs
that name an interval only read one. Everything here is deterministic: the bootstrap's draws come
from a seed.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy

LEVEL = 0.95
RESAMPLES = 2000
AT_ONCE = 1_000_000  # numbers that a bootstrap draws at once


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
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, 1 - level, method="wilson")
    # at none and at all the formula is exact up to a rounding error
    low, high = (0.0 if successes == 0 else low), (1.0 if successes == n else high)
    return Estimate(n, successes / n, float(low), float(high))


def kappa(one: Sequence[bool], other: Sequence[bool], level: float = LEVEL) -> Estimate | None:
    """Cohen's kappa of two raters with its large-sample interval.

    Source: Cohen, "A coefficient of agreement for nominal scales", 1960; the interval is that of
    Fleiss, Cohen and Everitt, 1969.

    Returns:
        None where a rater says the same of all: then there is nothing that chance could not give.
    """
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    from statsmodels.stats.inter_rater import cohens_kappa

    table = numpy.zeros((2, 2))
    for first, second in zip(one, other, strict=True):
        table[int(first), int(second)] += 1
    found = cohens_kappa(table)
    value, reach = float(found.kappa), NormalDist().inv_cdf((1 + level) / 2) * found.std_kappa
    return Estimate(len(one), value, max(value - reach, -1.0), min(value + reach, 1.0))


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
    low, high = bootstrap((sample,), numpy.mean, draws, level, resamples)
    return Estimate(sample.size, float(sample.mean()), low, high)


def bootstrap(
    samples: Sequence[numpy.ndarray],
    statistic: Callable[..., numpy.ndarray],
    draws: numpy.random.Generator,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    method: Literal["percentile", "basic"] = "percentile",
) -> tuple[float, float]:
    """The ends of a statistic's bootstrap interval, over prompts.

    Args:
        samples: one value for each prompt, [n] each; prompts are drawn, the same for all samples.
        statistic: of samples [..., n] and ``axis``, along which it is taken.
        draws: where the draws come from.
        level: of the interval.
        resamples: how often prompts are drawn.
        method: percentiles, or the basic bootstrap's, which takes a bias back.
    """
    from scipy import stats

    n = len(samples[0])
    if n == 1:  # there is one draw
        only = float(statistic(*samples, axis=-1))
        return only, only
    result = stats.bootstrap(
        samples, statistic, paired=True, confidence_level=level, n_resamples=resamples,
        method=method, rng=draws, vectorized=True, batch=max(1, AT_ONCE // n),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


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
    both, gained, lost = map(pairs.count, ((True, True), (True, False), (False, True)))
    return both, gained, lost, len(pairs) - both - gained - lost


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
    from scipy import stats

    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


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
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1].tolist() if p_values else []


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
    from scipy import stats

    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    if n < 4 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        raise ValueError("a rank correlation needs four pairs, and values that differ")
    value = float(stats.spearmanr(first, second).statistic)
    z = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + value**2 / 2) / (n - 3))
    middle = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    return Estimate(n, value, math.tanh(middle - z), math.tanh(middle + z))
