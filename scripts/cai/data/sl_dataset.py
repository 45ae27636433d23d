"""The SFT set of the supervised stage: revised answers blended with helpful dialogues."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field

from cai.core.errors import fail_if
from cai.core.fields import Section
from cai.data.dialogues import Malformed, opening, parse_turns, refuse_marks, require_answer
from cai.data.spool import Blend, Spool
from cai.files.records import Ledger, Record, read_jsonl_tolerant, record_id, uniform, write_jsonl
from cai.models.templates import Message, Template
from cai.models.tokens import LengthLimit


class SlOptions(Section):
    """What goes into the SFT set."""

    seed: int = Field(1234, description="Seed of the order and of the split.")
    train_on: Literal["final", "all"] = Field("final", description="The last revision, or all.")
    helpful_ratio: float = Field(1.0, ge=0, description="Most helpful dialogues for each revision.")
    validation_size: int = Field(256, ge=1, description="Dialogues to hold out, at least.")
    min_train: int = Field(1, ge=1, description="Fewest dialogues to train on: the global batch.")
    max_bad_share: float = Field(0.05, ge=0, le=1, description="Share that may be unusable.")


class Dialogue(TypedDict):
    """A dialogue to train on, and whether it is a revision or a helpful one."""

    id: str
    messages: list[Message]
    dataset: str


ChatTurn = TypedDict("ChatTurn", {"from": str, "value": str, "label": None})


class ChatRecord(TypedDict):
    """A line of NeMo's SFT chat format."""

    id: str
    dataset: str
    system: str
    mask: str
    conversations: list[ChatTurn]


def build_sl_dataset(
    revisions: Sequence[Path],
    helpful: Path,
    train: Path,
    validation: Path,
    *,
    template: Template,
    length: LengthLimit,
    options: SlOptions,
    excluded: Container[str] = (),
) -> Ledger:
    """Write train and validation dialogues in NeMo's chat format, with ``id`` and ``dataset``.

    Dialogues that begin with a prompt of the ``excluded`` ids are left out: the evaluation asks
    these, and a helpful dataset from elsewhere may hold them.

    What NeMo renders of a line is what ``template.closed`` gives, and that must fit the length:
    NeMo would cut off the end of the answer. Source: GPTSFTChatDataset of NeMo 2.1.0.

    Raises:
        UserError: if too many records are bad, or none is left to train on.
    """
    ledger = Ledger("sl_cai")
    with Blend[Dialogue](train.parent, options.helpful_ratio) as blend:
        halves = (
            (_revised(revisions, ledger, options.train_on), blend.harmless, "revisions"),
            (_helpful(helpful, ledger), blend.helpful, "helpful dialogues"),
        )
        for rows, spool, what in halves:
            _collect(rows, spool, ledger, template, length, options.seed, excluded)
            ledger.check(options.max_bad_share, what)
        ledger.leave_out("helpful beyond the ratio", blend.helpful_left)
        held = _held_out(blend, options)
        kept = set(blend.groups) - held
        for name, path, groups in (("train", train, kept), ("validation", validation, held)):
            dialogues = map(_chat_record, ledger.kept(blend.records(groups)))
            ledger.notes[name] = write_jsonl(path, dialogues)
        ledger.notes |= {"revisions": len(blend.harmless), "helpful": blend.helpful_taken}
    ledger.write(train)
    return ledger


Rows = Iterable[tuple[str, str, Any, str]]  # place, id, turns, dataset


def _revised(paths: Sequence[Path], ledger: Ledger, train_on: str) -> Rows:
    for path in paths:
        for where, row in read_jsonl_tolerant(path, ledger):
            answers = _answers(row) if train_on == "all" else [row.get("revision")]
            ledger.count_in(len(answers) - 1)
            for number, answer in enumerate(answers, 1):
                name = f"{row.get('id')}.{number}" if train_on == "all" else str(row.get("id"))
                turns = [("user", row.get("prompt")), ("assistant", answer)]
                yield where, name, [{"role": r, "content": c} for r, c in turns], "revisions"


def _answers(row: Record) -> list[Any]:
    """The revisions of all rounds; the last one alone where no rounds are given."""
    rounds = row.get("rounds")
    texts = [turn.get("revision") for turn in rounds or [] if isinstance(turn, dict)]
    return texts or [row.get("revision")]


def _helpful(path: Path, ledger: Ledger) -> Rows:
    for where, row in read_jsonl_tolerant(path, ledger):
        yield where, str(row.get("id")), row.get("messages"), "helpful"


def _collect(
    rows: Rows,
    spool: Spool[Dialogue],
    ledger: Ledger,
    template: Template,
    length: LengthLimit,
    seed: int,
    excluded: Container[str],
) -> None:
    """Put the usable dialogues into the spool and the others into the ledger."""
    seen: set[str] = set()
    for where, name, turns, dataset in rows:
        try:
            messages = _usable(turns, template)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=name)
            continue
        group = record_id(opening(messages))
        if name in seen:
            ledger.leave_out("duplicate")
        elif group in excluded:
            ledger.leave_out("held-out prompt")
        elif not length.fits(template.closed(messages)):
            ledger.drop("dialogue too long", where=where, record=name, bad=False)
        else:
            seen.add(name)
            row: Dialogue = {"id": name, "messages": messages, "dataset": dataset}
            spool.add(uniform("order", seed, dataset, name), row, group)


def _usable(turns: Any, template: Template) -> list[Message]:
    messages = require_answer(parse_turns(turns))
    refuse_marks(messages, [template])
    return messages


def _held_out(blend: Blend[Dialogue], options: SlOptions) -> set[str]:
    """The prompts of the validation set: in the order of a hash, until they have enough dialogues.

    Records added later never move one from train to validation.

    Raises:
        UserError: if less than a batch would be left to train on.
    """
    sizes = Counter(blend.groups)
    held: set[str] = set()
    dialogues = 0
    for group in sorted(sizes, key=lambda group: uniform("validation", options.seed, group)):
        if dialogues >= options.validation_size:
            break
        held.add(group)
        dialogues += sizes[group]
    left = len(blend) - dialogues
    fail_if(
        left < options.min_train,
        f"supervised.validation_size: {options.validation_size} of {len(blend)} dialogues are held "
        f"out for validation, which leaves {left} to train on; one batch needs {options.min_train} "
        "(model.data.train_ds.global_batch_size); give a smaller size or more records",
    )
    return held


def _chat_record(row: Dialogue) -> ChatRecord:
    """A dialogue as a line of NeMo's SFT chat format."""
    messages = row["messages"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    turns: Iterator[Message] = (turn for turn in messages if turn["role"] != "system")
    return {
        "id": row["id"],
        "dataset": row["dataset"],
        "system": system,
        "mask": "User",
        "conversations": [
            {"from": turn["role"].capitalize(), "value": turn["content"], "label": None}
            for turn in turns
        ],
    }
