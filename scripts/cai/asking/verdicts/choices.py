"""Where a judge's answer becomes a verdict, for all judges: what is not clear is not guessed.

Three steps, always these: how did the answer end, and what is left without its reasoning
(:mod:`cai.asking.verdicts.final_words`); which conclusions does that hold; do they agree. A
conclusion
is a whole line or sentence of a known form (``(A)``, ``Verdict: B``, ``B is better.``), a mark made
for it (``[[B]]``, ``\\boxed{B}``) or a JSON object. What else speaks of the answers is talk: a
line that ends in a colon introduces, a title names what follows it. Two conclusions that contradict
each other are none, and so is one that is taken back.
"""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from cai.asking.verdicts.final_words import Object, Unreadable, blanked, final_words, objects
from cai.files.records import Record

UNREADABLE = "the judge's answer cannot be read"
CONTRADICTS = "the judge's answer contradicts itself"
TAKEN_BACK = "the judge takes its answer back"
NOT_SHOWN = "the judge named an answer that does not exist"
NO_PROBABILITY = "the judge's answer comes without the probability of its letter"
PAIR = "AB"
TIE = "tie"

LETTER = re.compile("[\\W_\u0120]*([AB])[\\W_]*")  # of a token; U+0120 is a tokenizer's space

_WORDS = "answer|option|response|candidate|choice|assistant|reply|output|completion|model|letter"
_WORD = rf"(?i:{_WORDS})"
_CONNECT = (
    r"(?:(?i:so|therefore|thus|hence|overall|ultimately|finally|accordingly|consequently"
    r"|in (?:conclusion|summary|short|the end|sum)|to (?:conclude|sum up)|all in all|on balance"
    r"|as a result|(?:between|of) the two(?: answers| responses)?|for (?:this|these|that) reasons?)"
    r"[\s,:\u2014-]+)"
)
_ADVERB = (
    r"(?:(?i:clearly|definitely|certainly|therefore|thus|hence|then|slightly|much|far|somewhat"
    r"|overall|significantly|obviously|simply|strongly|a bit)[\s,]+)*"
)
_TERM = (  # a letter, with or without a word before it and brackets around it
    rf"(?:(?i:the)\s+)?(?:{_WORD}\b(?:[^\w?:=]|_){{1,4}})?[^\w?:=]*_*"
    r"(?:(?P<letter>[A-HJ-Z])(?![^\W_]|['\u2019])|(?<=[(\[])(?P<small>[a-z])(?=[)\]]))_*"
)
_OTHER = _TERM.replace("P<", "P<than_")
_THAN = rf"(?:[^\w?]*?\s+(?i:than|over)\s+(?:(?i:the other(?:\s+(?:one|{_WORDS}))?)|{_OTHER}))?"
_TAIL = r"(?:[^\w?]*|[^\w?]+(?P<tail>(?i:since|because|as it|as they|for it|which|due to)\b[^?]*))$"
_NOUN = (
    r"(?:answer|verdict|choice|decision|conclusion|winner|preference|judge?ment|selection|pick"
    r"|vote|result|ruling|option|response)"
)
_QUALITY = r"(?:final|overall|better|best|preferred|correct|chosen|right|own|superior|preferable)"
_LABEL = (
    rf"(?i:(?:(?:the|my|our)\s+)?(?:(?:{_QUALITY}\s+)*{_NOUN}"
    rf"|(?:{_QUALITY}\s+)+(?:one|{_WORDS})|(?:better|best|preferred)(?:\s+of the two)?)"
    r"|\u7b54\u6848|\u7b54\u3048|\u56de\u7b54|\u7ed3\u8bba|\u7d50\u8ad6|antwort"
    r"|r\u00e9ponse|respuesta|risposta)"
)
_IS = r"(?:\s+(?i:is|goes to|=)(?=[\W_])|[^\w?\n]*?[:=\u2192\u2013\u2014-])[^\w?(\[]*"
_BETTER = (
    r"(?i:(?:the\s+)?(?:better|best|preferable|preferred|superior|stronger|winner)"
    rf"(?:\s+(?:one|of the two|{_WORDS}))*)"
)
_MINE = r"(?i:(?:my|the)\s+(?:choice|answer|pick|winner))"
_CHOOSE = (
    rf"I(?:['\u2019]d|\s+would|\s+will|\s+do)?\s+{_ADVERB}"
    r"(?i:choose|chose|pick|select|prefer|favou?r|recommend|vote for|go with|opt for)"
)
_A_TIE = r"(?i:(?:a\s+)?(?:tie|draw|toss-up|tied|equal(?:ly good)?))"

BARE = re.compile(rf"^{_TERM}[^\w?]*$")
STATEMENTS = tuple(
    re.compile(rf"^(?:(?i:and|but)\s+)?{_CONNECT}{{0,2}}{form}{_TAIL}")
    for form in (
        rf"{_LABEL}{_IS}{_ADVERB}{_TERM}{_THAN}",
        rf"(?:{_LABEL}[^\w?\n]*?:[^\w?(\[]*)?{_TERM}[^\w?]*?\s+"
        rf"(?:(?i:wins)|(?i:is)\s+{_ADVERB}(?:{_BETTER}|{_MINE})){_THAN}",
        rf"{_CHOOSE}\s+{_TERM}{_THAN}",
        rf"{_TERM}(?=[^\w?]+(?:because|since)\b)",
    )
)
SMALL = re.compile(  # a line that names a small letter and nothing else
    rf"^(?:{_LABEL}{_IS}|{_CHOOSE}\s+)?[^\w?]*(?:(?i:the)\s+)?(?:{_WORD}[^\w?]{{1,4}})?"
    r"(?<![^\W_])([a-h])[^\w?]*$"
)
CONNECTED = re.compile(rf"^{_CONNECT}{{1,2}}{_TERM}{_TAIL}")
TIES = tuple(
    re.compile(rf"^{_CONNECT}{{0,2}}{form}{_TAIL}")
    for form in (
        rf"{_LABEL}{_IS}{_A_TIE}",
        rf"(?i:it is|it's|this is|they are|we have)\s+{_A_TIE}",
        r"(?i:tie|draw)",
        r"(?i:(?:both|the two|they)(?:\s+(?:answers|responses|options|of them))?\s+are\s+"
        r"(?:equally good|equal|equivalent|tied))",
    )
)
LABEL = re.compile(rf"^{_CONNECT}{{0,2}}{_LABEL}(?:\s+(?i:is))?[^\w?]*$")
CHOOSING = re.compile(rf"^{_CONNECT}{{0,2}}I\s+{_ADVERB}(?i:choose|pick|select|prefer)[^\w?]*$")

MARKS = re.compile(
    r"\[\[(?P<mark>[^\[\]\n]{1,40})\]\]|\\boxed\s*\{+(?P<boxed>[^{}\n]{1,40}(?:\{[^{}\n]{1,40}\})?)\}"
    r"|<(?P<tag>(?:final_?)?(?:answer|verdict|choice|decision))>(?P<tagged>[^<>]{1,60})</(?P=tag)>",
    re.I,
)
RANKED = re.compile(r"\s*([A-Z])\s*(>{1,2}|<{1,2}|=)\s*([A-Z])\s*")  # [[A>>B]]
VALUE = re.compile(
    rf"[\W_]*(?:\\?(?:text|textbf|mathrm|mathbf)\W+)?(?:(?i:the)\s+)?(?:{_WORD}[\W_]+)?"
    r"(?:(?i:is)\s+)?([A-Za-z])[\W_]*"
)
A_TIE = re.compile(r"[\W_]*(?:a\s+)?(?:tie|draw|equal|both equal)[\W_]*", re.I)
KEYS = re.compile(
    rf"(?:(?:{_QUALITY}) )*(?:{_NOUN}|option|response|one|assistant|better|best|preferred|chosen"
    r"|preferred (?:option|response))|selected|final"
)
HEDGES = re.compile(
    r"\b(?:if|unless|but|although|though|however|except|might|could|would|perhaps|maybe)\b",
    re.I,
)
BACK = re.compile(
    r"\b(?:wait|hold on|on (?:reflection|second thoughts?|a closer look)|on closer \w+|correction"
    r"|scratch that|withdraw\w*|withdrew|retract\w*|take (?:that|it|this) back|was wrong|mistaken"
    r"|made a mistake|chang\w* my mind|misread|reconsider\w*|let me (?:re\w*|check|think|look)"
    r"|instead|however|hmm|(?:that|this|it|which|answer|draft) (?:is|was|would be) (?:\w+ )?"
    r"(?:wrong|incorrect|not right|false|a mistake|an error)|that's wrong|not final|no longer)\b"
    r"|(?:^|[.!?\n]\s*)(?:but|no|actually|yet|still|only joking)\b|\?"
    r"|\b(?:p\.\s?s|edit|sorry|oops|meant|kidding|joking|my mistake|apolog\w*)\b",
    re.I,
)
RELATIVE = re.compile(
    r"\b(?:other|another|first|second|former|latter|neither|opposite|alternative)\b", re.I
)
BLAMED = re.compile(r"\b(?:this (?:one|is|answer|response)|worse|worst|bad|reject\w*)\b", re.I)
CROSSED = re.compile("[\u274c\u274e\u2717\u2718\u2716\u26d4\U0001f6ab\U0001f44e]")  # signs of a no
CHOICE_WORDS = re.compile(
    r"\b(?:choos\w*|chose|prefer\w*|better|best|winner|wins|go with|correct|final|right one)\b",
    re.I,
)
COMPARED = re.compile(
    r"\b(?i:than|unlike|over)\s+(?:(?i:the (?:other|first|second)(?: \w+)?)"
    rf"|[^\w\n]*(?:{_WORD}\W+)?[A-Z]\b)"
    r"|\b(?i:which|that)\s+[^\w\n]*[A-Z]\W+(?i:does not|doesn't|lacks)\b"
)
ASIDE = re.compile(
    r"\b(?:draft|form|format|example|options?|worse|worst|rejected|less|first impression)\b", re.I
)
BECAUSE = re.compile(
    r"[\W_]*(?:because|since|reason\w*|explanation|rationale|justification|why)\b", re.I
)


class Named(NamedTuple):
    """A conclusion: the letter that it names (:data:`TIE`: none is better), and its place."""

    letter: str
    start: int
    end: int


class BestWorst(NamedTuple):
    """The letters of the best and of the worst answer; equal ones mean that none is."""

    best: str
    worst: str


def vote(text: str, finish: str = "stop") -> float | Unreadable:
    """P(A) by one answer's words: 1 for (A), 0 for (B), 1/2 for a tie."""
    named = conclusion(text, finish)
    if isinstance(named, Unreadable):
        return named
    return {"A": 1.0, "B": 0.0, TIE: 0.5}[named.letter]


def conclusion(text: str, finish: str = "stop", shown: str = PAIR) -> Named | Unreadable:
    """The one answer of those shown that a judge's answer names as the better one.

    Args:
        text: what the judge said.
        finish: how that ended, in the service's word.
        shown: the letters of the answers that were shown.
    """
    words = final_words(text, finish)
    if isinstance(words, Unreadable):
        return words
    found = list(_objects(words, shown))
    for item in objects(words):
        words = blanked(words, item.start, item.end)
    found += _marks(words)
    for match in MARKS.finditer(words):
        words = blanked(words, *match.span())
    bare = _spoken(words, found)
    named = {one.letter for one in found} | bare
    if not named:
        return Unreadable(UNREADABLE, text)
    if len(named) > 1:
        return Unreadable(CONTRADICTS, text)
    last = max(found, key=lambda one: one.end)
    if last.letter not in (*shown, TIE):
        return Unreadable(NOT_SHOWN if last.letter else UNREADABLE, text)
    if _taken_back(words[last.end :], last.letter, shown):
        return Unreadable(TAKEN_BACK, text)
    return last


def best_and_worst(text: str, finish: str, shown: str) -> BestWorst | Unreadable:
    """The best and the worst of the answers shown, by ``{"best": ..., "worst": ...}``.

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
    for item in objects(words):
        for verdict in _verdicts(item):
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
    after = blanked(words, 0, end)
    spoken: list[Named] = list(_marks(after))
    bare = _spoken(after, spoken)
    if ({one.letter for one in spoken} | bare) - {verdict.best}:
        return Unreadable(CONTRADICTS, text)
    end = max([end, *(one.end for one in spoken)])
    if _taken_back(words[end:], verdict.best, shown):
        return Unreadable(TAKEN_BACK, text)
    return verdict


def _objects(words: str, shown: str) -> Iterator[Named]:
    """The conclusions of the JSON objects in a text; an empty letter for one that names none."""
    for item in objects(words):
        verdicts = list(_verdicts(item))
        for verdict in verdicts:
            yield Named(_better(verdict, shown), _place(words, item, verdict), item.end)
        if verdicts:
            continue
        for key, value in item.pairs:
            letter = _letter(value) if KEYS.fullmatch(key) else None
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


def _verdicts(item: Object) -> Iterator[BestWorst | None]:
    """What an object says of the best and the worst; None where that is no letter.

    An echo of the form, with ``<letter>`` or dots in place of letters, says nothing.
    """
    said = {
        which: [value for key, value in item.pairs if key.split(" ")[0] == which]
        for which in ("best", "worst")
    }
    for best, worst in product(said["best"], said["worst"]):
        if _is_echo(best) and _is_echo(worst):
            continue
        letters = _letter(best), _letter(worst)
        yield None if None in letters else BestWorst(*letters)


def _is_echo(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\W*<[^<>]*>\W*|[\W_]*", value) is not None


def _letter(value: object) -> str | None:
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
    _spoken(value, found)
    letters = {one.letter for one in found}
    return letters.pop() if len(letters) == 1 else None


def _place(words: str, item: Object, verdict: BestWorst | None) -> int:
    return item.start if verdict is None else _place_of(words, item, "best", verdict.best)


def _place_of(words: str, item: Object, key: str, letter: str) -> int:
    """Where the letter stands that an object's key has."""
    text = words[item.start : item.end]
    name = key.replace(" ", r"[\s_-]+")
    match = re.search(rf"(?i:{name})\W.*?(?<![^\W_])({letter}|{letter.lower()})(?![^\W_])", text)
    return item.start + (match.start(1) if match else 0)


def _marks(words: str) -> Iterator[Named]:
    """The conclusions in marks that are made for them: ``[[B]]``, ``[[A>>B]]``, ``\\boxed{B}``."""
    for match in MARKS.finditer(words):
        group = next(name for name in ("mark", "boxed", "tagged") if match[name] is not None)
        inner = match[group]
        if ranked := RANKED.fullmatch(inner):
            first, sign, second = ranked.groups()
            letter = TIE if sign == "=" else first if sign[0] == ">" else second
        elif group == "mark" and inner.strip() == "C":  # MT-Bench's mark of a tie
            letter = TIE
        else:
            letter = _letter(inner)
        if letter is not None:
            place = VALUE.fullmatch(inner)
            start = match.start(group) + (place.start(1) if place else 0)
            yield Named(letter, start, match.end())


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


def _lines(words: str) -> list[_Line]:
    found: list[_Line] = []
    raw = list(re.finditer(r"[^\n]+", words))
    for match in raw:
        if not match[0].strip():
            continue
        lead = re.match(r"[\s>#]*(?:[-*+\u2022]\s+|\d{1,2}[.)]\s+)?[\s*_`]*", match[0])
        marks = lead[0]
        after = words[match.end() : match.end() + 200]
        gap = not after.strip() or re.match(r"\n[^\S\n]*(\n|$)", after) is not None
        text, start = _capital(match[0][lead.end() :]), match.start() + lead.end()
        found.append(_Line(text, start, "#" in marks, ">" in marks, gap))
    return found


def _capital(line: str) -> str:
    """The line with a capital, if it names a small letter and nothing else."""
    small = SMALL.match(line)
    return line if small is None else line[: small.start(1)] + line[small.start(1) :].upper()


def _spoken(words: str, found: list[Named]) -> set[str]:
    """Add the conclusions of a text's lines and sentences; returns the letters that stand alone.

    A letter that is a line of its own is a conclusion after a label (``Verdict:``), as the last
    line, or as the first before a paragraph that explains it. Elsewhere it is a title.
    """
    lines = _lines(words)
    alone: list[tuple[int, Named, str]] = []
    before = ""  # what the line before is to this one, see _introduction
    for number, line in enumerate(lines):
        if (line.quote and len(lines) > 1) or CROSSED.search(line.text):
            continue
        bare = None if line.introduces else BARE.match(line.text)
        if bare is None:
            concluded = list(_statements(line))
            found += concluded
            before = "" if concluded else _introduction(line)
            continue
        one = _named(bare, line.start)
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
    if not own or (len(letters) == 1 and not last and _is_unclear(words[own[-1].end :], own[-1])):
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
    ended = re.search(r"(?:[.!?\u3002]|\b[A-Z]\b)[^\w:]*$", line.text)
    if ended and not line.introduces:
        return ""
    return "aside" if ASIDE.search(text) else "other"


def _sentences(line: _Line) -> Iterator[tuple[str, int]]:
    """The sentences of a line, with their places."""
    start = 0
    for end in [m.end() for m in re.finditer(r"[.!?\u3002][\"')\]*_`\u201d]*\s+", line.text)]:
        yield from _sentence(line, start, end)
        start = end
    yield from _sentence(line, start, len(line.text))


def _sentence(line: _Line, start: int, end: int) -> Iterator[tuple[str, int]]:
    text = line.text[start:end]
    lead = re.match(r"[\s*_`]*", text).end()
    yield text[lead:], line.start + start + lead


def _statements(line: _Line) -> Iterator[Named]:
    """The conclusions among the sentences of a line."""
    for text, start in _sentences(line):
        if re.search(r":[^\w]*$", text):
            continue
        for form in (*STATEMENTS, CONNECTED):
            match = form.match(text)
            if match is None or HEDGES.search(match["tail"] or ""):
                continue
            named = _named(match, start)
            groups = match.groupdict()
            other = groups.get("than_letter") or (groups.get("than_small") or "").upper()
            if other != named.letter:
                yield named._replace(end=start + len(text))
                break
        else:
            if any(form.match(text) for form in TIES):
                yield Named(TIE, start, start + len(text))


def _named(match: re.Match[str], start: int) -> Named:
    group = "letter" if match["letter"] else "small"
    return Named(match[group].upper(), start + match.start(group), start + match.end())


def _taken_back(rest: str, letter: str, shown: str) -> bool:
    """Whether what follows a conclusion takes it back, or speaks for another answer."""
    letters = set(shown) - {letter}
    others = _mention(letters)
    plain = "\n".join(line for line in rest.split("\n") if not ASIDE.search(line))
    if BACK.search(rest) or _at_end(letters).search(plain):
        return True
    return any(
        CHOICE_WORDS.search(said) and (others.search(said) or RELATIVE.search(said))
        for said in map(_without_comparison, re.split(r"[.!?\n]", rest))
    )


def _is_unclear(rest: str, named: Named) -> bool:
    """Whether what follows a letter at the top could be about both answers, the letter a title."""
    rest = _without_comparison(rest)
    about = RELATIVE.search(rest) or BLAMED.search(rest)
    return bool(about or _mention(set(PAIR) - {named.letter}).search(rest))


def _at_end(letters: set[str]) -> re.Pattern[str]:
    """Matches a line that is one of these letters, or ends in it after a colon or the like."""
    return re.compile(rf"(?:^|[\n.:,!])[^\w\n]*[{''.join(sorted(letters))}][^\w\n]*(?:$|\n)")


def _mention(letters: set[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'])[{''.join(sorted(letters))}](?![\w'\u2019])")


def _without_comparison(text: str) -> str:
    """The text without what an answer is only held against, such as ``than (B)``."""
    return COMPARED.sub(" ", text)


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
