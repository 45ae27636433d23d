#!/usr/bin/env python
"""Write config/schema.json and docs/configuration.md from the configuration's models."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cai.core import cli
from cai.files.records import write_json, write_text
from cai.settings.configuration import Settings

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "config/schema.json"
DOCUMENT = ROOT / "docs/configuration.md"
HEADER = """\
# Configuration

Made by `make docs` from the models in `scripts/cai/settings/configuration.py`: edit those.
`config/config.yaml`
is the Mistral-7B run, `config/demo.yaml` lies over it. A key that is not here is refused.

| field | type | default | what it is |
| --- | --- | --- | --- |
"""


def main() -> None:
    """Write both files."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    write_json(SCHEMA, Settings.model_json_schema())
    write_text(DOCUMENT, document())


def document() -> str:
    """The documentation of all fields as Markdown."""
    return HEADER + "".join(f"{row}\n" for row in _rows(Settings, ""))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        sections = list(_sections(field.annotation))
        if not sections or field.default is None:
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
    if annotation is type(None):
        return "null"
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_type, get_args(annotation)))
    if get_origin(annotation) is list:
        return f"list of {_type(get_args(annotation)[0])}"
    return getattr(get_origin(annotation) or annotation, "__name__", str(annotation))


if __name__ == "__main__":
    cli.run(main)
