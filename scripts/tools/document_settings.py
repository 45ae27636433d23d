#!/usr/bin/env python
"""Write docs/configuration.md, and the schemas in config/ that editors read, from the models."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from cai.core import cli
from cai.files.records import write_json, write_text
from cai.judging.rubrics import Rubric
from cai.settings.configuration import Settings
from cai.settings.constitution import Principle

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "config/schema.json"
PARTIAL = ROOT / "config/partial.schema.json"  # of files that lie over config.yaml
CONSTITUTION = ROOT / "config/constitution.schema.json"
FEW_SHOT = ROOT / "config/few_shot.schema.json"
RUBRIC = ROOT / "config/rubric.schema.json"
LICENCES = ROOT / "config/licences.schema.json"
DOCUMENT = ROOT / "docs/configuration.md"
HEADER = """\
# Configuration

Made by `make docs` from the models in `scripts/cai/settings/`: edit those.
`config/config.yaml` is the Mistral-7B run, `config/demo.yaml` replaces some of its fields. A key
that is not here is refused.

| field | type | default | what it is |
| --- | --- | --- | --- |
"""


class Turn(BaseModel):
    """A turn of a few-shot dialogue."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str


def main() -> None:
    """Write all files."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for path, schema in schemas().items():
        write_json(path, schema)
    write_text(DOCUMENT, document())


def schemas() -> dict[Path, dict[str, Any]]:
    """The JSON schema of each kind of file that a user writes, by where it lies."""
    whole = Settings.model_json_schema()
    return {
        SCHEMA: whole,
        PARTIAL: _partial(whole),
        CONSTITUTION: _list_under("principles", list[Principle]),
        FEW_SHOT: _list_under("samples", list[list[Turn]]),
        RUBRIC: Rubric.model_json_schema(),
        LICENCES: TypeAdapter(dict[str, str]).json_schema(),
    }


def _partial(schema: Any) -> Any:
    """A schema in which no field is required: of a file with the fields that differ."""
    if isinstance(schema, dict):
        fields = {key: _partial(value) for key, value in schema.items()}
        return {key: value for key, value in fields.items() if not _requires(key, value)}
    return [_partial(item) for item in schema] if isinstance(schema, list) else schema


def _requires(key: str, value: Any) -> bool:
    return key == "required" and isinstance(value, list)


def _list_under(name: str, kind: Any) -> dict[str, Any]:
    """The schema of a file that is a list of some kind under a name."""
    rows = TypeAdapter(kind).json_schema()
    definitions = rows.pop("$defs", {})
    return {
        "$defs": definitions,
        "type": "object",
        "properties": {name: {**rows, "minItems": 1}},
        "required": [name],
    }


def document() -> str:
    """The documentation of all fields as Markdown."""
    return HEADER + "".join(f"{row}\n" for row in _rows(Settings, ""))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        sections = list(_sections(field.annotation))
        if not sections or field.default is None or field.description:
            yield _row(path, field)
        for section in sections:
            suffix = "[]." if get_origin(field.annotation) is list else "."
            yield from _rows(section, path + suffix)


def _row(path: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{_default(field)}`"
    cells = [f"`{path}`", _type(field.annotation), default, field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "null" if value is None else str(value).replace("\n", "\\n")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The configuration models within a type such as ``list[Source]`` or ``ChatJudge | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if annotation is type(None):
        return "null"
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_type, get_args(annotation)))
    if get_origin(annotation) is list:
        return f"list of {_type(get_args(annotation)[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return getattr(get_origin(annotation) or annotation, "__name__", str(annotation))


if __name__ == "__main__":
    cli.run(main)
