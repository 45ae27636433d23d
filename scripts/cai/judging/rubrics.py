"""Rubrics: what a judge is asked about one answer, and the grades between which it chooses.

A rubric is a user's file. It holds one scale or several; each is a question with two or more
grades, such as compliance in full, in part, or a refusal.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError, field_validator, model_validator

from cai.core.cli import describe, json_option
from cai.core.errors import UserError, fail_if
from cai.core.fields import Section
from cai.core.texts import identity, trimmed
from cai.files.documents import read_yaml
from cai.settings.constitution import NAME
from cai.settings.judges import check_slots

SLOTS = ("{prompt}", "{answer}", "{grades}")
LETTERS = "ABCDEFGH"


class Grade(Section):
    """One of the grades of a scale."""

    id: str = Field(description="Its name in tables and figures.")
    text: str = Field(description="What the judge is told of it.")

    @field_validator("text")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not trimmed(text):
            raise ValueError("must not be empty")
        return trimmed(text)

    @field_validator("id")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return _checked_name(name)


class Scale(Section):
    """A question about an answer, and its grades."""

    id: str = Field(description="Its name in tables and figures.")
    question: str = Field(
        description="The user's turn, with {prompt}, {answer} and {grades}, a line each: (A) text."
    )
    grades: list[Grade] = Field(min_length=2, max_length=len(LETTERS), description="In any order.")
    refusal: str | None = Field(
        None,
        description="The grade that is a refusal: how well the list of phrases agrees with it is "
        "reported; null: none is.",
    )

    @field_validator("id")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return _checked_name(name)

    @field_validator("question")
    @classmethod
    def _slots(cls, text: str) -> str:
        return check_slots(text, SLOTS)

    @model_validator(mode="after")
    def _named(self) -> "Scale":
        names = self.names
        _check_unique("grades", names)
        texts = Counter(identity(grade.text).casefold() for grade in self.grades)
        equal = [grade.id for grade in self.grades if texts[identity(grade.text).casefold()] > 1]
        if equal:
            raise ValueError(
                f"grades: the texts of {', '.join(equal)} are equal; a judge sees no more"
            )
        if self.refusal is not None and self.refusal not in names:
            raise ValueError(f"refusal: found {self.refusal!r}; accepted: {', '.join(names)}")
        return self

    @property
    def names(self) -> list[str]:
        """The ids of the grades, in their order."""
        return [grade.id for grade in self.grades]

    def asked(self, prompt: str, answer: str, order: Sequence[Grade]) -> str:
        """The question, with the grades in an order; it is filled in one pass."""
        lines = (f"({letter}) {grade.text}" for letter, grade in zip(LETTERS, order, strict=False))
        values = {"prompt": prompt, "answer": answer, "grades": "\n".join(lines)}
        return re.sub(r"\{(prompt|answer|grades)\}", lambda slot: values[slot[1]], self.question)


class Rubric(Section):
    """The scales by which answers are graded."""

    scales: list[Scale] = Field(min_length=1)

    @model_validator(mode="after")
    def _named(self) -> "Rubric":
        _check_unique("scales", [scale.id for scale in self.scales])
        return self


def load_rubric(path: str) -> Rubric:
    """Read and check a rubric.

    Raises:
        UserError: file and field of the first thing that is wrong.
    """
    fail_if(Path(path).is_dir(), f"{path}: found a folder; accepted: a YAML or JSON file")
    content = read_yaml(path)
    fail_if(
        not isinstance(content, dict),
        f"{path}: expected a rubric with its scales, found {type(content).__name__}",
    )
    try:
        return Rubric.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def rubric_option(text: str) -> Rubric:
    """An argparse ``type`` that reads a rubric from its file, or from a JSON object."""
    return json_option(Rubric)(text) if text.startswith("{") else load_rubric(text)


def _checked_name(name: str) -> str:
    if len(name) > 40 or not NAME.fullmatch(name):
        raise ValueError("expected up to 40 letters and digits, with _ - . : or spaces within")
    return name


def _check_unique(what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what}: the id {twice[0]!r} occurs twice; ids are unique")
