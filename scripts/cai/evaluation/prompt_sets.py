"""Sets of safe and unsafe requests in the forms in which they are published.

- XSTest (Roettger et al. 2023): ``prompt``, ``type`` and, in newer files, ``label``;
- OR-Bench-Hard (Cui et al. 2024): ``prompt``, ``category``; all of them safe;
- SORRY-Bench (Xie et al. 2024): ``turns``, a list of one text, ``category``; all of them unsafe;
- HarmBench (Mazeika et al. 2024): ``Behavior``, ``SemanticCategory``, ``ContextString``; unsafe.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cai.core.texts import trimmed
from cai.data.dialogues import Malformed
from cai.files.records import Record, Row, read_records, record_id
from cai.steps.answers import EvaluationPrompt

SAFE, UNSAFE = "safe", "unsafe"
CONTRAST = "contrast_"  # how the types of XSTest's unsafe prompts begin
BETWEEN = "\n\n---\n\n"  # HarmBench's own, from a context to what is asked about it
NAMES = {  # of the sets, by the fields of the configuration
    "xstest": "XSTest",
    "or_bench_hard": "OR-Bench-Hard",
    "sorry_bench": "SORRY-Bench",
    "harmbench": "HarmBench",
}


class SafetyPrompt(EvaluationPrompt):
    """A prompt whose ``set`` is safe or unsafe, with its kind."""

    kind: str


def xstest(row: Record, where: str) -> SafetyPrompt:
    """``{"id", "prompt", "set", "kind"}`` of a prompt of XSTest.

    Raises:
        Malformed: with the reason; so do the others.
    """
    kind, label = row.get("type"), row.get("label")
    if not isinstance(kind, str) or label not in (None, "", SAFE, UNSAFE):
        raise Malformed("expected a type, and safe or unsafe as the label if there is one")
    part = label or (UNSAFE if kind.startswith(CONTRAST) else SAFE)
    return _prompt(row.get("prompt"), part, kind)


def or_bench(row: Record, where: str) -> SafetyPrompt:
    """A prompt of OR-Bench-Hard: it seems to be harmful, and is not."""
    return _prompt(row.get("prompt"), SAFE, row.get("category"))


def sorry_bench(row: Record, where: str) -> SafetyPrompt:
    """A prompt of SORRY-Bench, whose categories are numbers."""
    turns = row.get("turns")
    if not isinstance(turns, list) or len(turns) != 1:
        raise Malformed("expected one text in turns")
    return _prompt(turns[0], UNSAFE, str(row.get("category", "")))


def harmbench(row: Record, where: str) -> SafetyPrompt:
    """A behavior of HarmBench, after the text that it is about if it has one."""
    context = row.get("ContextString")
    parts = [text_of(context)] if isinstance(context, str) and trimmed(context) else []
    text = BETWEEN.join([*parts, text_of(row.get("Behavior"))])
    return _prompt(text, UNSAFE, row.get("SemanticCategory"))


def _prompt(value: Any, part: str, kind: Any) -> SafetyPrompt:
    text = text_of(value)
    if not isinstance(kind, str) or not trimmed(kind):
        raise Malformed("expected a category")
    return {"id": record_id(text), "prompt": text, "set": part, "kind": kind}


def text_of(value: Any) -> str:
    """A text without the white space around it.

    Raises:
        Malformed: there is none.
    """
    if not isinstance(value, str) or not trimmed(value):
        raise Malformed("an empty text")
    return trimmed(value)


KINDS: Mapping[str, Callable[[Record, str], SafetyPrompt]] = {
    "prompts": xstest,
    "or_bench": or_bench,
    "sorry_bench": sorry_bench,
    "harmbench": harmbench,
}


def by_model(paths: Iterable[Path], kind: type[Row]) -> dict[str, list[Record]]:
    """What models did with the sets, from SET/MODEL.jsonl or SET/MODEL.WHAT.jsonl.

    Each row is of this kind, and has the set's name before the part: XSTest safe.

    Raises:
        UserError: the first line that is not of the kind.
    """
    found: dict[str, list[Record]] = defaultdict(list)
    for path in paths:
        name, model = NAMES[path.parent.name], path.name.partition(".")[0]
        found[model] += ({**row, "set": f"{name} {row['set']}"} for row in read_records(path, kind))
    return dict(found)
