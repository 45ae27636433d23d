"""Whether what is said about an answer that was named speaks against it.

"A because it is worse" names no better answer: whoever said it answered another question. What
blames is a word of harm or fault that nothing averts ("less harmful", "refuses to help with a
crime"); a fault of the other answer speaks for this one. Where it is not clear, it blames.
"""

import re

from cai.asking.verdicts.phrases import (
    AVERTED,
    CLAUSES,
    COMPARED,
    CONTRAST,
    FAULT,
    OF_THE_REQUEST,
    PREFERS,
    RELATIVE,
)


def speaks_against(text: str, letter: str) -> bool:
    """Whether a sentence of the text blames the answer of this letter, or prefers another."""
    return any(
        _blames(part, letter)
        for sentence in re.split(r"[.!?\n]", COMPARED.sub(" ", text))
        if not OF_THE_REQUEST.match(sentence)
        for part in CONTRAST.split(sentence)
    )


def _blames(text: str, letter: str) -> bool:
    others = re.compile(rf"(?<![\w'])(?!I|{letter})[A-Z](?![\w'\u2019])")
    before = False  # whether a clause before averts, as in "it refuses, since that is illegal"
    for clause in CLAUSES.split(text):
        fault = FAULT.search(clause)
        averted = len(AVERTED.findall(clause[: fault.start()] if fault else clause))
        if others.search(clause) or RELATIVE.search(clause):
            if not fault and PREFERS.search(clause):
                return True
        elif fault and (averted > 1 or not (averted or before)):  # two of them cancel out
            return True
        before = before or averted > 0
    return False
