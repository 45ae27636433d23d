"""Prompts that are nearly the same as one of another set, by shared sequences of words.

Two prompts are near-duplicates if the Jaccard similarity of their sets of word sequences
(shingles) is at least a threshold. All of them are found: two sets that are so similar must share
one of their rarest members, so only the rarest of the smaller set are indexed. Sources:
Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007; shingles: Broder, "On
the resemblance and containment of documents", 1997.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

WORDS = 3  # of a shingle
THRESHOLD = 0.7
ROUNDING = 1e-9
WORD = re.compile(r"\w+(?:'\w+)?")


class Match(NamedTuple):
    """A prompt that resembles an indexed one, and how much (0 to 1)."""

    id: str
    text: str
    similarity: float


def shingles(text: str) -> frozenset[str]:
    """A text's word sequences; of one that has fewer words than a sequence, all of it."""
    words = WORD.findall(text.lower())
    length = min(WORDS, max(len(words), 1))
    starts = range(len(words) - length + 1)
    return frozenset(" ".join(words[i : i + length]) for i in starts)


class Index:
    """Prompts that others are compared with; memory grows with these alone.

    Args:
        prompts: (id, text) of the smaller set, such as the held-out prompts.
        threshold: the least similarity of near-duplicates, over 0 and up to 1.
    """

    def __init__(self, prompts: Iterable[tuple[str, str]], threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._sets = {name: shingles(text) for name, text in prompts}
        self._frequency = Counter(one for found in self._sets.values() for one in found)
        self._postings: dict[str, list[str]] = defaultdict(list)
        for name, found in self._sets.items():
            for one in self._rarest(found):
                self._postings[one].append(name)

    def _rarest(self, found: frozenset[str]) -> list[str]:
        """The members of which a set that is as similar must have one.

        In one order for all sets, the rarest first; a member that is not indexed is the rarest.
        """
        ordered = sorted(found, key=lambda one: (self._frequency[one], one))
        return ordered[: len(found) - math.ceil(self._threshold * len(found) - ROUNDING) + 1]

    def matches(self, text: str) -> Iterator[tuple[str, float]]:
        """The indexed prompts that a text is a near-duplicate of, each with the similarity."""
        mine = shingles(text)
        candidates = {name for one in self._rarest(mine) for name in self._postings.get(one, ())}
        for name in sorted(candidates):
            similarity = _jaccard(mine, self._sets[name])
            if similarity >= self._threshold - ROUNDING:
                yield name, similarity


def near_duplicates(index: Index, prompts: Iterable[tuple[str, str]]) -> dict[str, Match]:
    """Of each indexed prompt that has any, the nearest of the others, given as (id, text)."""
    nearest: dict[str, Match] = {}
    for name, text in prompts:
        for held_out, similarity in index.matches(text):
            known = nearest.get(held_out)
            if known is None or similarity > known.similarity:
                nearest[held_out] = Match(name, text, similarity)
    return nearest


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0
