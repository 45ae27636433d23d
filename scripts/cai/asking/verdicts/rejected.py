"""The answers that a judge leaves unticked, crosses out, or names as the lesser one.

``[ ] B`` and ``Loser: B`` each name a letter beside the verdict. Whoever takes such a line for a
conclusion reads the verdict the wrong way round, so it is set aside before.
"""

import re
from typing import NamedTuple

from cai.asking.verdicts.conclusions import Named
from cai.asking.verdicts.final_words import blanked
from cai.asking.verdicts.phrases import BARE, BOX, CROSSED, LESSER, STATEMENTS, TICKED
from cai.asking.verdicts.spoken import LINE_MARKS, before_words, capital, letter_in


class Rejected(NamedTuple):
    """An answer that is not the better one.

    Attributes:
        one: its letter and place.
        sure: whether it cannot be the better one; ``Second: B`` may be a title, if it comes first.
    """

    one: Named
    sure: bool

    def contradicts(self, conclusion: Named) -> bool:
        """Whether it is what a conclusion names as the better one."""
        counts = self.sure or self.one.start > conclusion.start
        return counts and self.one.letter == conclusion.letter


def without_rejected(words: str) -> tuple[str, list[Rejected]]:
    """The text with spaces for the lines that reject an answer, and what those reject."""
    found: list[Rejected] = []
    if BOX.search(words):  # else the cross in a box may be a no
        words = TICKED.sub(lambda tick: blanked(tick[0], tick.start(1) - tick.start()), words)
    for match in LESSER.finditer(words):
        found.append(Rejected(letter_in(match, 0), match["lost"] is not None))
        words = blanked(words, *match.span())
    for match in re.finditer(r"[^\n]+", words):
        if CROSSED.search(match[0]):
            letter = _crossed_out(match[0])
            if letter is not None:
                found.append(Rejected(letter._replace(start=match.start()), True))
                words = blanked(words, *match.span())
    return words, found


def _crossed_out(line: str) -> Named | None:
    """The answer that a line with a sign of a no names, if it says nothing else."""
    plain = CROSSED.sub(lambda sign: " " * len(sign[0]), line)
    text = capital(plain[len(before_words(LINE_MARKS, plain)) :])
    for form in (BARE, *STATEMENTS):
        if match := form.match(text):
            return letter_in(match, 0)
    return None
