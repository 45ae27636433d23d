"""How different texts are from one another.

- distinct-n: the share of different ones among all sequences of n words. Source: Li et al., "A
  diversity-promoting objective function for neural conversation models", 2016. It falls with the
  number of texts, so only sets of one size compare.
- pairwise similarity: the mean, over pairs of texts, of the share of word pairs that both have
  among those that one has (Jaccard's index); it does not depend on how many texts there are.
"""

from collections.abc import Sequence

import numpy

from cai.statistics.intervals import LEVEL, Estimate

LOOP_WORDS = 4  # length of the word sequences that are counted to find loops
LOOP_SHARE = 0.5  # an answer loops if less than this share of its word sequences are distinct
RESAMPLES = 500


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The sequences of ``n`` words of a text, in lower case, in their order."""
    words = text.lower().split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct-n of the texts together; 0 if none has ``n`` words."""
    found = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(found)) / len(found) if found else 0.0


def similarity(texts: Sequence[str], seed: int, level: float = LEVEL) -> Estimate:
    """The mean pairwise similarity, with a bootstrap interval over texts.

    In a draw, a text is not paired with itself.

    Raises:
        ValueError: if there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError("a pairwise similarity needs at least two texts")
    table = _jaccard(texts)
    n = len(texts)
    value = (table.sum() - n) / (n * (n - 1))
    draws = numpy.random.default_rng(seed)
    counts = draws.multinomial(n, numpy.full(n, 1 / n), size=RESAMPLES)
    totals = numpy.einsum("ri,ij,rj->r", counts, table, counts, optimize=True)
    squares = (counts**2).sum(1)  # pairs of a text with itself, at a similarity of 1
    paired = squares < n * n  # a draw of one text alone has no pair
    means = (totals - squares)[paired] / (n * n - squares)[paired]
    low, high = numpy.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(n, float(value), float(low), float(high))


def _jaccard(texts: Sequence[str]) -> numpy.ndarray:
    """The similarity of each pair of texts: [n, n]; two texts without word pairs are equal."""
    sets = [set(ngrams(text, 2)) for text in texts]
    names = {gram: i for i, gram in enumerate(sorted(set().union(*sets)))}
    held = numpy.zeros((len(texts), max(1, len(names))))
    for row, grams in zip(held, sets, strict=True):
        row[[names[gram] for gram in grams]] = 1
    shared = held @ held.T
    sizes = held.sum(1)
    union = sizes[:, None] + sizes[None, :] - shared
    alike: numpy.ndarray
    alike = numpy.divide(shared, union, out=numpy.ones_like(shared), where=union > 0)
    return alike


def is_looping(answer: str) -> bool:
    """Whether an answer repeats itself: most of its four-word sequences occur more than once."""
    words = answer.split()
    runs = [tuple(words[i : i + LOOP_WORDS]) for i in range(len(words) - LOOP_WORDS + 1)]
    return len(set(runs)) < LOOP_SHARE * len(runs)
