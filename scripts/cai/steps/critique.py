"""Critique and revision: a model criticises its own responses by principles and rewrites them.

Source: Bai et al. 2022 (arXiv 2212.08073), section 3. A round is one conversation: few-shot
dialogues, the prompt, the current response, a critique request, the critique, a revision request.
The next round starts again from the prompt, with the revision as the response.
"""

from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict, TypeGuard

from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.client import Completion, Failed
from cai.files.records import Ledger, Prompt
from cai.models.sampling import Sampling
from cai.models.templates import Message
from cai.settings.constitution import draw_principle


class ToRevise(Prompt):
    """A response that is to be revised."""

    response: str


class Round(TypedDict):
    """A round: its principle, the critique (None: revised without one), and what came of it."""

    round: int
    principle: str
    critique: str | None
    revision: NotRequired[str]


class Chain(ToRevise):
    """A response and its rounds so far."""

    rounds: list[Round]


class Revision(Chain):
    """A response and all of its rounds; ``revision`` is the last one."""

    revision: str


Principles = dict[str, dict[str, str]]


class Revising(NamedTuple):
    """How responses are revised.

    Attributes:
        principles: texts (``critique``, ``revision``) by id.
        few_shot: dialogues that precede every conversation.
        rounds: critiques and revisions of each response.
        direct: revise without a critique (the paper's Fig. 7).
        keep_unfinished: keep revisions that were cut at the longest answer.
    """

    principles: Principles
    few_shot: Sequence[Sequence[Message]]
    rounds: int
    critique: Sampling
    revision: Sampling
    seed: int
    direct: bool = False
    keep_unfinished: bool = False


def revise(
    model: ChatModel, records: Sequence[ToRevise], how: Revising, ledger: Ledger
) -> list[Revision]:
    """Revise responses round by round; all records go through a round together.

    A record is dropped in the round in which a critique or a revision fails, is empty, or (for a
    revision) is unfinished: half a revision is a bad target for training. An unfinished critique
    still says what is wrong; it is used, and counted in the ledger's notes.
    """
    ledger.count_in(len(records))
    ledger.notes["unfinished critiques"] = 0
    rows: list[Chain] = [
        {"id": r["id"], "prompt": r["prompt"], "response": r["response"], "rounds": []}
        for r in records
    ]
    for number in range(1, how.rounds + 1):
        for row in rows:
            name = draw_principle(how.seed, row["id"], number, list(how.principles))
            row["rounds"].append({"round": number, "principle": name, "critique": None})
        if not how.direct:
            rows = _criticised(model, rows, how, ledger)
        rows = _revised(model, rows, how, ledger)
    return [{**row, "revision": row["rounds"][-1]["revision"]} for row in rows]


def _criticised(model: ChatModel, rows: list[Chain], how: Revising, ledger: Ledger) -> list[Chain]:
    """One batch of critiques; returns the records that got one."""
    kept = []
    for row, reply in _ask(model, rows, how, "critique"):
        if _usable(reply, row, "critique", ledger, keep_unfinished=True):
            ledger.notes["unfinished critiques"] += reply.finish == "length"
            row["rounds"][-1]["critique"] = reply.text
            kept.append(row)
    return kept


def _revised(model: ChatModel, rows: list[Chain], how: Revising, ledger: Ledger) -> list[Chain]:
    """One batch of revisions; returns the records that got one."""
    kept = []
    for row, reply in _ask(model, rows, how, "revision"):
        if _usable(reply, row, "revision", ledger, how.keep_unfinished):
            row["rounds"][-1]["revision"] = reply.text
            kept.append(row)
    return kept


def _ask(
    model: ChatModel, rows: list[Chain], how: Revising, what: str
) -> list[tuple[Chain, Completion | Failed]]:
    conversations = [conversation(row, what, how) for row in rows]
    number = rows[0]["rounds"][-1]["round"] if rows else 0
    sampling = how.critique if what == "critique" else how.revision
    seed = derived_seed(how.seed, what, number)
    replies = model.replies(conversations, sampling, seed, f"{what} {number} of {how.rounds}")
    return list(zip(rows, replies, strict=True))


def conversation(row: Chain, what: str, how: Revising) -> list[Message]:
    """What the model is asked in the record's last round: for its critique, or its revision."""
    *earlier, current = row["rounds"]
    response = earlier[-1]["revision"] if earlier else row["response"]
    texts = how.principles[current["principle"]]
    turns = [row["prompt"], response]
    if not how.direct:
        turns.append(texts["critique"])
    if what == "revision":
        critique = current["critique"]
        asked = [] if how.direct or critique is None else [critique]
        turns += [*asked, texts["revision"]]
    shown = [message for dialogue in how.few_shot for message in dialogue]
    return [*shown, *map(_turn, range(len(turns)), turns)]


def _turn(place: int, text: str) -> Message:
    """A turn of a dialogue that the user begins."""
    return {"role": "assistant" if place % 2 else "user", "content": text}


def _usable(
    reply: Completion | Failed, row: Chain, what: str, ledger: Ledger, keep_unfinished: bool
) -> TypeGuard[Completion]:
    """Whether a reply can be used; if not, the record goes to the ledger with the reason."""
    if isinstance(reply, Failed):
        ledger.drop(f"{what}: {reply.reason}", record=row)
    elif not reply.text:
        ledger.drop(f"empty {what}", record=row)
    elif reply.finish == "length" and not keep_unfinished:
        ledger.drop(f"unfinished {what}", record={**row, "answer": reply.text})
    else:
        return True
    return False
