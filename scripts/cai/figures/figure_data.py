"""A figure's description: the JSON file beside its SVG, and what the report reads of it.

A figure is up to three files of one name: ``fig02.svg`` is what is drawn, ``fig02.csv`` holds the
numbers in it (header first), ``fig02.json`` a :class:`FigureData`. The report shows the drawing
with the caption, and folded beneath it the method, the settings, the sizes and the numbers. A
figure that a run does not support has a JSON with ``supported: false`` and the reason; its SVG may
be any placeholder, the report leaves it out.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cai.core.cli import describe
from cai.core.digests import canonical_json
from cai.core.errors import UserError
from cai.files.records import Record, read_json

PAPER = "The paper's figures"


def _listed(value: Any) -> Any:
    """A single text as a list of one, None as an empty list."""
    return [value] if isinstance(value, str) and value else value or []


Texts = Annotated[list[str], BeforeValidator(_listed)]


class Lack(BaseModel):
    """A part of a figure for which a run has no data."""

    what: str
    why: str


class FigureData(BaseModel):
    """What the report says of a figure. Every field may be missing; others are ignored.

    Attributes:
        title: a few words; without it, the title of the SVG.
        caption: one or two sentences: what is drawn, and what the bars are.
        method: how it was computed, with its source: a text, or a sentence each.
        settings: what it depends on, by name.
        n: the sample size, or sizes by name; also read as ``samples``.
        seed: of every draw in it.
        intervals: what the intervals are.
        departures: where it departs from the paper, a sentence each.
        supported: whether this run has what the figure needs.
        reason: why it has not.
        unsupported: the parts of it that the run has nothing for.
        category: the heading under which the report shows it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str = ""
    caption: str = ""
    method: Texts = []
    settings: dict[str, Any] = {}
    n: int | dict[str, Any] | None = Field(None, validation_alias=AliasChoices("n", "samples"))
    seed: int | None = None
    intervals: str = ""
    departures: Texts = []
    supported: bool = True
    reason: str = ""
    unsupported: list[Lack] = []
    category: str = ""

    @property
    def facts(self) -> Mapping[str, str]:
        """Sizes, seed, intervals and settings as names and values to show."""
        sizes = self.n if isinstance(self.n, dict) else {"n": self.n}
        known = {**sizes, "seed": self.seed, "intervals": self.intervals, **self.settings}
        return {name: _shown(value) for name, value in known.items() if value not in (None, "")}

    @property
    def why_not(self) -> str:
        """Why the run does not support the figure."""
        lacks = "; ".join(f"{lack.what}: {lack.why}" for lack in self.unsupported)
        return self.reason or lacks or " ".join(self.method)

    @property
    def heading(self) -> str:
        """The category, by default the paper's for a figure that says how it departs from it."""
        return self.category or (PAPER if self.departures else "")


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return canonical_json(value) if isinstance(value, dict) else str(value)


def read_figure_data(figure: Path) -> FigureData:
    """The description of a figure; empty if it has no JSON beside it.

    Raises:
        UserError: if the JSON's fields are not of these types.
    """
    path = figure.with_suffix(".json")
    if not path.exists():
        return FigureData()
    try:
        return FigureData.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def read_numbers(figure: Path) -> Record:
    """The header and the rows of the CSV beside a figure; both empty where there is none."""
    path = figure.with_suffix(".csv")
    if not path.exists():
        return {"header": [], "rows": [], "text": ""}
    text = path.read_text(encoding="utf-8")
    header, *rows = [row for row in csv.reader(text.splitlines()) if row] or [[]]
    return {"header": header, "rows": rows, "text": text}
