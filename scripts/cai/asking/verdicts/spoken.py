"""Verdicts in words: lines, sentences and marks that name an answer."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cai.asking.verdicts.against import speaks_against
from cai.asking.verdicts.conclusions import PAIR, TIE, Named
from cai.asking.verdicts.phrases import (
    A_TIE,
    ARTICLE,
    ASIDE,
    BACK,
    BARE,
    BECAUSE,
    BLAMED,
    CHOICE_WORDS,
    CHOOSING,
    COMPARED,
    CONNECTED,
    CROSSED,
    FAULT,
    FIRST_PERSON,
    HEDGES,
    LABEL,
    MARKS,
    RANKED,
    RANKED_LINE,
    RELATIVE,
    SMALL,
    STATEMENTS,
    TIES,
    VALUE,
)


def in_marks(words: str, shown: str) -> Iterator[Named]:
    """The conclusions in marks that are made for them: ``[[B]]``, ``[[A>>B]]``, ``\\boxed{B}``,
    and lines that are an order: ``A > B``.

    ``[[C]]`` is MT-Bench's mark of a tie, unless it is one of the letters that were shown.
    """
    for match in MARKS.finditer(words):
        group = next(name for name in ("mark", "boxed", "tagged") if match[name] is not None)
        inner = match[group]
        letter, place = letter_of(inner), 0
        if ranked := RANKED.fullmatch(inner):
            letter, place = _higher(ranked)
        elif group == "mark" and inner.strip() == "C" and "C" not in shown:
            letter = TIE
        elif value := VALUE.fullmatch(inner):
            place = value.start(1)
        if letter is not None:
            yield Named(letter, match.start(group) + place, match.end())
    for match in RANKED_LINE.finditer(words):
        yield Named(*_higher(match), match.end())


def _higher(ranked: re.Match[str]) -> tuple[str, int]:
    """The letter that is better by an order such as ``A > B``, and where it stands."""
    group = 1 if ranked[2][0] == ">" else 3
    return TIE if ranked[2] == "=" else ranked[group], ranked.start(group)


class _Line(NamedTuple):
    """A line with something in it: without marks of headings and lists, and with its place."""

    text: str
    start: int
    heading: bool
    quote: bool
    gap: bool  # whether an empty line follows, or none

    @property
    def introduces(self) -> bool:
        return re.search(r":[^\w?]*$", self.text) is not None


LINE_MARKS = re.compile(
    r"[\s>#]*(?:[-*+\u2022]\s+|\d{1,2}[.)]\s+)?[\s*_`\u2611\u2705\u2713\u2714\ufe0f]*"
)
SENTENCE_MARKS = re.compile(r"[\s*_`]*")


def before_words(marks: re.Pattern[str], text: str) -> str:
    """What of these marks stands at the beginning of a text."""
    found = marks.match(text)
    return found[0] if found else ""


def _lines(words: str) -> list[_Line]:
    found: list[_Line] = []
    raw = list(re.finditer(r"[^\n]+", words))
    for match in raw:
        if not match[0].strip():
            continue
        marks = before_words(LINE_MARKS, match[0])
        after = words[match.end() : match.end() + 200]
        gap = not after.strip() or re.match(r"\n[^\S\n]*(\n|$)", after) is not None
        text, start = capital(match[0][len(marks) :]), match.start() + len(marks)
        found.append(_Line(text, start, "#" in marks, ">" in marks, gap))
    return found


def capital(line: str) -> str:
    """The line with a capital, if it names a small letter and nothing else."""
    small = SMALL.match(line)
    return line if small is None else line[: small.start(1)] + line[small.start(1) :].upper()


def in_speech(words: str, found: list[Named], graded: bool = False) -> set[str]:
    """Add the conclusions of a text's lines and sentences; returns the letters that stand alone.

    A letter that is a line of its own is a conclusion after a label (``Verdict:``), as the last
    line, or as the first before a paragraph that explains it. Elsewhere it is a title.

    Args:
        words: the text.
        found: the conclusions that are known; those of the text are added.
        graded: whether the letters are grades: what is said of harm then explains one.
    """
    lines = _lines(words)
    alone: list[tuple[int, Named, str]] = []
    before = ""  # what the line before is to this one, see _introduction
    for number, line in enumerate(lines):
        if (line.quote and len(lines) > 1) or CROSSED.search(line.text):
            continue
        bare = None if line.introduces else BARE.match(line.text)
        if bare is None:
            concluded = list(_statements(line, graded))
            found += concluded
            before = "" if concluded else _introduction(line)
            continue
        one = letter_in(bare, line.start)
        if before == "label":
            found.append(one)
        else:
            alone.append((number, one, before))
        before = before if before != "label" and not line.gap else ""  # a list is introduced once
    plain = [(number, one, how) for number, one, how in alone if not lines[number].heading]
    if found:  # what is a paragraph of its own counts beside other conclusions
        return {one.letter for number, one, how in plain if lines[number].gap and how != "aside"}
    own = [one for number, one, how in alone if not how and _concludes(number, lines)]
    letters = {one.letter for _, one, _ in plain} or {one.letter for one in own}
    last = bool(alone) and alone[-1][0] == len(lines) - 1
    if not own:
        return set()
    rest = words[own[-1].end :]
    if len(letters) == 1 and not last and _is_unclear(rest, own[-1], graded):
        return set()
    found += own
    return letters


def _concludes(number: int, lines: Sequence[_Line]) -> bool:
    """Whether a letter that is a line of its own concludes by its place."""
    line = lines[number]
    if line.heading and len(lines) > 1:
        return False
    if number == len(lines) - 1:
        return True
    explained = BECAUSE.match(lines[number + 1].text) is not None
    return number == 0 and (line.gap or explained)


def _introduction(line: _Line) -> str:
    """What a line is to the next one: the ``label`` of a conclusion, an ``aside`` (as a draft's),
    another introduction (``other``, which may be a mere title), or nothing.
    """
    *_, (text, _) = _sentences(line)
    if LABEL.match(text) or CHOOSING.match(text):
        return "label"
    title, colon, _ = text.partition(":")
    if colon and ASIDE.search(title):
        return "aside"
    ended = re.search(r"(?:[.!?\u3002]|\b[A-Z]\b)[^\w:]*$", line.text)
    if ended and not line.introduces:
        return ""
    return "aside" if ASIDE.search(text) or BLAMED.search(text) else "other"


def _sentences(line: _Line) -> Iterator[tuple[str, int]]:
    """The sentences of a line, with their places."""
    start = 0
    for end in [m.end() for m in re.finditer(r"[.!?\u3002][\"')\]*_`\u201d]*\s+", line.text)]:
        yield from _sentence(line, start, end)
        start = end
    yield from _sentence(line, start, len(line.text))


def _sentence(line: _Line, start: int, end: int) -> Iterator[tuple[str, int]]:
    text = line.text[start:end]
    lead = len(before_words(SENTENCE_MARKS, text))
    yield text[lead:], line.start + start + lead


def _statements(line: _Line, graded: bool) -> Iterator[Named]:
    """The conclusions among the sentences of a line."""
    for text, start in _sentences(line):
        if re.search(r":[^\w]*$", text):
            continue
        for form in (*STATEMENTS, CONNECTED):
            match = form.match(text)
            if match is None or HEDGES.search(match["tail"] or ""):
                continue
            named = letter_in(match, start)
            if not graded and speaks_against(match["tail"] or "", named.letter):
                continue
            groups = match.groupdict()
            other = groups.get("than_letter") or (groups.get("than_small") or "").upper()
            if other != named.letter:
                yield named._replace(end=start + len(text))
                break
        else:
            if any(form.match(text) for form in TIES):
                yield Named(TIE, start, start + len(text))


def letter_in(match: re.Match[str], start: int) -> Named:
    """The letter that a form of :mod:`cai.asking.verdicts.phrases` has found."""
    group = "letter" if match["letter"] else "small"
    return Named(match[group].upper(), start + match.start(group), start + match.end())


def is_taken_back(rest: str, letter: str, shown: str) -> bool:
    """Whether what follows a conclusion takes it back, or speaks for another answer."""
    letters = set(shown) - {letter}
    others = _mention(letters)
    plain = "\n".join(line for line in rest.split("\n") if not ASIDE.search(line))
    if BACK.search(rest) or _at_end(letters).search(plain):
        return True
    return any(
        (CHOICE_WORDS.search(said) or _stands_by(said))
        and (others.search(said) or RELATIVE.search(said))
        for said in map(_without_comparison, re.split(r"[.!?\n]", rest))
    )


def _stands_by(sentence: str) -> bool:
    """Whether the judge speaks of itself and blames nothing: "I stand by C"."""
    return FIRST_PERSON.search(sentence) is not None and FAULT.search(sentence) is None


def _is_unclear(rest: str, named: Named, graded: bool) -> bool:
    """Whether what follows a letter at the top could be about both answers, the letter a title."""
    if not graded and speaks_against(rest, named.letter):
        return True
    rest = ARTICLE.sub("", _without_comparison(rest))
    about = RELATIVE.search(rest) or BLAMED.search(rest)
    return bool(about or _mention(set(PAIR) - {named.letter}).search(rest))


def _at_end(letters: set[str]) -> re.Pattern[str]:
    """Matches a line that is one of these letters, or ends in one after a colon or similar."""
    return re.compile(rf"(?:^|[\n.:,!])[^\w\n]*{_any_of(letters)}[^\w\n]*(?:$|\n)")


def _mention(letters: set[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w']){_any_of(letters)}(?![\w'\u2019])")


def _any_of(letters: set[str]) -> str:
    """Matches one of these letters; of none, nothing."""
    return f"[{''.join(sorted(letters))}]" if letters else r"(?!)"


def _without_comparison(text: str) -> str:
    """The text without what an answer is only held against, such as ``than (B)``."""
    return COMPARED.sub(" ", text)


def letter_of(value: object) -> str | None:
    """The letter that a JSON value or a mark names, or :data:`TIE`; None if it names none."""
    if isinstance(value, list) and len(value) == 1:
        [value] = value
    if not isinstance(value, str):
        return None
    if match := VALUE.fullmatch(value):
        return match[1].upper()
    if A_TIE.fullmatch(value):
        return TIE
    found: list[Named] = []
    in_speech(value, found)
    letters = {one.letter for one in found}
    return letters.pop() if len(letters) == 1 else None
