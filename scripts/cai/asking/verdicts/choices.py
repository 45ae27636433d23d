"""From a judge's answer to a verdict, for all judges; an unclear answer is not guessed.

Three steps, always these: how did the answer end, and what is left without its reasoning
(``final_words``); which conclusions does that hold (``json_verdicts``, ``spoken``); do they agree.
A conclusion is a whole line or sentence of a known form (``(A)``, ``Verdict: B``, ``B is
better.``), a mark made for it (``[[B]]``, ``\\boxed{B}``) or a JSON object. What else speaks of the
answers is talk: a line that ends in a colon introduces, a title names what follows it. Two
conclusions that contradict each other are none, and so is one that is taken back.
"""

from cai.asking.verdicts.conclusions import (
    CONTRADICTS,
    NOT_SHOWN,
    PAIR,
    TAKEN_BACK,
    TIE,
    UNREADABLE,
    BestWorst,
    Named,
)
from cai.asking.verdicts.final_words import Unreadable, blanked, final_words, objects, spelled
from cai.asking.verdicts.json_verdicts import in_objects, of_object
from cai.asking.verdicts.phrases import GRADES, MARKS
from cai.asking.verdicts.rejected import without_rejected
from cai.asking.verdicts.spoken import in_marks, in_speech, is_taken_back


def vote(text: str, finish: str = "stop") -> float | Unreadable:
    """P(A) by one answer's words: 1 for (A), 0 for (B), 1/2 for a tie."""
    named = conclusion(text, finish)
    if isinstance(named, Unreadable):
        return named
    return {"A": 1.0, "B": 0.0, TIE: 0.5}[named.letter]


def conclusion(
    text: str, finish: str = "stop", shown: str = PAIR, *, graded: bool = False
) -> Named | Unreadable:
    """The one answer of those shown that a judge's answer names as the better one.

    Args:
        text: what the judge said.
        finish: how that ended, in the service's word.
        shown: the letters of the answers that were shown.
        graded: whether they are grades of one answer, which "Grade: B" names, too.
    """
    words = final_words(text, finish)
    if isinstance(words, Unreadable):
        return words
    words = as_verdict(words) if graded else words
    found = list(in_objects(words, shown))
    for item in objects(words):
        words = blanked(words, item.start, item.end)
    found += in_marks(words, shown)
    for match in MARKS.finditer(words):
        words = blanked(words, *match.span())
    words, rejected = without_rejected(words)
    bare = in_speech(words, found, graded)
    named = {one.letter for one in found} | bare
    if not named:
        return Unreadable(UNREADABLE, text)
    if len(named) > 1:
        return Unreadable(CONTRADICTS, text)
    last = max(found, key=lambda one: one.end)
    if last.letter not in (*shown, TIE):
        return Unreadable(NOT_SHOWN if last.letter else UNREADABLE, text)
    if any(one.contradicts(last) for one in rejected):
        return Unreadable(CONTRADICTS, text)
    if is_taken_back(words[last.end :], last.letter, shown):
        return Unreadable(TAKEN_BACK, text)
    return last


def as_verdict(words: str) -> str:
    """The text with "vote" for each word for a grade, and the places of all else as they were.

    A judge of two answers may grade both; its "Grade: B" is no vote.
    """
    return GRADES.sub(lambda match: "vote".ljust(len(match[0])), words)


def best_and_worst(text: str, finish: str, shown: str) -> BestWorst | Unreadable:
    """The best and the worst of the answers shown, by ``{"best": ..., "worst": ...}``,
    or by the same two words without braces.

    Of two answers the better one alone will do: the other is the worse.
    """
    if len(shown) == 2:
        named = conclusion(text, finish, shown)
        if isinstance(named, Unreadable):
            return named
        if named.letter == TIE:
            return BestWorst(shown[0], shown[0])
        return BestWorst(named.letter, shown.replace(named.letter, ""))
    words = final_words(text, finish)
    if isinstance(words, Unreadable):
        return words
    verdicts = {}
    for item in [*objects(words)] or [*spelled(words)]:
        for verdict in of_object(item):
            verdicts[verdict] = item.end
        words = blanked(words, item.start, item.end)
    if not verdicts:
        return Unreadable(UNREADABLE, text)
    if len(verdicts) > 1:
        return Unreadable(CONTRADICTS, text)
    [(verdict, end)] = verdicts.items()
    if verdict is None:
        return Unreadable(UNREADABLE, text)
    if TIE in verdict:
        both = verdict == (TIE, TIE)
        return BestWorst(shown[0], shown[0]) if both else Unreadable(UNREADABLE, text)
    if not set(verdict) <= set(shown):
        return Unreadable(NOT_SHOWN, text)
    words, rejected = without_rejected(words)
    after = blanked(words, 0, end)
    spoken: list[Named] = list(in_marks(after, shown))
    bare = in_speech(after, spoken)
    best = Named(verdict.best, 0, end)
    if ({one.letter for one in spoken} | bare) - {verdict.best}:
        return Unreadable(CONTRADICTS, text)
    if any(one.contradicts(best) for one in rejected):
        return Unreadable(CONTRADICTS, text)
    end = max([end, *(one.end for one in spoken)])
    if is_taken_back(words[end:], verdict.best, shown):
        return Unreadable(TAKEN_BACK, text)
    return verdict
