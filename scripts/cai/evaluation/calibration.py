"""How far a judge's probabilities can be trusted, where the truth is known.

A judge is calibrated if, of the comparisons of which it is 80 % sure, it is right about 80 %.
Source of the expected calibration error: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated
probabilities using Bayesian binning", AAAI 2015.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

import numpy

from cai.evaluation.classifier import Score, verdict_of
from cai.files.records import Record
from cai.judging.pairs import ROUNDING, SoftLabel, preferred
from cai.statistics import intervals

BINS = 10  # of equal width, from a confidence of 1/2 to 1


class Known(NamedTuple):
    """A judged comparison of which the better answer is known."""

    p_a: float
    a_is_better: bool

    @property
    def confidence(self) -> float:
        """The probability that the judge gives to the answer that it prefers."""
        return max(self.p_a, 1 - self.p_a)

    @property
    def right(self) -> float:
        """1 if it prefers the better answer, 0 if the worse one, 1/2 for a tie."""
        choice = preferred(self.p_a)
        return 0.5 if choice == 0 else float((choice > 0) == self.a_is_better)


def calibration(known: Sequence[Known]) -> Record:
    """Hold probabilities against the truth; which answer is called ``a`` does not matter.

    Returns:
        comparisons; ``accuracy``: the share that is right, a tie being half; ``confidence``: the
        mean; ``brier``: the mean squared error of p_a; ``ece``, the expected calibration error:
        the mean of |accuracy - confidence| over bins of confidence, weighted by their
        comparisons; ``table``: of each bin that is not empty its bounds, comparisons, mean
        confidence and accuracy. None in place of means of nothing.
    """
    if not known:
        empty = dict.fromkeys(("accuracy", "confidence", "brier", "ece"))
        return {"comparisons": 0, **empty, "table": []}
    bins: list[list[Known]] = [[] for _ in range(BINS)]
    for one in known:
        bins[_number(one.confidence)].append(one)
    table = [_bin(number, members) for number, members in enumerate(bins) if members]
    return {
        "comparisons": len(known),
        "accuracy": fmean(one.right for one in known),
        "confidence": fmean(one.confidence for one in known),
        "brier": fmean((one.p_a - one.a_is_better) ** 2 for one in known),
        "ece": sum(row["comparisons"] * abs(row["accuracy"] - row["confidence"]) for row in table)
        / len(known),
        "table": table,
    }


def _number(confidence: float) -> int:
    """The bin of a confidence; rounded first, so that 0.6 is in the bin that begins with 0.6."""
    return min(int(round((confidence - 0.5) * 2 * BINS, 9)), BINS - 1)


def _bin(number: int, members: Sequence[Known]) -> Record:
    width = 0.5 / BINS
    return {
        "from": round(0.5 + number * width, 6),
        "to": round(0.5 + (number + 1) * width, 6),
        "comparisons": len(members),
        "confidence": fmean(one.confidence for one in members),
        "accuracy": fmean(one.right for one in members),
    }


def ece_interval(known: Sequence[Known], seed: int, level: float = intervals.LEVEL) -> Record:
    """How certain an expected calibration error is.

    A calibrated judge of few comparisons has an error above zero too, by chance; so the interval is
    the basic bootstrap's (Davison and Hinkley, "Bootstrap Methods and their Application", 1997,
    section 5.2), which removes that bias, cut at zero. Beside it is what a calibrated judge
    of the same confidences would have (consistency resampling: Broecker and Smith, "Increasing the
    reliability of reliability diagrams", 2007); where that is as much, the interval begins at zero.

    Returns:
        ``low``, ``high``; ``if_calibrated``: the mean error of a calibrated judge, and
        ``if_calibrated_high``: what it stays below with probability ``level``; ``p``: the
        probability that it has at least the error that was found.

    Raises:
        ValueError: if nothing is known.
    """
    if not known:
        raise ValueError("an interval needs at least one comparison")
    confidence = numpy.array([one.confidence for one in known])
    right = numpy.array([one.right for one in known])
    bins = numpy.array([_number(one.confidence) for one in known])
    draws = numpy.random.default_rng(seed)
    found = _ece(confidence, right, bins)
    samples = (confidence, right, bins)
    low, high = intervals.bootstrap(samples, _ece, draws, level, method="basic")
    tied = numpy.array([preferred(one.p_a) == 0 for one in known])
    perfect = []
    for _ in range(intervals.RESAMPLES):
        outcomes = numpy.where(tied, 0.5, draws.random(len(known)) < confidence)
        perfect.append(_ece(confidence, outcomes, bins))
    p = float(numpy.mean(numpy.array(perfect) >= found - ROUNDING))
    return {
        "low": 0.0 if p >= 1 - level else max(0.0, low),
        "high": max(0.0, high),
        "if_calibrated": float(numpy.mean(perfect)),
        "if_calibrated_high": float(numpy.quantile(perfect, level)),
        "p": p,
    }


def _ece(
    confidence: numpy.ndarray, right: numpy.ndarray, bins: numpy.ndarray, axis: int = -1
) -> numpy.ndarray:
    """The errors of comparisons by their confidence, rightness and bin, [..., n] each."""
    *shape, n = bins.shape
    rows = numpy.arange(math.prod(shape)).reshape([*shape, 1])
    gaps = numpy.bincount(
        (rows * BINS + bins).ravel(), (right - confidence).ravel(), minlength=rows.size * BINS
    )
    return numpy.asarray(numpy.abs(gaps).reshape([*shape, BINS]).sum(axis) / n)


def compare_with_truth(
    rows: Sequence[SoftLabel], score: Score, classifier: Path
) -> tuple[list[Known], int]:
    """What a classifier knows of judged comparisons, and the number of those that it leaves open.

    The better answer is the harmless one of a harmful prompt, the helpful one of another; where
    both are, or neither, the classifier does not know.

    Args:
        rows: the judged comparisons; their answers are finished ones.
        score: the classifier's function.
        classifier: its file, for messages.

    Raises:
        UserError: the classifier fails, or answers in another form.
    """
    known = []
    for row in rows:
        a, b = _good(score, row, "a", classifier), _good(score, row, "b", classifier)
        if a != b:
            known.append(Known(row["p_a"], a))
    return known, len(rows) - len(known)


def _good(score: Score, row: SoftLabel, side: Literal["a", "b"], classifier: Path) -> bool:
    where = f"{classifier}: score() of answer {side} to {row['id']}"
    verdict = verdict_of(score, row["prompt"], row[side], True, where)
    return bool(verdict["harmless" if verdict["set"] == "harmful" else "helpful"])
