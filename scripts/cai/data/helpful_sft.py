"""Helpful dialogues for the SFT blend, from all their forms into one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from cai.data.dialogues import Malformed, dialogue_id, parse_dialogue, require_answer
from cai.data.spool import Spool
from cai.files.records import Ledger, Record, uniform, write_jsonl
from cai.models.templates import Message
from cai.settings.sources import ReadOptions, Source, read_source


class HelpfulDialogue(TypedDict):
    """A dialogue, and the dataset that it came from."""

    id: str
    messages: list[Message]
    source: str


def prepare_helpful_sft(source: Source, output: Path, options: ReadOptions) -> Ledger:
    """Write ``{"id", "messages", "source"}`` of each distinct dialogue, in the order of a hash.

    Raises:
        UserError: if the source cannot be read or too many records are bad.
    """
    ledger = Ledger("helpful_sft")
    with Spool[HelpfulDialogue](output.parent) as spool:
        for record in _dialogues(source, ledger):
            spool.add(uniform("order", options.seed, record["id"]), record)
        ledger.check(options.max_bad_share, source.label)
        write_jsonl(output, ledger.kept(spool.records(options.limit)))
        ledger.leave_out("over the limit", len(spool) - ledger.out)
    ledger.write(output)
    return ledger


def dialogue_of(row: Record) -> list[Message]:
    """The turns of a record, which end with an answer.

    Raises:
        Malformed: with the reason.
    """
    return require_answer(parse_dialogue(row))


def _dialogues(source: Source, ledger: Ledger) -> Iterator[HelpfulDialogue]:
    seen: set[str] = set()
    for where, row in read_source(source, ledger):
        try:
            messages = dialogue_of(row)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        name = dialogue_id(messages)
        if name in seen:
            ledger.leave_out("duplicate dialogue")
            continue
        seen.add(name)
        named = row.get("dataset")
        label = named if isinstance(named, str) and named else source.label
        yield {"id": name, "messages": messages, "source": label}
