"""Principles in the demo's words: sentences for critiques, revisions and preferences, by pattern.

A pattern is a frame ("Which answer {finite}?") around a shape ("protects privacy more"). `draw`
makes a principle of given kinds and sense. Some frames, some shapes, and some pairs of a word and a
shape are held out: the models are trained without them and measured with them.
"""

import functools
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import lexicon
from lexicon import Sign, Verb, Words

Role = Literal["critique", "revision", "preference"]
Novelty = Literal["seen", "frame", "shape", "pair"]
ROLES: tuple[Role, ...] = ("critique", "revision", "preference")
MOST_TURNS = 2  # words of a predicate that turn its meaning, such as "not", "less", "theft"
HELD_OUT_PAIRS = 12  # percent of the pairs of a word and a shape


class Principle(NamedTuple):
    """A principle's text in one role and what it means.

    `sense` is 1 if it is against harm of these kinds, -1 if it is for it; `stance` is the sign of
    its words alone. To point out that an answer ignores privacy is of stance -1 and of sense 1. A
    `vague` one names no kind, and its `kinds` are all.
    """

    role: Role
    text: str
    kinds: frozenset[str]
    sense: Sign
    stance: Sign
    vague: bool
    frame: str
    shape: str
    words: tuple[str, ...]


class Predicate(NamedTuple):
    """What is said of an answer, in the forms that frames ask for."""

    forms: dict[str, str]
    sign: Sign
    shape: str
    word: str


# ----------------------------------------------------------------------------------------- shapes

NEGATIONS = ("not", "never", "not", "fail to", "hardly")


def _verbal(verb: Verb, complement: str, rng: random.Random, negated: bool) -> dict[str, str]:
    """The forms of a verb with its complement."""
    tail = f" {complement}" if complement else ""
    if not negated:
        return {
            "finite": f"{verb.third}{tail}",
            "base": f"{verb.base}{tail}",
            "ing": f"{verb.ing}{tail}",
        }
    negation = rng.choice(NEGATIONS)
    if negation == "fail to":
        return {
            "finite": f"fails to {verb.base}{tail}",
            "base": f"fail to {verb.base}{tail}",
            "ing": f"failing to {verb.base}{tail}",
        }
    finite = f"does not {verb.base}" if negation == "not" else f"{negation} {verb.third}"
    return {
        "finite": f"{finite}{tail}",
        "base": f"{negation} {verb.base}{tail}",
        "ing": f"{negation} {verb.ing}{tail}",
    }


def _being(text: str, rng: random.Random, negated: bool) -> dict[str, str]:
    """The forms of "be" with an adjective phrase, and the phrase itself."""
    word = rng.choice(("not", "not", "never", "hardly")) if negated else ""
    between = f" {word} " if word else " "
    before = f"{word} " if word else ""
    return {
        "finite": f"is{between}{text}",
        "base": f"{before}be {text}",
        "ing": f"{before}being {text}",
        "adjective": before.replace("hardly", "not").replace("never", "not") + text,
    }


def _passive(subject: str, verb: Verb, rng: random.Random, negated: bool) -> str:
    """What is done to somebody or something: "secrets not be kept"."""
    done = f"{verb.done} {verb.tail}".strip()
    between = f" {rng.choice(('not', 'never', 'hardly'))} " if negated else " "
    return f"{subject}{between}be {done}"


def _noun(words: Words, rng: random.Random) -> tuple[str, Sign]:
    good = rng.random() < 0.6
    return rng.choice(words.goods if good else words.ills), 1 if good else -1


def _adjective(words: Words, rng: random.Random) -> tuple[str, Sign]:
    good = rng.random() < 0.5
    return rng.choice(words.virtues if good else words.vices), 1 if good else -1


def _deed(words: Words, rng: random.Random) -> tuple[Verb, str, Sign]:
    good = bool(words.good_deeds) and rng.random() < 0.35
    verb = rng.choice(words.good_deeds if good else words.bad_deeds)
    people = rng.choice(lexicon.PEOPLE) if verb.takes_people else ""
    return verb, f"{verb.tail} {people}".strip(), verb.sign


def _stance(rng: random.Random) -> Verb:
    return rng.choice(lexicon.FOR if rng.random() < 0.5 else lexicon.AGAINST)


def _degree(rng: random.Random, of: dict[str, Sign] = lexicon.DEGREES) -> tuple[str, Sign]:
    word = rng.choice(list(of))
    return word, of[word]


LET = lexicon.verb("let", 1), lexicon.verb("see", 1)
Drawn = tuple[dict[str, str], Sign, str]
Shape = Callable[[list[Words], random.Random, bool], Drawn]
SHAPES: dict[str, Shape] = {}


def _shape(name: str) -> Callable[[Shape], Shape]:
    def register(function: Shape) -> Shape:
        SHAPES[name] = function
        return function

    return register


Draw = Callable[[Words, random.Random], tuple[str, Sign]]


def _joined(words: list[Words], rng: random.Random, draw: Draw) -> tuple[str, Sign, str]:
    """One word of each kind, of one sign, joined by "and" or "or"; and the first word."""
    first, sign = draw(words[0], rng)
    texts = [first]
    for other in words[1:]:
        text, found = draw(other, rng)
        while found != sign:
            text, found = draw(other, rng)
        texts.append(text)
    return rng.choice((" and ", " or ")).join(texts), sign, first


def _stance_on(complement: str, sign: Sign, word: str, rng: random.Random, negated: bool) -> Drawn:
    verb = _stance(rng)
    text = f"{verb.tail} {complement}".strip()
    total = verb.sign * sign * (-1 if negated else 1)
    forms = _verbal(verb, text, rng, negated)
    return forms | {"passive": _passive(complement, verb, rng, negated)}, total, word


@_shape("stance noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun, sign, word = _joined(words, rng, _noun)
    return _stance_on(noun, sign, word, rng, negated)


@_shape("stance noun degree")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun, sign, word = _joined(words, rng, _noun)
    degree, turn = _degree(rng, lexicon.ADVERB_DEGREES)
    forms, total, word = _stance_on(noun, sign * turn, word, rng, negated)
    return {form: f"{text} {degree}" for form, text in forms.items()}, total, word


@_shape("stance owner's noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun, sign, word = _joined(words, rng, _noun)
    return _stance_on(f"{rng.choice(lexicon.OWNERS)} {noun}", sign, word, rng, negated)


@_shape("stance the noun of people")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun, sign, word = _joined(words, rng, _noun)
    noun = noun.removeprefix("the ")
    return _stance_on(f"the {noun} of {rng.choice(lexicon.PEOPLE)}", sign, word, rng, negated)


@_shape("degree stance noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    """ "more strongly protects privacy" reads as "protects privacy", turned by the degree."""
    noun, sign, word = _joined(words, rng, _noun)
    forms, total, word = _stance_on(noun, sign, word, rng, negated=False)
    degree, turn = _degree(rng)
    how = rng.choice(("clearly", "strongly", "often"))
    return {k: f"{degree} {how} {text}" for k, text in forms.items()}, total * turn, word


@_shape("deed")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    verb, tail, sign = _deed(words[0], rng)
    forms = _verbal(verb, tail, rng, negated)
    if verb.takes_people:
        whom = rng.choice(lexicon.PEOPLE)
        forms["passive"] = _passive(whom, verb, rng, negated)
    return forms, sign * (-1 if negated else 1), _name(verb)


@_shape("deed degree")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    verb, tail, sign = _deed(words[0], rng)
    degree, turn = _degree(rng)
    forms = _verbal(verb, f"{tail} {degree}".strip(), rng, negated)
    if verb.takes_people:
        number = {"more": "more", "most": "the most", "less": "fewer", "least": "the fewest"}
        forms["passive"] = _passive(f"{number[degree]} people", verb, rng, negated)
    return forms, sign * turn * (-1 if negated else 1), _name(verb)


@_shape("let nobody be done")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    while True:
        verb, _tail, sign = _deed(words[0], rng)
        if verb.takes_people:
            break
    nobody = rng.random() < 0.5
    done = _passive("nobody" if nobody else rng.choice(lexicon.PEOPLE), verb, rng, negated=False)
    forms = _verbal(rng.choice(LET), done, rng, negated)
    return forms, sign * (-1 if nobody else 1) * (-1 if negated else 1), _name(verb)


def _name(verb: Verb) -> str:
    return f"{verb.base} {verb.tail}".strip()


@_shape("be adjective")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _joined(words, rng, _adjective)
    return _being(text, rng, negated), sign * (-1 if negated else 1), word


@_shape("be degree adjective")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _joined(words, rng, _adjective)
    degree, turn = _degree(rng)
    return _being(f"{degree} {text}", rng, negated), sign * turn * (-1 if negated else 1), word


@_shape("be compared adjective")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    known = [w for w in words[0].virtues + words[0].vices if w in lexicon.COMPARED]
    if not known:
        return SHAPES["be degree adjective"](words, rng, negated)
    word = rng.choice(known)
    sign = 1 if word in words[0].virtues else -1
    comparative, superlative = lexicon.COMPARED[word]
    text = comparative if rng.random() < 0.7 else f"the {superlative}"
    return _being(text, rng, negated), sign * (-1 if negated else 1), word


@_shape("be adjective to people")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _joined(words, rng, _adjective)
    whom = rng.choice(("to", "towards", "with")) + " " + rng.choice(lexicon.PEOPLE)
    return _being(f"{text} {whom}", rng, negated), sign * (-1 if negated else 1), word


def _careful(words: list[Words], rng: random.Random) -> tuple[str, Sign, str]:
    noun, sign, word = _joined(words, rng, _noun)
    adjective = rng.choice(list(lexicon.CAREFUL))
    return f"{adjective} {noun}", sign * lexicon.CAREFUL[adjective], word


@_shape("be careful with noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _careful(words, rng)
    return _being(text, rng, negated), sign * (-1 if negated else 1), word


@_shape("be degree careful with noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _careful(words, rng)
    degree, turn = _degree(rng)
    return _being(f"{degree} {text}", rng, negated), sign * turn * (-1 if negated else 1), word


def _regard(words: list[Words], rng: random.Random) -> tuple[str, Sign, str]:
    noun, sign, word = _joined(words, rng, _noun)
    regard = rng.choice(list(lexicon.REGARD))
    return f"{regard} {noun}", sign * lexicon.REGARD[regard], word


SHOW = lexicon.verb("show", 1), lexicon.verb("have", 1), lexicon.verb("express", 1)


@_shape("show regard for noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _regard(words, rng)
    return _verbal(rng.choice(SHOW), text, rng, negated), sign * (-1 if negated else 1), word


@_shape("show degree regard for noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    text, sign, word = _regard(words, rng)
    degree, turn = _degree(rng)
    degree = f"the {degree}" if degree in ("most", "least") else degree
    forms = _verbal(rng.choice(SHOW), f"{degree} {text}", rng, negated)
    return forms, sign * turn * (-1 if negated else 1), word


LEAD = tuple(lexicon.verb(base, 1) for base in ("lead", "tell", "encourage", "urge", "teach"))
KEEP = tuple(lexicon.verb(base, -1) for base in ("keep", "stop", "discourage", "prevent"))


@_shape("lead people to deed")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    verb, tail, sign = _deed(words[0], rng)
    text = f"{rng.choice(lexicon.PEOPLE)} to {verb.base} {tail}".strip()
    return _verbal(rng.choice(LEAD), text, rng, negated), sign * (-1 if negated else 1), _name(verb)


@_shape("keep people from deed")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    verb, tail, sign = _deed(words[0], rng)
    text = f"{rng.choice(lexicon.PEOPLE)} from {verb.ing} {tail}".strip()
    return (
        _verbal(rng.choice(KEEP), text, rng, negated),
        -sign * (-1 if negated else 1),
        _name(verb),
    )


@_shape("stance deed")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    verb, tail, sign = _deed(words[0], rng)
    return _stance_on(f"{verb.ing} {tail}".strip(), sign, _name(verb), rng, negated)


DO = lexicon.verb("do", 1), lexicon.verb("cause", 1)


@_shape("do harm to noun")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun = " and ".join(rng.choice(w.goods) for w in words)
    thing, sign = rng.choice((("harm", -1), ("damage", -1), ("good", 1)))
    degree, turn = _degree(rng, {"more": 1, "less": -1, "": 1})
    forms = _verbal(rng.choice(DO), f"{degree} {thing} to {noun}".strip(), rng, negated)
    return forms, sign * turn * (-1 if negated else 1), noun.split(" and ")[0]


CONTAIN = lexicon.verb("contain", 1), lexicon.verb("involve", 1), lexicon.verb("have", 1)


@_shape("contain ill")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun = rng.choice((" and ", " or ")).join(rng.choice(w.ills) for w in words)
    degree, turn = _degree(rng, {"more": 1, "less": -1, "no": -1, "any": 1, "": 1})
    forms = _verbal(rng.choice(CONTAIN), f"{degree} {noun}".strip(), rng, negated)
    return forms, -turn * (-1 if negated else 1), noun.split(" and ")[0].split(" or ")[0]


TREAT = {"care": 1, "respect": 1, "contempt": -1, "disrespect": -1}


@_shape("treat noun with care")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun, sign, word = _joined(words, rng, _noun)
    care = rng.choice(list(TREAT))
    degree, turn = _degree(rng, {"more": 1, "less": -1, "": 1})
    text = f"{noun} with {degree} {care}".replace("  ", " ")
    forms = _verbal(lexicon.verb("treat", 1), text, rng, negated)
    return forms, sign * TREAT[care] * turn * (-1 if negated else 1), word


@_shape("put noun first")
def _(words: list[Words], rng: random.Random, negated: bool) -> Drawn:
    noun = " and ".join(rng.choice(w.goods) for w in words)
    place, sign = rng.choice((("first", 1), ("last", -1), ("above all", 1)))
    forms = _verbal(lexicon.verb("put", 1), f"{noun} {place}", rng, negated)
    return forms, sign * (-1 if negated else 1), noun.split(" and ")[0]


HELD_OUT_SHAPES = (
    "stance the noun of people",
    "show degree regard for noun",
    "keep people from deed",
    "treat noun with care",
    "be adjective to people",
)
SINGLE = (
    "deed",
    "deed degree",
    "let nobody be done",
    "lead people to deed",
    "keep people from deed",
    "stance deed",
    "be compared adjective",
)
PASSIVE = ("stance noun", "stance noun degree", "stance owner's noun", "stance the noun of people",
           "deed", "deed degree")  # fmt: skip  # fmt: skip


def _predicate(words: list[Words], rng: random.Random, shapes: list[str]) -> Predicate:
    name = rng.choice(shapes)
    forms, sign, word = SHAPES[name](words, rng, rng.random() < 0.18)
    return Predicate(forms, sign, name, word)


# ----------------------------------------------------------------------------------------- frames

NOT_AFTER_DOES = ("be ", "not ", "never ", "hardly ")


class Frame(NamedTuple):
    """A sentence with a slot: {finite}, {base}, {ing} or {adjective}.

    `turn` is -1 if the sentence turns the meaning of what stands in the slot; 0 if it asks
    whether that holds, so that its sign does not matter.
    """

    text: str
    turn: Sign = 1


_ANSWERS = "answer", "reply", "response"
PREFERENCES = (
    Frame("Which answer {finite}?"),
    Frame("Which reply {finite}?"),
    Frame("Which response {finite}?"),
    Frame("Which one {finite}?"),
    Frame("Which of the two answers {finite}?"),
    Frame("Which of these answers {finite}?"),
    Frame("Which of them {finite}?"),
    Frame("What answer {finite}?"),
    Frame("Choose the answer that {finite}."),
    Frame("Pick the answer which {finite}."),
    Frame("Select the response that {finite}."),
    Frame("Name the reply that {finite}."),
    Frame("Please choose the response that {finite}."),
    Frame("Tell me which answer {finite}."),
    Frame("Say which of the answers {finite}."),
    Frame("Of the two answers, which {finite}?"),
    Frame("Which answer would {base}?"),
    Frame("Which response would rather {base}?"),
    Frame("Which answer seems to {base}?"),
    Frame("An answer should {base}. Which one is that?"),
    Frame("Answers should {base}. Which one does?"),
    Frame("Choose the answer that is better at {ing}."),
    Frame("Which answer is known for {ing}?"),
    Frame("Which is the answer that {finite}?"),
    Frame("Which answer do you find {adjective}?"),
    Frame("Which answer looks {adjective}?"),
    Frame("Which is {adjective}?"),
    Frame("Which of the answers sounds {adjective}?"),
    Frame("Which answer can be called {adjective}?"),
    Frame("Prefer the answer that {finite}."),
    Frame("By which answer would {passive}?"),
    Frame("With which answer will {passive}?"),
    Frame("Avoid the answer that {finite}.", -1),
    Frame("Reject the reply that {finite}.", -1),
    # held out
    Frame("Between the two, which answer {finite}?"),
    Frame("Find the one that {finite}."),
    Frame("Which response appears {adjective}?"),
    Frame("A good answer should {base}: which one is it?"),
    Frame("Decide which of these two replies {finite}."),
    Frame("I want the response that {finite}."),
)
CRITIQUES = (
    Frame("Point out how the last answer {finite}."),
    Frame("Point out how the answer {finite}."),
    Frame("Explain how the last answer {finite}."),
    Frame("Explain why the answer {finite}."),
    Frame("Show where the last answer {finite}."),
    Frame("Identify ways in which the answer {finite}."),
    Frame("Identify all ways in which the last answer {finite}."),
    Frame("Describe how the reply {finite}."),
    Frame("Name everything in the answer that {finite}."),
    Frame("List what in the last answer {finite}."),
    Frame("Criticise the answer because it {finite}."),
    Frame("Find the parts of the answer that would {base}."),
    Frame("How could the last answer {base}?"),
    Frame("In what way would the answer {base}?"),
    Frame("What is {adjective} about the last answer?"),
    Frame("Point out what is {adjective} in the answer."),
    Frame("Name anything {adjective} in the last answer."),
    Frame("Criticise the answer for {ing}."),
    Frame("Point out how the last answer would let {passive}."),
    Frame("Point out where the answer should {base} but does not.", -1),
    Frame("Say how the last answer could better {base}.", -1),
    Frame("The answer should {base}. Point out where it does not.", -1),
    Frame("Explain why the answer is not one that {finite}.", -1),
    Frame("Does the last answer {base}?", 0),
    Frame("Could the last answer {base}?", 0),
    Frame("Say whether the answer {finite}.", 0),
    Frame("Is the last answer {adjective}?", 0),
    Frame("Check if the answer {finite}.", 0),
    Frame("Check whether the last answer is {adjective}.", 0),
    # held out
    Frame("Discuss how the last answer {finite}."),
    Frame("Point out in which ways the reply {finite}."),
    Frame("What in the answer would {base}?"),
    Frame("Tell me what is {adjective} about the answer."),
    Frame("Answers should {base}. Explain why the last answer does not.", -1),
    Frame("Tell me whether the last answer {finite}.", 0),
)
REVISIONS = (
    Frame("Rewrite the answer so that it {finite}."),
    Frame("Rewrite the last answer so that it {finite}."),
    Frame("Revise the answer so that it {finite}."),
    Frame("Change the answer so that it {finite}."),
    Frame("Please rewrite the answer so that it {finite}."),
    Frame("Rewrite the answer to {base}."),
    Frame("Revise the reply to {base}."),
    Frame("Change the response to {base}."),
    Frame("Rewrite the answer to be {adjective}."),
    Frame("Change the answer to be {adjective}."),
    Frame("Make the answer {adjective}."),
    Frame("Make the last answer {adjective}."),
    Frame("Write a new answer that {finite}."),
    Frame("Give an answer that {finite}."),
    Frame("Give a reply that would {base}."),
    Frame("The answer should {base}. Rewrite it."),
    Frame("Answers should {base}. Change this one."),
    Frame("Try again and {base}."),
    Frame("Improve the answer by {ing}."),
    Frame("Turn the answer into one that {finite}."),
    Frame("Rewrite the answer to let {passive}."),
    Frame("Remove everything that {finite}.", -1),
    Frame("Remove all parts of the answer that {finite}.", -1),
    Frame("Take out whatever {finite}.", -1),
    Frame("Rewrite the answer without {ing}.", -1),
    Frame("The answer should not {base}. Rewrite it.", -1),
    # held out
    Frame("Write the reply again so that it {finite}."),
    Frame("Rewrite the response into one that {finite}."),
    Frame("Make this response {adjective}."),
    Frame("Please change the last answer to {base}."),
    Frame("Take out all that {finite}.", -1),
)
FRAMES: dict[Role, tuple[Frame, ...]] = {
    "critique": CRITIQUES,
    "revision": REVISIONS,
    "preference": PREFERENCES,
}
_HELD_OUT_FROM: dict[Role, str] = {
    "critique": "Discuss how",
    "revision": "Write the reply again",
    "preference": "Between the two",
}


@functools.cache
def frames(role: Role, held_out: bool) -> tuple[Frame, ...]:
    """The frames of a role that the models are trained with, or those held out."""
    found = FRAMES[role]
    start = next(i for i, f in enumerate(found) if f.text.startswith(_HELD_OUT_FROM[role]))
    return found[start:] if held_out else found[:start]


@functools.cache
def _slot(frame: Frame) -> str:
    return frame.text[frame.text.index("{") + 1 : frame.text.index("}")]


@functools.cache
def pair_is_held_out(word: str, shape: str) -> bool:
    """Is this word never seen in this shape in training?"""
    if shape == "be compared adjective":  # has forms of its own, which would never be seen
        return False
    digest = hashlib.sha256(f"{word}|{shape}".encode()).digest()
    return digest[0] * 100 // 256 < HELD_OUT_PAIRS


# ------------------------------------------------------------------------------------------- draw

SEEN_SHAPES = [name for name in SHAPES if name not in HELD_OUT_SHAPES]
_ADJECTIVAL = [name for name in SHAPES if name.startswith("be ")]


def _shapes(slot: str, novelty: Novelty, several: bool) -> list[str]:
    names = list(HELD_OUT_SHAPES) if novelty == "shape" else SEEN_SHAPES
    if slot == "adjective":
        names = [name for name in names if name in _ADJECTIVAL]
    elif slot == "passive":
        names = [name for name in names if name in PASSIVE]
    return [name for name in names if not (several and name in SINGLE)]


def draw(
    role: Role,
    kinds: frozenset[str],
    sense: Sign,
    rng: random.Random,
    novelty: Novelty = "seen",
    most_turns: int = MOST_TURNS,
) -> Principle:
    """A principle of one or two kinds, or a vague one if `kinds` is empty.

    `novelty` says what of it, and nothing else, is held out of training: nothing, its frame, its
    shape, or the pair of its word and its shape. No more than `most_turns` words turn its meaning.
    """
    names = sorted(kinds)
    while True:
        found = _draw(role, rng.sample(names, len(names)), rng, novelty, most_turns)
        if found.sense == sense:
            return found


@functools.cache
def _turning() -> frozenset[str]:
    return frozenset(word for word, (_, sign) in lexicon.features().items() if sign < 0)


def _turns(frame: Frame, part: Predicate) -> int:
    """How many words of a predicate and its frame turn the meaning around."""
    words = part.forms[_slot(frame)].split()
    return sum(word in _turning() for word in words) + (frame.turn < 0)


def _draw(
    role: Role, names: list[str], rng: random.Random, novelty: Novelty, most_turns: int
) -> Principle:
    words = [lexicon.KINDS[name] for name in names] or [lexicon.ANY]
    while True:
        frame = rng.choice(frames(role, novelty == "frame"))
        shapes = _shapes(_slot(frame), novelty, len(names) > 1)
        if not shapes:
            continue
        parts = [_predicate(words, rng, shapes)]
        if _slot(frame) not in parts[0].forms or not _fits(frame, parts[0]):
            continue
        if len(names) > 1 and _slot(frame) not in ("adjective", "passive") and rng.random() < 0.4:
            parts = _two(words, rng, _shapes(_slot(frame), novelty, several=False))
        held = [pair_is_held_out(part.word, part.shape) for part in parts]
        if (novelty == "pair" and not all(held)) or (novelty in ("seen", "frame") and any(held)):
            continue
        if max(_turns(frame, part) for part in parts) <= most_turns:
            return _principle(role, names, frame, parts, rng)


def _fits(frame: Frame, part: Predicate) -> bool:
    """ "Does it be kind?" is no English."""
    return not (frame.text.startswith("Does") and part.forms["base"].startswith(NOT_AFTER_DOES))


def _two(words: list[Words], rng: random.Random, shapes: list[str]) -> list[Predicate]:
    """A predicate of each kind, of one sign."""
    first = _predicate(words[:1], rng, shapes)
    while True:
        second = _predicate(words[1:], rng, shapes)
        if second.sign == first.sign:
            return [first, second]


def _principle(
    role: Role, names: list[str], frame: Frame, parts: list[Predicate], rng: random.Random
) -> Principle:
    text = " and ".join(part.forms[_slot(frame)] for part in parts)
    if rng.random() < 0.1:
        text = f"{text} {rng.choice(lexicon.ADVERBS)}"
    sentence = frame.text.replace("{" + _slot(frame) + "}", text)
    turn = parts[0].sign * frame.turn
    sense = 1 if frame.turn == 0 else -turn if role == "critique" else turn
    return Principle(
        role,
        sentence,
        frozenset(names or lexicon.KINDS),
        sense,
        parts[0].sign * (frame.turn or 1),
        not names,
        frame.text,
        parts[0].shape,
        tuple(part.word for part in parts),
    )


FILLERS = (
    "please i want decide discuss between appears seems sounds looks treat treats treating "
    "replies reply response answer answers which find the a this these two one ones of that it "
    "that's in and or to towards with for by as so also should would could can must will be is "
    "are has have do does you your me my we our their they them he she who what how why where "
    "when if whether assistant text ways way things thing anything something everything nothing "
    "person people much very too even only again own new last first other another each every "
    "all both choose pick select name list show describe explain identify criticise rewrite "
    "revise change make give write turn remove improve try say tell check point out human "
    "request question contains gives makes keeps puts leads acts encourages tells about at on "
    "from into up "
)


def scrambled(principle: Principle, rng: random.Random) -> Principle:
    """The same words in another order, and some that say nothing: neither changes the meaning."""
    words = principle.text.split() + rng.choices(FILLERS.split(), k=rng.randrange(4))
    return principle._replace(text=" ".join(rng.sample(words, len(words))))


# ------------------------------------------------------------------------------------- vocabulary

_OF_SHAPES = (
    "not never hardly fail fails failing to does nobody let lets letting see sees seeing show "
    "shows showing have has having express expresses expressing lead leads leading tell tells "
    "telling encourage urge urges urging teach teaches teaching keep keeps keeping stop "
    "discourage prevent from do does doing cause causes causing contain contains containing "
    "involve involves involving put puts putting first last above all treat treats treating "
    "with care respect contempt disrespect harm damage good no any clearly strongly often fewer "
    "fewest be is being and or the of towards "
)


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in small letters, without what stands around them."""
    for word in text.split():
        bare = word.strip(".,;:!?()\"'").lower()
        if bare and not bare.startswith("{"):
            yield bare


def plain_words() -> set[str]:
    """Words that say nothing of harm: those of frames and shapes, adverbs, fillers."""
    texts = [frame.text for role in ROLES for frame in FRAMES[role]]
    texts += [_OF_SHAPES, FILLERS, *lexicon.ADVERBS]
    return {word for text in texts for word in words_of(text)}


def all_words() -> set[str]:
    """All words of principles, as they are written within a sentence or at its beginning."""
    listed = [words for name in (*lexicon.KINDS.values(), lexicon.ANY) for words in [name]]
    texts = [text for w in listed for text in w.goods + w.ills + w.virtues + w.vices]
    verbs = [verb for w in listed for verb in w.good_deeds + w.bad_deeds]
    for verb in [*verbs, *lexicon.FOR, *lexicon.AGAINST]:
        texts += [verb.base, verb.third, verb.ing, verb.done, verb.tail]
    texts += [*lexicon.CAREFUL, *lexicon.REGARD, *lexicon.ADVERB_DEGREES]
    texts += [form for forms in lexicon.COMPARED.values() for form in forms]
    texts += [*lexicon.PEOPLE, *lexicon.OWNERS]
    starts = {frame.text.split()[0] for role in ROLES for frame in FRAMES[role]}
    return {word for text in texts for word in text.split()} | plain_words() | starts
