"""The last words of a model's answer: an answer that ended, without its reasoning.

Everything that reads an answer (:mod:`cai.asking.verdicts.choices`) reads what is left here.
Characters
are blanked and never removed, so that a position in the result is the same position in the answer.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from cai.asking.transport.received import CUT, STOPPED
from cai.asking.verdicts.phrases import LOST_KEY

LONGEST, BRACES = 50_000, 300  # after the reasoning; who says more has come to no conclusion
UNREADABLE_TRIES = 12  # answers of which none can be read: the judge or the question is at fault
UNENDED = "the judge's answer did not end (client.max_tokens)"
ONLY_REASONING = "all of client.max_tokens went into the judge's reasoning"
UNCLOSED = "the judge's reasoning did not end, so there is no answer"
TOO_LONG = f"the judge's answer is over {LONGEST} characters or {BRACES} braces long"
NOTHING_SAID = "the judge's answer is empty after its reasoning"

_THOUGHT = (
    "think|thinking|thoughts?|reason|reasoning|reflections?|analysis|scratchpad|deliberations?"
    "|deliberate|(?:inner|internal)[_ -]?(?:monologue|thoughts?|voice|reasoning)|monologue"
    "|chain[_ -]of[_ -]thought|cot"
)
OPEN = re.compile(
    rf"<\|?(?:begin_of_|start_of_|seed:)?(?:{_THOUGHT})(?:\s[^<>]*)?\|?>|\[(?:{_THOUGHT})\]"
    r"|\u25c1think\u25b7|<\|channel\|>\s*(?:analysis|commentary)",
    re.I,
)
CLOSE = re.compile(
    rf"</(?:seed:)?(?:{_THOUGHT})\s*>|<\|?/?end_of_(?:{_THOUGHT})\|?>|\[/(?:{_THOUGHT})\]"
    r"|\u25c1/think\u25b7|<\|channel\|>\s*final\s*(?:<\|message\|>)?",
    re.I,
)
STRUCK = re.compile(  # what a writer has struck out; a stroke is a character over the one before
    r"~~.{1,2000}?~~|<(?P<tag>s|del|strike)>.{0,2000}?</(?P=tag)>|.[\u0335-\u0338]", re.S | re.I
)
ACCENTED = re.compile("[A-Za-z][\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff]+")  # not this letter
NAMES = ("letter", "answer", "option", "choice", "id", "label")  # of an answer, in an object
UNCLOSED_OBJECT = re.compile(  # whose last brace is missing; no words may follow
    r"""\{(?:\s*["'][\w -]{1,40}["']\s*:\s*["'][^"'\n{},]{1,40}["']\s*,?)+\s*\Z"""
)
OTHER = "\u00f8"
FENCES = re.compile(r"^[ \t]*```[^\n]*$", re.M)
TOKENS = re.compile(r"</s>|<\|[a-z_]+\|>|<(?:end_of_turn|eos)>", re.I)  # ends that servers leave
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
LOOSE = re.compile(  # a key and a value of an object that is no JSON: other quotes, or none
    rf"[{_QUOTES}]*([A-Za-z_][\w -]{{0,40}}?)[{_QUOTES}]*\s{{0,9}}[:=]\s{{0,9}}"
    rf"[{_QUOTES}]*([^{_QUOTES},{{}}\n]*)"
)

_ONE = rf"(?:\s(?:one|{'|'.join(NAMES)}|response))?[*_`]*\s?[:=]\s?([^\n,;:=]{{1,40}})"
BEST_WORST = re.compile(  # the object's two keys as plain text, on one line or on two
    rf"^[\s>#*_`-]*best{_ONE}[,;\s][\s>#*_`-]*(?:and\s)?worst{_ONE}[,;]?[^\S\n]*$", re.I | re.M
)


class Unreadable(NamedTuple):
    """What a judge said that does not name the better answer: why not, and its text if any."""

    reason: str
    answer: str | None

    def kept(self) -> dict[str, str]:
        """What a ledger's record holds of it."""
        return {} if self.answer is None else {"answer": self.answer}


class Object(NamedTuple):
    """A JSON object in a text, or what was meant as one.

    Attributes:
        start, end: its place in the text.
        pairs: its keys in lower case and their values, those of objects within it among them, a
            key that occurs twice twice.
    """

    start: int
    end: int
    pairs: list[tuple[str, Any]]


def final_words(text: str, finish: str = "stop") -> str | Unreadable:
    """The answer without its reasoning and what was struck out, in letters of one width.

    Args:
        text: what was said.
        finish: how it ended, in the service's word.

    Returns:
        A text of the same length, with spaces for what does not count; :class:`Unreadable` if it
        was cut off, did not end in a known way, or is all reasoning.
    """
    start = answer_start(text, finish)
    if isinstance(start, Unreadable):
        return start
    if len(text) - start > LONGEST or text.count("{", start) > BRACES:
        return Unreadable(TOO_LONG, text)
    words = blanked(text, 0, start)
    for pattern in (STRUCK, FENCES, TOKENS):
        words = pattern.sub(lambda match: blanked(match[0]), words)
    return "".join(map(_plain, ACCENTED.sub(lambda match: OTHER * len(match[0]), words)))


def answer_start(text: str, finish: str = "stop") -> int | Unreadable:
    """Where the answer begins, after its reasoning; see :func:`final_words`."""
    ending = finish.lower()
    if ending in CUT:
        return Unreadable(UNENDED if text.strip() else ONLY_REASONING, text)
    if ending not in STOPPED:
        return Unreadable(f"the judge's answer ended in an unknown way ({ending[:40]!r})", text)
    closes = list(CLOSE.finditer(text))
    start = closes[-1].end() if closes else 0
    if OPEN.search(text, start):
        return Unreadable(UNCLOSED, text)
    if not text[start:].strip():
        return Unreadable(NOTHING_SAID, text)
    return start


def blanked(text: str, start: int = 0, end: int | None = None) -> str:
    """The text with spaces from ``start`` to ``end``; line breaks stay."""
    end = len(text) if end is None else end
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def _plain(character: str) -> str:
    """A letter for its full-width, circled or mathematical form; a space for invisible marks."""
    if character.isascii():
        return character
    if unicodedata.category(character) in ("Cf", "Zs"):
        return " "
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


def objects(text: str) -> Iterator[Object]:
    """Yield the outermost JSON objects of a text; quotes may be others, or missing."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
    place = text.find("{")
    while place >= 0:
        found = _decoded(decoder, text, place) or _loose(text, place)
        if found is not None:
            yield found
        place = text.find("{", found.end if found else place + 1)


def spelled(text: str) -> Iterator[Object]:
    """Yield what a text says without braces: ``Best: B`` and, after it, ``Worst: D``."""
    for match in BEST_WORST.finditer(text):
        pairs: list[tuple[str, Any]] = [("best", match[1]), ("worst", match[2])]
        yield Object(match.start(), match.end(), pairs)


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object; a dict would forget the first of two equal keys."""


def _decoded(decoder: json.JSONDecoder, text: str, place: int) -> Object | None:
    try:
        value, end = decoder.raw_decode(text, place)
        return Object(place, end, list(_flat(value)))
    except (ValueError, RecursionError):  # also a number of thousands of digits
        return None


def _flat(value: Any) -> Iterator[tuple[str, Any]]:
    for key, item in value:
        name = " ".join(re.split(r"[\s_-]+", key.lower())).strip()
        if isinstance(item, _Pairs):
            if LOST_KEY.fullmatch(name) is None:
                yield from _flat(item)
            yield from ((name, letter) for inner, letter in item if inner.lower() in NAMES)
        else:
            yield name, item


def _loose(text: str, place: int) -> Object | None:
    match = re.compile(r"\{[^{}]*\}").match(text, place) or UNCLOSED_OBJECT.match(text, place)
    if match is None:
        return None
    found = LOOSE.findall(match[0])
    pairs = [(re.sub(r"[\s_-]+", " ", key.lower()).strip(), value.strip()) for key, value in found]
    return Object(match.start(), match.end(), pairs) if pairs else None
