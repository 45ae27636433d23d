"""Verdicts as probabilities: of the letters (A) and (B) among the tokens of an answer."""

import math
import re
from collections.abc import Sequence

from cai.asking.verdicts.choices import conclusion
from cai.asking.verdicts.conclusions import (
    CONTRADICTS,
    NO_PROBABILITY,
    TIE,
)
from cai.asking.verdicts.final_words import Unreadable
from cai.files.records import Record

LETTER = re.compile("[\\W_\u0120]*([AB])[\\W_]*")  # of a token; U+0120 is a tokenizer's space


def probability_of_a(tokens: Sequence[Record], finish: str = "stop") -> float | None:
    """P(A) / (P(A) + P(B)) where an answer's tokens name one of them; None if they do not.

    If the other letter is not among the most probable tokens, whatever probability the named one
    leaves counts for it.

    Args:
        tokens: ``choices[0].logprobs.content`` of an OpenAI-compatible chat service: ``token``,
            ``logprob`` (nats) and ``top_logprobs`` of each token.
        finish: how the answer ended, in the service's word.
    """
    named = conclusion("".join(item["token"] for item in tokens), finish)
    if isinstance(named, Unreadable) or named.letter == TIE:
        return None
    end = 0
    for item in tokens:
        end += len(item["token"])
        if end > named.start:
            return _at_letter(named.letter, item)
    raise AssertionError("a conclusion lies within the text")


def _at_letter(named: str, item: Record) -> float | None:
    known = {item["token"]: item["logprob"]}
    known |= {other["token"]: other["logprob"] for other in item.get("top_logprobs") or ()}
    chance = {"A": 0.0, "B": 0.0}
    for token, logprob in known.items():
        if match := LETTER.fullmatch(token):
            chance[match[1]] += math.exp(logprob)
    if chance["A"] and chance["B"]:
        return chance["A"] / (chance["A"] + chance["B"])
    of_named = min(math.exp(item["logprob"]), 1.0)
    return of_named if named == "A" else 1.0 - of_named


def probability(text: str, finish: str, p_a: float | None) -> float | Unreadable:
    """P(A) of an answer with log-probabilities, which :func:`probability_of_a` has read.

    The words must name one answer, and the probabilities must not speak for the other one.
    """
    named = conclusion(text, finish)
    if isinstance(named, Unreadable):
        return named
    if p_a is None:
        return Unreadable(NO_PROBABILITY, text)
    if named.letter != TIE and (p_a > 0.5) != (named.letter == "A") and p_a != 0.5:
        return Unreadable(CONTRADICTS, text)
    return p_a
