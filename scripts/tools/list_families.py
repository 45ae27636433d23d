#!/usr/bin/env python
"""Write which models work into README.md and docs/models.md, from the modules of the families."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import write_text
from cai.models.families.family import Family
from cai.models.families.known import FAMILIES, LACKING, listed

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- models that work: made by `make docs` -->\n", "<!-- end -->\n"


def main() -> None:
    """Write both lists."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for path, text in pages().items():
        write_text(path, text)


def pages() -> dict[Path, str]:
    """Each page with its list as it should be."""
    lists = {ROOT / "README.md": _line(), ROOT / "docs/models.md": _table()}
    return {path: _replaced(path, text) for path, text in lists.items()}


def _line() -> str:
    return f"Models that work: {listed()}; [docs/models.md](docs/models.md) says more.\n"


def _table() -> str:
    """The families and the models that are refused, as Markdown."""
    rows = ["| family | `model_type` | models |", "| --- | --- | --- |"]
    rows += [f"| {one.title} | `{one.model_type}` | {', '.join(one.models)} |" for one in FAMILIES]
    rows += ["", *(f"- {remark}" for one in FAMILIES for remark in _remarks(one))]
    rows += ["", "NeMo 2.1.0 cannot run these, or nothing leads back from it:", ""]
    rows += ["| `model_type` | it has |", "| --- | --- |"]
    rows += [f"| `{name}` | {reason} |" for name, reason in LACKING.items()]
    return "\n".join(rows) + "\n"


def _remarks(family: Family) -> list[str]:
    accepted = family.accepted.items()
    fields = ", ".join(f"`{field}` {values[0]!r}" for field, values in accepted)
    return [f"{family.title}: fields that must be so, or absent: {fields}.", *family.remarks]


def _replaced(path: Path, text: str) -> str:
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    fail_if(not begin or not end, f"{path}: has no {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


if __name__ == "__main__":
    cli.run(main)
