"""One record of a dataset, traced back to its prompt through each intermediate text."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.data.dialogues import Malformed, dialogue_id, first_prompt
from cai.data.helpful_preferences import pair_of
from cai.data.helpful_sft import dialogue_of
from cai.files.records import Ledger, Record, read_jsonl, record_id
from cai.lineage.trace import Lineage, Node
from cai.models.templates import Template
from cai.settings.sources import Source, read_source

Shown = list[tuple[str, Any]]  # what of a record is shown: a name and a text each


def follow(lineage: Lineage, name: str) -> list[dict[str, Any]]:
    """The record with an id, and those that it was made of, back to the line of its source.

    Returns:
        Of each: ``step``, ``where`` (file:line), ``record``, and ``shown``, pairs of names and
        texts with the texts of its principles among them.

    Raises:
        UserError: if the dataset has no such record.
    """
    own = lineage.nodes[lineage.path]
    fail_if(own.facts and Path(own.path).suffix != ".jsonl", f"{own.path}: not a dataset")
    steps = [_step(own, where, row) for where, row in _rows(own, name)]
    fail_if(not steps, f"{own.path}: no record with the id {name}")
    prompt = name.partition(".")[0]  # of several revisions of a response, each has a number
    for node in _datasets(lineage):
        found = list(_rows(node, prompt))
        steps += [_step(node, where, row) for where, row in found]
        if found and node.facts.get("sources"):
            steps += _origins(node, prompt)
    return steps


def _datasets(lineage: Lineage) -> Iterator[Node]:
    """The datasets that the artefact was made of, the nearest first; models lead elsewhere."""
    queue, seen = [lineage.nodes[lineage.path]], {lineage.path}
    while queue:
        node = queue.pop(0)
        for path in node.inputs:
            if path not in seen and lineage.nodes[path].manifest and path.endswith(".jsonl"):
                seen.add(path)
                queue.append(lineage.nodes[path])
                yield lineage.nodes[path]


def _rows(node: Node, name: str) -> Iterator[tuple[str, Record]]:
    if node.file.is_file():
        for number, row in enumerate(read_jsonl(node.file), 1):
            if row.get("id") == name:
                yield f"{node.path}:{number}", row


def _origins(node: Node, name: str) -> Iterator[dict[str, Any]]:
    """The lines of a step's sources that its record was read from."""
    ids = _IDS[node.facts["what"]]
    template = node.facts["settings"].get("template")
    for settings in node.facts["sources"]:
        source = Source(**{key: value for key, value in settings.items() if key != "files"})
        step = f"source @ {source.revision}" if source.revision else "source"
        try:
            for where, row in read_source(source, Ledger("source")):
                if _id(ids, row, template) == name:
                    text = [("record", json.dumps(row, ensure_ascii=False))]
                    yield {"step": step, "where": where, "record": row, "shown": text}
        except UserError as error:  # a file that is gone, a hub that is out of reach
            text = [("cannot be read", str(error))]
            yield {"step": step, "where": source.label, "record": None, "shown": text}


def _id(ids: Callable[[Record, Any], str], row: Record, template: Any) -> str | None:
    try:
        return ids(row, template)
    except Malformed:
        return None


_IDS: dict[str, Callable[[Record, Any], str]] = {
    "red_team": lambda row, template: record_id(first_prompt(row)),
    "evaluation_prompts": lambda row, template: record_id(first_prompt(row)),
    "helpful_sft": lambda row, template: dialogue_id(dialogue_of(row)),
    "helpful_preferences": lambda row, template: pair_of(row, Template(**template))["id"],
}


def _step(node: Node, where: str, row: Record) -> dict[str, Any]:
    what = str(node.facts.get("what"))
    shown = _SHOWN.get(what, _plain)(row, node.facts.get("principles", {}))
    if "comparisons" in Path(node.path).name:  # two lines each, see cai.data.comparisons
        odd = int(where.rpartition(":")[2]) % 2
        shown = [("chosen" if odd else "rejected", row["text"])]
    return {"step": what, "where": where, "record": row, "shown": shown}


def _plain(row: Record, principles: dict[str, Any]) -> Shown:
    return [(key, _text(value)) for key, value in row.items() if key != "id"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _dialogue(row: Record, principles: dict[str, Any]) -> Shown:
    turns = [(turn["from"], turn["value"]) for turn in row["conversations"]]
    return [("dataset", row["dataset"]), *turns]


def _revision(row: Record, principles: dict[str, Any]) -> Shown:
    shown: Shown = [("prompt", row["prompt"]), ("response", row["response"])]
    for turn in row["rounds"]:
        texts = principles.get(turn["principle"], {})
        shown += [
            (f"round {turn['round']}, principle", _named(turn["principle"], texts)),
            *((f"  asked for the {text}", texts[text]) for text in _asked(texts, turn)),
            *((f"  {text}", turn[text]) for text in ("critique", "revision") if turn.get(text)),
        ]
    return shown


def _asked(texts: dict[str, str], turn: Record) -> list[str]:
    return [text for text in ("critique", "revision") if text in texts and turn.get(text)]


def _judgement(row: Record, principles: dict[str, Any]) -> Shown:
    judge = row.get("judge", {})
    names = list(judge.get("by_principle", {})) or [row.get("principle")]
    shown: Shown = [("prompt", row["prompt"]), ("a", row["a"]), ("b", row["b"])]
    for name in filter(None, names):
        texts = principles.get(name, {})
        shown.append(("principle", _named(name, texts)))
        shown += [("  asked", texts["preference"])] if "preference" in texts else []
    shown.append(("p_a", row["p_a"]))
    if "by_order" in judge:
        shown.append(("p_a with a first, with b first", _text(judge["by_order"])))
    return shown


def _candidates(row: Record, principles: dict[str, Any]) -> Shown:
    answers = [(f"at temperature {c['temperature']:g}", c["text"]) for c in row["candidates"]]
    return [("prompt", row["prompt"]), *answers]


def _named(name: str, texts: dict[str, str]) -> str:
    return f"{name} {texts['digest']}" if texts else name


_SHOWN: dict[str, Callable[[Record, dict[str, Any]], Shown]] = {
    "sl_cai": _dialogue,
    "revise": _revision,
    "judge": _judgement,
    "sample_candidates": _candidates,
}
