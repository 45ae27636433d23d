"""What a verdict is: the letter that an answer names, or why there is none."""

from typing import NamedTuple

UNREADABLE = "the judge's answer cannot be read"
CONTRADICTS = "the judge's answer contradicts itself"
TAKEN_BACK = "the judge takes its answer back"
NOT_SHOWN = "the judge named an answer that does not exist"
NO_PROBABILITY = "the judge's answer comes without the probability of its letter"
PAIR = "AB"
TIE = "tie"


class Named(NamedTuple):
    """A conclusion: the letter that it names (:data:`TIE`: none is better), and its place."""

    letter: str
    start: int
    end: int


class BestWorst(NamedTuple):
    """The letters of the best and of the worst answer; equal ones mean that none is."""

    best: str
    worst: str
