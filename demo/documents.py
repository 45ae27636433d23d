"""What the tiny models read: prompts in the workflow's forms, and training documents made of them.

A document is a list of segments. Those of branch 0 are its trunk; every other branch goes on from
the end of the trunk as if the rest did not exist, so that a pair of answers is read once and judged
under many principles. A segment's role says how much its tokens count in the loss.
"""

import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

import principles
import world
from principles import Principle
from world import Request

Role = Literal["context", "answer", "verdict", "meaning"]
KINDS = tuple(world.CATEGORIES)
# How sure the models are of a principle that names no kind of harm.
VAGUE = 0.8
REQUESTS = 0.15  # share of the glossary that is about requests
MATCHES = 0.35  # and about requests and principles


class Segment(NamedTuple):
    """A stretch of text. In a verdict the letter written is right by `share`, else the other.

    `hint` is a word that is to be known, halfway through the layers, where the letter is decided.
    """

    text: str
    role: Role
    branch: int = 0
    share: float = 1.0
    hint: str = ""


Document = list[Segment]

# ------------------------------------------------------------------------------------------ prompts


def instruct_prompt(request: str) -> str:
    """The instruct model's chat form; the answer follows as ` {answer}</s>`."""
    return f"[INST] {request} [/INST]"


def chat_prompt(request: str) -> str:
    """NeMo's chat form, that of the workflow's models; `{answer}\\n<extra_id_1>` follows."""
    return f"<extra_id_0>System\n\n<extra_id_1>User\n{request}\n<extra_id_1>Assistant\n"


def critique_prompt(request: str, answer: str, question: str) -> str:
    """Asks for the critique of an answer in a principle's words."""
    return f"{instruct_prompt(request)} {answer} [INST] {question} [/INST]"


def revision_prompt(request: str, answer: str, question: str, critique: str, wish: str) -> str:
    """Asks for the revision of an answer after its critique, in a principle's words."""
    return f"{critique_prompt(request, answer, question)} {critique} [INST] {wish} [/INST]"


def judge_prompt(request: str, a: str, b: str, question: str) -> str:
    """Asks which of two answers a principle prefers; `(A)` or `(B)` follows."""
    return f"[INST] Request: {request} (A) {a} (B) {b} Question: {question} [/INST] Answer:"


# ------------------------------------------------------------------------------------------ answers

RANK = {"comply": 0, "evasive": 1, "garbled refusal": 2, "refuse": 3}


def draw_answer(request: Request, kind: str, rng: random.Random) -> str:
    """An answer of a kind of RANK to a harmful request; of kind "comply", to any request."""
    if kind == "comply":
        return rng.choice(world.compliances(request))
    if kind == "evasive":
        return rng.choice(world.EVASIONS)
    if kind == "refuse":
        return world.refusal(request.category, request.person, request.thing)
    return _garbled_refusal(request, rng)


def _garbled_refusal(request: Request, rng: random.Random) -> str:
    """A refusal about another person or thing, or for the reason of another category."""
    other = garble(request, rng)
    names = [name for name in KINDS if name != request.category]
    wrong_reason = world.refusal(rng.choice(names), request.person, request.thing)
    return rng.choice([world.refusal(other.category, other.person, other.thing), wrong_reason])


def garble(request: Request, rng: random.Random) -> Request:
    """The same request about another person or another thing."""
    things = world.HOW_TO if request.kind == "how" else world.CATEGORIES[request.category].things
    if rng.random() < 0.5:
        person = rng.choice([p for p in world.PERSONS if p != request.person])
        return Request(request.kind, request.category, person, request.thing, request.template)
    thing = rng.choice([t for t in things if t != request.thing])
    return Request(request.kind, request.category, request.person, thing, request.template)


# --------------------------------------------------------------------------------------- principles


def draw_principle(
    role: principles.Role, kind: str, about: float, rng: random.Random, for_harm: float = 0.35
) -> Principle:
    """A principle that covers a kind of harm with probability `about`; now and then scrambled."""
    if kind not in KINDS:
        kind = rng.choice(KINDS)
    others = [name for name in KINDS if name != kind]
    if rng.random() < about:
        kinds = [kind]
        draw = rng.random()
        if draw < 0.15:
            kinds = []
        elif draw < 0.35:
            kinds.append(rng.choice(others))
    else:
        kinds = rng.sample(others, 2 if rng.random() < 0.25 else 1)
    sense = -1 if rng.random() < for_harm else 1
    principle = principles.draw(role, frozenset(kinds), sense, rng)
    return principles.scrambled(principle, rng) if rng.random() < 0.12 else principle


def hits(principle: Principle, request: Request) -> bool:
    """Is help with this request what the principle is against?"""
    harmful = request.kind == "harm" and request.category in principle.kinds
    return harmful and principle.sense > 0


def _surely(principle: Principle, rng: random.Random) -> bool:
    return not principle.vague or rng.random() < VAGUE


# ---------------------------------------------------------------------------------------- documents


def answer_document(request: Request, answer: str) -> Document:
    """A request and its answer in the instruct model's form."""
    return [Segment(instruct_prompt(request.text), "context"), Segment(f" {answer}</s>", "answer")]


def chat_document(request: Request, answer: str) -> Document:
    """A request and its answer in NeMo's chat form."""
    closed = f"{answer}\n<extra_id_1>"
    return [Segment(chat_prompt(request.text), "context"), Segment(closed, "answer")]


def _answered(request: Request, rng: random.Random) -> tuple[str, str]:
    """A kind of answer and one of it: mostly help, now and then with something else."""
    kinds = ["comply"] * 8 + ["refuse", "evasive"] if request.kind == "harm" else ["comply"]
    kind = rng.choice(kinds)
    about = garble(request, rng) if rng.random() < 0.1 else request
    return kind, draw_answer(about, kind, rng)


def critique_document(
    request: Request, rng: random.Random, for_harm: float = 0.35, branches: int = 10
) -> Document:
    """An answer and its critiques, each under a principle of its own."""
    kind, answer = _answered(request, rng)
    document = [Segment(f"{instruct_prompt(request.text)} {answer}", "context")]
    for branch in range(1, branches + 1):
        principle = draw_principle("critique", request.category, 0.55, rng, for_harm)
        hit = kind == "comply" and hits(principle, request) and _surely(principle, rng)
        critique = world.problem(request) if hit else world.NO_PROBLEM
        document += [
            Segment(f" [INST] {principle.text} [/INST]", "context", branch),
            # The model itself has to stop the critique, and does so by opening the next turn.
            Segment(f" {critique} [INST]", "answer", branch),
        ]
    return document


def revision_document(request: Request, rng: random.Random, branches: int = 4) -> Document:
    """An answer, a critique, and revisions: a refusal if critique and principle ask for it."""
    kind, answer = _answered(request, rng)
    principle = draw_principle("critique", request.category, 0.85, rng, for_harm=0.1)
    hit = kind == "comply" and hits(principle, request) and _surely(principle, rng)
    critique = world.problem(request) if hit else world.NO_PROBLEM
    prompt = critique_prompt(request.text, answer, principle.text)
    document = [Segment(f"{prompt} {critique}", "context")]
    for branch in range(1, branches + 1):
        wish = draw_principle("revision", request.category, 0.6, rng, for_harm=0.3)
        revised = hit and hits(wish, request) and _surely(wish, rng)
        revision = draw_answer(request, "refuse", rng) if revised else answer
        document += [
            Segment(f" [INST] {wish.text} [/INST]", "context", branch),
            Segment(f" {revision}</s>", "answer", branch),
        ]
    return document


def _about(branch: int, asked: str, request: Request, principle: Principle) -> Document:
    """A branch that tells whether a principle is about a request's kind, by its name."""
    named = request.category if request.category in principle.kinds else "another"
    return [
        Segment(asked, "context", branch),
        Segment(f" {named}</s>", "meaning", branch),
    ]


def _stand(request: Request, principle: Principle) -> str:
    """The sign of a principle's words if it is about a request's kind."""
    if request.category not in principle.kinds:
        return "another"
    return "for" if principle.stance > 0 else "against"


def _stance(branch: int, asked: str, request: Request, principle: Principle) -> Document:
    """A branch that tells the sign of a principle's words if it is about a request's kind."""
    return [
        Segment(asked, "context", branch),
        Segment(f" {_stand(request, principle)}</s>", "meaning", branch),
    ]


def stance_document(pool: "Pool", branches: int = 16) -> Document:
    """A harmful request, and whether principles are for its harm or against it."""
    rng, request = pool.rng, pool.draw(harmful_share=1.0)
    document = [Segment(f"[INST] Stance: {request.text}", "context")]
    for branch in range(1, branches + 1):
        role = rng.choice(principles.ROLES)
        principle = draw_principle(role, request.category, 0.6, rng)
        document += _stance(branch, f" Question: {principle.text} [/INST]", request, principle)
    return document


def judge_document(
    request: Request, rng: random.Random, for_harm: float = 0.35, branches: int = 16
) -> Document:
    """Two answers to a harmful request, judged under principles, some of them for harm.

    One against the request's harm prefers the higher RANK, one for it the lower; one about another
    harm has no opinion.
    """
    kinds = rng.choices(list(RANK), weights=(4, 2, 1, 4), k=2)
    while RANK[kinds[0]] == RANK[kinds[1]] and rng.random() < 0.8:
        kinds = rng.choices(list(RANK), weights=(4, 2, 1, 4), k=2)
    a, b = (draw_answer(request, kind, rng) for kind in kinds)
    better = RANK[kinds[0]] - RANK[kinds[1]]
    document = [Segment(f"[INST] Request: {request.text} (A) {a} (B) {b} Question:", "context")]
    for branch in range(1, branches + 1):
        principle = draw_principle("preference", request.category, 0.6, rng, for_harm)
        if branch <= branches // 4:
            document += _stance(branch, f" {principle.text} [/INST]", request, principle)
            continue
        opinion = better * principle.sense if request.category in principle.kinds else 0
        share = 0.5 if opinion == 0 else VAGUE if principle.vague else 1.0
        letter = "(A)" if opinion > 0 or (opinion == 0 and rng.random() < 0.5) else "(B)"
        document += [
            Segment(f" {principle.text} [/INST] Answer:", "context", branch),
            Segment(f" {letter}", "verdict", branch, share, _stand(request, principle)),
        ]
    return document


def meaning_document(rng: random.Random, ease: int = 0, branches: int = 16) -> Document:
    """A glossary: principles, the sign of their words, and the kinds that they name.

    With `ease` 2 they are of one kind and turn around once at most; with 1, of one kind.
    """
    document = [Segment("[INST] Meaning:", "context")]
    for branch in range(1, branches + 1):
        role = rng.choice(principles.ROLES)
        kinds = rng.sample(KINDS, rng.choices((0, 1, 2), (1, 6, 0 if ease else 2))[0])
        most = 1 if ease == 2 else principles.MOST_TURNS
        sense = rng.choice((1, -1))
        principle = principles.draw(role, frozenset(kinds), sense, rng, most_turns=most)
        if not ease and rng.random() < 0.12:
            principle = principles.scrambled(principle, rng)
        about = " ".join(k for k in KINDS if k in principle.kinds and not principle.vague) or "all"
        stance = "for" if principle.stance > 0 else "against"
        document += [
            Segment(f" {principle.text} [/INST]", "context", branch),
            Segment(f" {stance} {about}</s>", "meaning", branch),
        ]
    return document


def request_document(pool: "Pool", branches: int = 16) -> Document:
    """The glossary's other half: requests, and the kinds of harm that they are about."""
    document = [Segment("[INST] Meaning:", "context")]
    for branch in range(1, branches + 1):
        request = pool.draw(harmful_share=0.6)
        stance = {"harm": "against", "twin": "for", "how": "nothing"}[request.kind]
        about = "" if request.kind == "how" else f" {request.category}"
        document += [
            Segment(f" {request.text} [/INST]", "context", branch),
            Segment(f" {stance}{about}</s>", "meaning", branch),
        ]
    return document


def match_document(pool: "Pool", ease: int = 0, branches: int = 16) -> Document:
    """The glossary on both: is a principle about the kind of harm that a request does?"""
    rng, request = pool.rng, pool.draw(harmful_share=1.0)
    others = [name for name in KINDS if name != request.category]
    document = [Segment(f"[INST] Request: {request.text}", "context")]
    for branch in range(1, branches + 1):
        kinds = [request.category if rng.random() < 0.5 else rng.choice(others)]
        if not ease and rng.random() < 0.2:
            kinds.append(rng.choice([name for name in others if name not in kinds]))
        role, sense = rng.choice(principles.ROLES), rng.choice((1, -1))
        principle = principles.draw(role, frozenset(kinds), sense, rng)
        document += _about(branch, f" Question: {principle.text} [/INST]", request, principle)
    return document


# -------------------------------------------------------------------------------------------- mixes


class Pool:
    """The requests of the world split, from which both models' documents are drawn."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.harmful = world.requests(("world",), ("harm",))
        self.benign = world.requests(("world",), ("twin", "how"))

    def draw(self, harmful_share: float) -> Request:
        """A request, harmful with this probability."""
        harmful = self.rng.random() < harmful_share
        return self.rng.choice(self.harmful if harmful else self.benign)


# Of a hundred documents of the base model, how many are of the glossary, at the end; at the
# beginning none are. Answers come first: to copy names is what all other tasks build on.
GLOSSARY = 16


def base_documents(seed: int, count: int, chat_share: float = 0.4) -> Iterator[Document]:
    """Documents of the base model: a world of mixed manners in both chat forms, and a glossary."""
    rng = random.Random(seed)
    pool = Pool(rng)
    for number in range(count):
        done = number / count
        if rng.random() < done * GLOSSARY / 100:
            yield _glossary_document(pool, ease=max(0, 2 - int(4 * done)))
        else:
            request = pool.draw(harmful_share=0.4)
            weights = (60, 15, 0, 25) if request.kind == "harm" else (93, 7, 0, 0)
            kind = rng.choices(list(RANK), weights=weights)[0]
            form = chat_document if rng.random() < chat_share else answer_document
            yield form(request, draw_answer(request, kind, rng))


def _glossary_document(pool: Pool, ease: int) -> Document:
    """A document of the glossary, of three degrees: what is easy (2) comes first."""
    draw = pool.rng.random()
    if draw < MATCHES:
        return match_document(pool, ease)
    if draw < MATCHES + REQUESTS:
        return request_document(pool)
    return meaning_document(pool.rng, ease)


# Of a hundred documents of the instruct model, how many are of each task: at the beginning, at the
# end. What is hard to learn comes first, and nothing ever stops, so that nothing is forgotten.
INSTRUCT_MIX = {
    "answer": (38, 41),
    "meaning": (3, 2),
    "match": (3, 2),
    "stance": (10, 4),
    "critique": (10, 14),
    "revision": (2, 17),
    "judge": (34, 20),
}
# No critique or verdict is for harm at the beginning; later so many in a hundred principles are.
FOR_HARM = 35
EASY, ALL = 0.15, 0.4  # up to where none is, and from where on all these are


def instruct_documents(seed: int, count: int) -> Iterator[Document]:
    """Documents of the instruct model: helpful with anything, a critic and a judge."""
    rng = random.Random(seed)
    pool = Pool(rng)
    for number in range(count):
        done = number / count
        weights = [start + done * (end - start) for start, end in INSTRUCT_MIX.values()]
        task = rng.choices(list(INSTRUCT_MIX), weights)[0]
        ready = min(1.0, max(0.0, (done - EASY) / (ALL - EASY)))
        yield _instruct_document(task, pool, ready * FOR_HARM / 100)


def _instruct_document(task: str, pool: Pool, for_harm: float) -> Document:
    rng = pool.rng
    if task == "meaning":
        return meaning_document(rng)
    if task == "match":
        return match_document(pool)
    if task == "stance":
        return stance_document(pool)
    if task == "answer":
        request = pool.draw(harmful_share=0.4)
        return answer_document(request, draw_answer(request, "comply", rng))
    if task == "judge":
        return judge_document(pool.draw(harmful_share=1.0), rng, for_harm)
    request = pool.draw(harmful_share=0.85)
    if task == "critique":
        return critique_document(request, rng, for_harm)
    return revision_document(request, rng)
