"""Constitutions in the forms that others have published, read into ours.

The critique and revision instructions and the comparison principles of Bai et al. 2022 (arXiv
2212.08073) are JSON files, which NeMo-Aligner's tutorial uses too. Few-shot dialogues come as that
paper's, plain transcripts, or as the tutorial's, lists of turns.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cai.core.cli import describe
from cai.core.errors import UserError, fail_if
from cai.files.documents import read_json, read_yaml
from cai.models.templates import Message
from cai.settings.constitution import Principle, parse_few_shot

CRITIQUE_MARKS = ("Critique ?Request", "Critique")
REVISION_MARKS = ("Revision ?Request", "Revision")
# What ends the published comparison principles: the two answers follow it.
OPTIONS = re.compile(
    r"(?:(?<=[.?!:\n])\s*(?i:options)\s*:?|\bOptions:)(?:\s*\(?[AB]\)[^\n]*){0,2}\s*\Z"
)
SPEAKERS = ("Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision")
TURN = re.compile(rf"(?:^|\n)\s*({'|'.join(SPEAKERS)}):")


def read_critique_instructions(path: Path) -> list[Principle]:
    """Read ``{"harmful0": {"prompt": [critique request], "edit_request": revision request}}``.

    Raises:
        UserError: with the entry that has another form.
    """
    content = read_json(path)
    fail_if(
        not isinstance(content, dict) or not content,
        f"{path}: expected an object of instructions, found {type(content).__name__}",
    )
    return [_instruction(path, name, entry) for name, entry in content.items()]


def _instruction(path: Path, name: str, entry: Any) -> Principle:
    where = f"{path}: {name}"
    fail_if(
        not isinstance(entry, dict) or not {"prompt", "edit_request"} <= entry.keys(),
        f"{where}: expected the fields prompt and edit_request",
    )
    prompt = entry["prompt"]
    request = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    return _principle(
        where,
        id=name,
        critique=_between(f"{where}.prompt", request, CRITIQUE_MARKS),
        revision=_between(f"{where}.edit_request", entry["edit_request"], REVISION_MARKS),
    )


def read_comparison_principles(path: Path) -> list[Principle]:
    """Read a list of texts, each of which asks for the better of two responses.

    Raises:
        UserError: if it is not a list of texts.
    """
    texts = read_json(path)
    fail_if(
        not isinstance(texts, list) or not texts,
        f"{path}: expected a list of texts, found {type(texts).__name__}",
    )
    return [
        _principle(f"{path}: [{number}]", id=f"comparison{number}", preference=_request(text))
        for number, text in enumerate(texts)
    ]


def _request(text: Any) -> Any:
    """A principle without the word before the two answers, which our judges' form has, too."""
    return OPTIONS.sub("", text.strip()).rstrip() if isinstance(text, str) else text


def read_few_shot(path: Path) -> list[list[Message]]:
    """Read few-shot dialogues: ``{"samples": [turns]}``, or transcripts, listed or under names.

    In a transcript, the requests are the user's turns, and the critique and the revision the
    assistant's. A turn of the user that has no text at the end is cut off.

    Raises:
        UserError: with the dialogue that has another form.
    """
    content = read_yaml(path)
    rows = content.get("samples", content) if isinstance(content, dict) else content
    if isinstance(rows, dict):
        rows = list(rows.values())
    fail_if(
        not isinstance(rows, list) or not rows,
        f"{path}: expected dialogues: a list under 'samples', or transcripts, found "
        f"{type(rows).__name__}",
    )
    numbered = enumerate(rows, 1)
    read = [_turns(path, n, row) if isinstance(row, str) else row for n, row in numbered]
    return parse_few_shot(read, path)


def _turns(path: Path, number: int, transcript: str) -> list[Message]:
    text = transcript.replace("\r\n", "\n").replace("\r", "\n")
    head, *rest = TURN.split(text)
    fail_if(
        head.strip() or not rest,
        f"{path}: samples[{number}]: expected a transcript that begins with 'Human:', found "
        f"{text.strip()[:40]!r}",
    )
    users = {"Human", "CritiqueRequest", "RevisionRequest"}
    turns: list[Message] = [
        {"role": "user" if name in users else "assistant", "content": said.strip()}
        for name, said in zip(rest[0::2], rest[1::2], strict=True)
    ]
    if turns[-1] == {"role": "user", "content": ""}:
        turns.pop()
    return turns


def _principle(where: str, **fields: Any) -> Principle:
    try:
        return Principle(**fields)
    except ValidationError as error:
        raise UserError(f"{where}: {describe(error)}") from None


def _between(where: str, text: Any, marks: tuple[str, str]) -> str:
    """The request without the words that the published prompts set around it."""
    if not isinstance(text, str):
        raise UserError(f"{where}: expected a text, found {type(text).__name__}")
    before, after = (rf"[*_]*{mark}[*_]*\s*:[*_]*" for mark in marks)
    text = re.sub(rf"\A\s*{before}", "", text, flags=re.IGNORECASE)
    return re.sub(rf"(?<![^\s]){after}\s*\Z", "", text, flags=re.IGNORECASE).strip()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def constitution_yaml(principles: Sequence[Principle]) -> str:
    """The text of a constitution file.

    Raises:
        UserError: if an id occurs twice.
    """
    names = [principle.id for principle in principles]
    twice = next((name for name in names if names.count(name) > 1), None)
    fail_if(twice is not None, f"the id {twice!r} occurs twice; ids are unique")
    return _dump({"principles": [p.model_dump(exclude_none=True) for p in principles]})


def few_shot_yaml(samples: Sequence[Sequence[Message]]) -> str:
    """The text of a file of few-shot dialogues."""
    return _dump({"samples": [list(dialogue) for dialogue in samples]})


def _dump(content: Any) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
