"""Public evaluation sets in the forms in which they are published, read into records of ours.

- comparisons: BIG-bench's ``hhh_alignment`` (``input``, ``target_scores``), the HHH evaluations of
  Bai et al. 2022 (``text_correct``, ``text_incorrect``), hh-rlhf (``chosen``, ``rejected``) and
  RewardBench (``prompt``, ``chosen``, ``rejected``, ``subset``);
- questions with choices: the harm identification of Bai et al. 2022 (``prompt``, ``corrects``,
  ``incorrects``);
- prompts, safe and unsafe ones: :mod:`cai.evaluation.prompt_sets`.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from cai.core.texts import trimmed
from cai.data.dialogues import (
    Malformed,
    dialogue_id,
    opening,
    parse_side,
    parse_transcript,
    require_answer,
)
from cai.evaluation import prompt_sets
from cai.evaluation.prompt_sets import SafetyPrompt, text_of
from cai.evaluation.prompts import first_of
from cai.files.records import Ledger, Prompt, Record, record_id, write_jsonl
from cai.models.templates import Message, single_turn
from cai.settings.sources import Source, read_source
from cai.steps.candidates import Candidates

LAST_LINE = re.compile(r"\n([^\n]*:)\s*$")  # such as "The answer is:"
SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}


class KnownComparison(Prompt):
    """Two answers, the better of which is known; ``prompt`` shows the messages to a judge."""

    set: str
    messages: list[Message]
    chosen: str
    rejected: str


class Question(TypedDict):
    """A question with choices; ``correct`` is the place of the right one."""

    id: str
    set: str
    messages: list[Message]
    prefix: str
    choices: list[str]
    correct: int


def prepare_set(
    kind: str,
    source: Source,
    output: Path,
    *,
    seed: int,
    limit: int | None = None,
    max_bad_share: float = 0.05,
    trained_on: Container[str] = (),
) -> Ledger:
    """Write the records of a set, each once, in the order of a hash.

    What begins with a prompt of the ids ``trained_on`` is left out: a model that has seen it in
    training is not measured by it.

    Args:
        kind: a key of :data:`KINDS`.
        limit: most records; a smaller limit gives a subset of a larger one's.

    Raises:
        UserError: the source cannot be read, or too many of its records are bad.
    """
    ledger = Ledger("evaluation_set")
    rows: dict[str, Mapping[str, Any]] = {}
    for where, row in read_source(source, ledger):
        if source.split_field and row.get(source.split_field) != "test":
            ledger.leave_out("not held out")
            continue
        try:
            record = KINDS[kind](row, where)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        if _opening_id(record) in trained_on:
            ledger.leave_out("in a training set")
        elif rows.setdefault(record["id"], record) is not record:
            ledger.leave_out("duplicate")
    ledger.check(max_bad_share, source.label)
    write_jsonl(output, ledger.kept(first_of(list(rows.values()), seed, limit, ledger)))
    ledger.write(output)
    return ledger


def _opening_id(record: Mapping[str, Any]) -> str:
    messages = record.get("messages")
    return record_id(opening(messages) if messages else record["prompt"])


def comparison(row: Record, where: str) -> KnownComparison:
    """``{"id", "set", "messages", "prompt", "chosen", "rejected"}`` of a comparison.

    ``set`` is its part, known from BIG-bench's folders (helpful, honest, harmless, other) or
    RewardBench's ``subset``, else "all"; ``prompt`` shows the dialogue to a judge, and is the
    request itself if that is all.

    Raises:
        Malformed: with the reason.
    """
    if row.get("target_scores") is not None:
        messages, chosen, rejected = _scored(row)
        part = Path(where.rpartition(":")[0]).parent.name
    elif row.get("subset") is not None:
        messages, part = single_turn(text_of(row.get("prompt"))), text_of(row["subset"])
        chosen, rejected = (text_of(row.get(side)) for side in ("chosen", "rejected"))
    else:
        sides = ("text_correct", "text_incorrect") if row.get("text_correct") is not None else None
        messages, chosen, rejected = _sides(row, sides or ("chosen", "rejected"))
        part = "all"
    if chosen == rejected:
        raise Malformed("the answers are alike")
    name = record_id("\n".join([dialogue_id(messages), chosen, rejected]))
    return {
        "id": name,
        "set": part,
        "messages": messages,
        "prompt": _shown(messages),
        "chosen": chosen,
        "rejected": rejected,
    }


def _scored(row: Record) -> tuple[list[Message], str, str]:
    """A query with two answers, of which one scores more."""
    query, scores = row.get("input"), row["target_scores"]
    if not isinstance(query, str) or not trimmed(query):
        raise Malformed("no input")
    # a union of such tables has the answers of all rows, null but in one
    known = {k: v for k, v in scores.items() if v is not None} if isinstance(scores, dict) else {}
    numbers = all(isinstance(v, int | float) for v in known.values())
    if len(known) != 2 or not numbers or len({*known.values()}) != 2:
        raise Malformed("target_scores: expected two answers, one of which scores more")
    better, worse = sorted(known, key=lambda answer: -known[answer])
    return single_turn(trimmed(query)), text_of(better), text_of(worse)


def _sides(row: Record, fields: tuple[str, str]) -> tuple[list[Message], str, str]:
    """Two dialogues that differ in the last answer alone."""
    missing = [field for field in fields if row.get(field) is None]
    if missing:
        raise Malformed(f"no {missing[0]}")
    chosen, rejected = (require_answer(parse_side(row[field])) for field in fields)
    if chosen[:-1] != rejected[:-1]:
        raise Malformed("the sides differ before the last answer")
    return chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]


def _shown(messages: list[Message]) -> str:
    if [message["role"] for message in messages] == ["user"]:
        return messages[0]["content"]
    turns = (f"{SPEAKERS[message['role']]}: {message['content']}" for message in messages)
    return "\n\n".join(turns)


def question(row: Record, where: str) -> Question:
    """``{"id", "set", "messages", "prefix", "choices", "correct"}`` of a question with choices.

    ``choices`` are texts that may go on after ``prefix``, in the order of their texts; ``correct``
    is the place of the right one, ``set`` its text. A prompt that begins with a human turn is a
    dialogue in hh-rlhf's form. Any other is one user's turn, and its last line, if it ends with a
    colon ("The answer is:"), begins the model's.

    Raises:
        Malformed: with the reason.
    """
    prompt, right, wrong = (row.get(field) for field in ("prompt", "corrects", "incorrects"))
    if not isinstance(prompt, str) or not trimmed(prompt):
        raise Malformed("empty prompt")
    if not isinstance(right, list) or not isinstance(wrong, list) or len(right) != 1 or not wrong:
        raise Malformed("expected one text in corrects, and some in incorrects")
    choices = sorted(text_of(text) for text in (*right, *wrong))
    if len(set(choices)) != len(choices):
        raise Malformed("choices that are alike")
    prompt = prompt.replace("\r\n", "\n").replace("\r", "\n")
    if prompt.lstrip().startswith("Human:"):
        messages, prefix = parse_transcript(prompt), ""
    else:
        line = LAST_LINE.search(prompt)
        messages = single_turn(prompt[: line.start()].strip() if line else prompt.strip())
        prefix = f"{line[1].strip()} " if line else ""
    return {
        "id": record_id("\n".join([prompt, *choices])),
        "set": text_of(right[0]),
        "messages": messages,
        "prefix": prefix,
        "choices": choices,
        "correct": choices.index(text_of(right[0])),
    }


Parse = Callable[[Record, str], KnownComparison | Question | SafetyPrompt]
KINDS: dict[str, Parse] = {
    "comparisons": comparison,
    "questions": question,
    **prompt_sets.KINDS,
}


def messages_with(row: KnownComparison, answer: str) -> list[Message]:
    """The dialogue of a comparison, ended by an answer."""
    return [*row["messages"], {"role": "assistant", "content": answer}]


def candidates(rows: Iterable[KnownComparison]) -> list[Candidates]:
    """Comparisons as a judge takes them."""
    return [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "candidates": [{"text": row["chosen"]}, {"text": row["rejected"]}],
        }
        for row in rows
    ]
