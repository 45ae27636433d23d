"""Verdicts as JSON: the objects in an answer that name a best and a worst one."""

import re
from collections.abc import Iterator
from itertools import product

from cai.asking.verdicts.conclusions import (
    TIE,
    BestWorst,
    Named,
)
from cai.asking.verdicts.final_words import Object, objects
from cai.asking.verdicts.phrases import IS_KEY, KEYS
from cai.asking.verdicts.spoken import letter_of


def in_objects(words: str, shown: str) -> Iterator[Named]:
    """The conclusions of the JSON objects in a text; an empty letter for one that names none."""
    for item in objects(words):
        verdicts = list(of_object(item))
        for verdict in verdicts:
            yield Named(_better(verdict, shown), _place(words, item, verdict), item.end)
        if verdicts:
            continue
        for key, value in item.pairs:
            letter = letter_of(value) if KEYS.fullmatch(key) else None
            if letter is not None:
                yield Named(letter, _place_of(words, item, key, letter), item.end)


def _better(verdict: BestWorst | None, shown: str) -> str:
    """The letter that is better by a verdict on two answers."""
    if verdict is None:
        return ""
    if verdict.best == verdict.worst:
        return TIE if verdict.best in (*shown, TIE) else verdict.best
    wrong = [letter for letter in verdict if letter not in shown]
    return wrong[0] if wrong else verdict.best


def of_object(item: Object) -> Iterator[BestWorst | None]:
    """What an object says of the best and the worst; None where that is no letter.

    An echo of the form, with ``<letter>`` or dots in place of letters, says nothing.
    """
    said = {
        which: [value for key, value in item.pairs if IS_KEY[which].fullmatch(key)]
        for which in ("best", "worst")
    }
    for best, worst in product(said["best"], said["worst"]):
        if _is_echo(best) and _is_echo(worst):
            continue
        first, last = letter_of(best), letter_of(worst)
        yield None if first is None or last is None else BestWorst(first, last)


def _is_echo(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\W*<[^<>]*>\W*|[\W_]*", value) is not None


def _place(words: str, item: Object, verdict: BestWorst | None) -> int:
    return item.start if verdict is None else _place_of(words, item, "best", verdict.best)


def _place_of(words: str, item: Object, key: str, letter: str) -> int:
    """Where the letter stands that an object's key has."""
    text = words[item.start : item.end]
    name = key.replace(" ", r"[\s_-]+")
    match = re.search(rf"(?i:{name})\W.*?(?<![^\W_])({letter}|{letter.lower()})(?![^\W_])", text)
    return item.start + (match.start(1) if match else 0)
