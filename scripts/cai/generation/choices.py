"""Which of (A) and (B) an answer names: what is not clear is not guessed."""

import math
import re
from collections.abc import Sequence

from cai.records import Record

ANSWER = re.compile(
    r"^[^\w\n]*(?:(?i:(?:the )?(?:better |best |final )?answer(?: is)?)[^\w\n]+)?([AB])[^\w\n]*$",
    re.MULTILINE,
)
LETTER = re.compile("[\\W_\u0120]*([AB])[\\W_]*")  # of a token; U+0120 is a tokenizer's space


def named_choice(text: str) -> re.Match[str] | None:
    """The one answer that a text names in a line of its own, as ``(A)`` or ``The answer is: (A)``.

    Returns:
        The first match, its group 1 being the letter; None if no line or lines for both name one.
    """
    matches = list(ANSWER.finditer(text))
    return matches[0] if len({match[1] for match in matches}) == 1 else None


def vote(text: str) -> float | None:
    """P(A) by one answer's text: 1 for (A), 0 for (B), None if it names neither or both."""
    match = named_choice(text)
    return None if match is None else float(match[1] == "A")


def probability_of_a(tokens: Sequence[Record]) -> float | None:
    """P(A) / (P(A) + P(B)) where an answer's tokens name one of them; None if they do not.

    If the other letter is not among the most probable tokens, whatever probability the named one
    leaves counts for it.

    Args:
        tokens: ``choices[0].logprobs.content`` of an OpenAI-compatible chat service: ``token``,
            ``logprob`` and ``top_logprobs`` of each token.
    """
    match = named_choice("".join(item["token"] for item in tokens))
    if match is None:
        return None
    end = 0
    for item in tokens:
        end += len(item["token"])
        if end > match.start(1):
            return _at_letter(match[1], item)
    raise AssertionError("a match lies within the text")


def _at_letter(named: str, item: Record) -> float:
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
