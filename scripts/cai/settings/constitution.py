"""The constitution: principles, the texts of each stage, and which principle a record draws."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from cai.core.cli import field_and_complaint
from cai.core.errors import UserError, fail_if
from cai.core.texts import trimmed
from cai.files.documents import read_yaml
from cai.files.records import uniform
from cai.models.templates import Message

Stage = Literal["supervised", "preference"]
STAGE_TEXTS: dict[Stage, tuple[str, ...]] = {
    "supervised": ("critique", "revision"),
    "preference": ("preference",),
}
TEXTS = tuple(name for names in STAGE_TEXTS.values() for name in names)  # of a principle
NAME = re.compile(r"\w+(?:[ .:_-]+\w+)*")  # names of principles are joined with + in tables
PLACEHOLDER = re.compile(
    r"\s*(<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\.\.\.|\u2026|(TODO|FIXME|TBD)\b.*|x{3,}\W*"
    r"|fill (this )?in|placeholder|content|prompt|response"
    r"|(critique|revision) (request|response))\s*",
    re.IGNORECASE | re.DOTALL,
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # tabs and line ends are text
TURN_FIELDS = ("role", "content")


def flaw_of(text: str) -> str:
    """Why a text cannot be put to a model: what stands in it in place of words; empty if not."""
    if PLACEHOLDER.fullmatch(text):
        return "expected real text"
    if control := CONTROL.search(text):
        return f"expected text without control characters (U+{ord(control[0]):04X})"
    return ""


class Principle(BaseModel):
    """One principle, with the texts of the stages it takes part in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    critique: str | None = None
    revision: str | None = None
    preference: str | None = None

    @field_validator("critique", "revision", "preference")
    @classmethod
    def _real(cls, text: str | None) -> str | None:
        if text and (flaw := flaw_of(text)):
            raise ValueError(flaw)
        return text

    @field_validator("*")
    @classmethod
    def _not_empty(cls, text: str | None) -> str | None:
        if text is not None and not trimmed(text):
            raise ValueError("must not be empty")
        return text and trimmed(text)

    @field_validator("id")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if len(name) > 80 or not NAME.fullmatch(name):
            raise ValueError("expected up to 80 letters and digits, with _ - . : or spaces within")
        return name

    @model_validator(mode="after")
    def _whole(self) -> "Principle":
        if (self.critique is None) != (self.revision is None):
            raise ValueError("critique and revision go together: give both or neither")
        if self.critique is None and self.preference is None:
            raise ValueError("must have critique and revision, or preference, or all three")
        return self

    def texts(self, stage: Stage) -> dict[str, str]:
        """The id and the texts of one stage."""
        return {name: getattr(self, name) for name in ("id", *STAGE_TEXTS[stage])}


def load_constitution(path: Path | str) -> list[Principle]:
    """Read and check a constitution.

    Raises:
        UserError: file, principle and field of the first thing that is wrong.
    """
    principles = parse_principles(_read_list(path, "principles"), path)
    for stage in STAGE_TEXTS:
        for_stage(principles, stage, path)
    return principles


def parse_principles(rows: Sequence[Any], path: Path | str) -> list[Principle]:
    """Check a list of principles; ``path`` names its source in messages.

    Raises:
        UserError: source, principle and field of the first thing that is wrong.
    """
    principles = [_principle(path, number, row) for number, row in enumerate(rows, 1)]
    counts = Counter(principle.id for principle in principles)
    twice = [name for name, count in counts.items() if count > 1]
    fail_if(
        twice, f"{path}: principles: the id {twice and twice[0]!r} occurs twice; ids are unique"
    )
    return principles


def for_stage(
    principles: Iterable[Principle], stage: Stage, source: Path | str = "constitution"
) -> list[dict[str, str]]:
    """The texts of one stage, sorted by id: what that stage's rules depend on, and no more.

    Raises:
        UserError: if no principle has texts for the stage.
    """
    needed = STAGE_TEXTS[stage]
    chosen = [p.texts(stage) for p in principles if getattr(p, needed[0]) is not None]
    fail_if(
        not chosen,
        f"{source}: principles: none has {' and '.join(needed)}; "
        f"the {stage} stage needs at least one principle",
    )
    return sorted(chosen, key=lambda texts: texts["id"])


def draw_principle(seed: int, record: str, turn: int | str, ids: Sequence[str]) -> str:
    """The principle that a record draws in a round: rendezvous (highest random weight) hashing.

    A pure function of its arguments that does not depend on the order of ``ids``. Adding or
    removing one of N ids moves about 1/N of the records; editing a principle's text moves none.
    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    return draw_principles(seed, record, turn, ids, 1)[0]


def draw_principles(
    seed: int, record: str, turn: int | str, ids: Sequence[str], count: int
) -> list[str]:
    """Up to ``count`` different principles, the first of them that of :func:`draw_principle`."""

    def weight(name: str) -> float:
        return uniform("principle", seed, record, turn, name)

    return sorted(sorted(ids), key=weight, reverse=True)[:count]


def load_few_shot(path: Path | str | None) -> list[list[Message]]:
    """Read the dialogues that precede a critique: lists of alternating user and assistant turns.

    A dialogue is prompt, response, critique request, critique, revision request, revision: six
    turns, or more if the user and the assistant say more before the critique request. ``None``
    gives no dialogues (zero-shot).

    Raises:
        UserError: file, dialogue and turn of placeholder text, a wrong role or a wrong length.
    """
    return [] if path is None else parse_few_shot(_read_list(path, "samples"), path)


def parse_few_shot(rows: Sequence[Any], path: Path | str) -> list[list[Message]]:
    """Check few-shot dialogues; ``path`` names the source in messages."""
    return [_dialogue(path, number, row) for number, row in enumerate(rows, 1)]


def _dialogue(path: Path | str, number: int, turns: Any) -> list[Message]:
    where = f"{path}: samples[{number}]"
    found = len(turns) if isinstance(turns, list) else type(turns).__name__
    fail_if(
        not isinstance(found, int) or found < 6 or found % 2,
        f"{where}: expected 6 turns (prompt, response, critique request, critique, revision "
        f"request, revision), or an even number of more, found {found}",
    )
    messages: list[Message] = []
    for index, turn in enumerate(turns):
        expected: Literal["user", "assistant"] = "assistant" if index % 2 else "user"
        fail_if(not isinstance(turn, dict), f"{where}[{index + 1}]: expected role and content")
        _only(turn, TURN_FIELDS, f"{where}[{index + 1}]")
        role, content = str(turn.get("role", "")).lower(), turn.get("content")
        fail_if(
            role != expected,
            f"{where}[{index + 1}].role: roles alternate, expected {expected!r}, found {role!r}",
        )
        real = isinstance(content, str) and trimmed(content)
        flaw = flaw_of(content) if real else "expected real text"
        fail_if(flaw, f"{where}[{index + 1}].content: {flaw}, found {content!r}")
        messages.append({"role": expected, "content": trimmed(content)})
    return messages


def _principle(path: Path | str, number: int, row: Any) -> Principle:
    name = row.get("id", number) if isinstance(row, dict) else number
    try:
        return Principle.model_validate(row)
    except ValidationError as error:
        field, complaint = field_and_complaint(error)
        where = f"principles[{name}]{'.' if field else ''}{field}"
        raise UserError(f"{path}: {where}: {complaint}") from None


def _read_list(path: Path | str, key: str) -> list[Any]:
    content = read_yaml(path)
    rows = content.get(key) if isinstance(content, dict) else None
    found = type(rows).__name__ if rows else "nothing"
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected a list under {key!r}, found {found}")
    _only(content, (key,), str(path))
    return rows


def _only(content: Iterable[Any], accepted: Sequence[str], where: str) -> None:
    """Refuse fields that nobody reads: they may be meant to say something."""
    unknown = next((field for field in content if field not in accepted), None)
    fail_if(
        unknown is not None,
        f"{where}: {unknown}: unknown field; accepted: {', '.join(accepted)}",
    )
