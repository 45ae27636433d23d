"""Critique and revision: a model criticises its own responses by principles and rewrites them.

Source: Bai et al. 2022 (arXiv 2212.08073), section 3. A round is one conversation: few-shot
dialogues, the prompt, the current response, a critique request, the critique, a revision request.
The next round starts again from the prompt, with the revision as the response.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, NotRequired, TypedDict

from cai.asking.chat_model import ChatModel, Turn, derived_seed
from cai.asking.client import Completion, Failed
from cai.asking.record_chains import Dropped, kept, reply, run
from cai.files.lazily import Rows
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
    model: ChatModel, records: Rows[ToRevise], how: Revising, ledger: Ledger
) -> Iterator[Revision]:
    """Revise responses, round by round.

    A record is dropped in the round in which a critique or a revision fails, is empty, or (for a
    revision) is unfinished: half a revision is a bad target for training. An unfinished critique
    still says what is wrong; it is used, and counted in the ledger's notes.
    """
    ledger.notes["unfinished critiques"] = 0
    outcomes = run(model, lambda record: _revised(record, how, ledger), records, "revisions")
    yield from kept(outcomes, ledger)


async def _revised(record: ToRevise, how: Revising, ledger: Ledger) -> Revision | Dropped:
    """The rounds of one response."""
    ledger.count_in()
    row: Chain = {
        "id": record["id"],
        "prompt": record["prompt"],
        "response": record["response"],
        "rounds": [],
    }
    revision = row["response"]
    for number in range(1, how.rounds + 1):
        principle = draw_principle(how.seed, row["id"], number, list(how.principles))
        turn: Round = {"round": number, "principle": principle, "critique": None}
        row["rounds"].append(turn)
        if not how.direct:
            critique = _usable(await reply(_ask(row, "critique", how)), row, "critique", True)
            if isinstance(critique, Dropped):
                return critique
            ledger.notes["unfinished critiques"] += critique.finish == "length"
            turn["critique"] = critique.text
        answer = await reply(_ask(row, "revision", how))
        revised = _usable(answer, row, "revision", how.keep_unfinished)
        if isinstance(revised, Dropped):
            return revised
        revision = turn["revision"] = revised.text
    return {**row, "revision": revision}


def _ask(row: Chain, what: str, how: Revising) -> Turn:
    number = row["rounds"][-1]["round"]
    return Turn(
        conversation(row, what, how),
        how.critique if what == "critique" else how.revision,
        derived_seed(how.seed, what, number),
        f"{what} {number} of {how.rounds}",
    )


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
    answer: Completion | Failed, row: Chain, what: str, keep_unfinished: bool
) -> Completion | Dropped:
    """A reply that can be used, or why the record is dropped."""
    stage = 2 * row["rounds"][-1]["round"] + (what == "revision")
    if isinstance(answer, Failed):
        return Dropped(stage, f"{what}: {answer.reason}", row)
    if not answer.text:
        return Dropped(stage, f"empty {what}", row)
    if answer.finish == "length" and not keep_unfinished:
        return Dropped(stage, f"unfinished {what}", {**row, "answer": answer.text})
    return answer
