"""Comparisons and prompts in the files that reward models and PPO train on.

A comparison is two lines, ``{"id", "text"}`` of the chosen text and then of the rejected one. A
prompt is one such line. NeMo-Aligner reads ``text`` alone; ``opening`` is the id of the first human
turn, which dialogues are split by.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import TypedDict

from cai.core.errors import UserError, fail_if
from cai.data.splits import Part
from cai.files.records import read_records, write_jsonl


@dataclass(frozen=True)
class PreferenceFiles:
    """The four files of a preference dataset."""

    train_prompts: Path
    train_comparisons: Path
    test_prompts: Path
    test_comparisons: Path

    def prompts(self, part: Part) -> Path:
        """The prompts of one part."""
        return self.train_prompts if part == "train" else self.test_prompts

    def comparisons(self, part: Part) -> Path:
        """The comparisons of one part."""
        return self.train_comparisons if part == "train" else self.test_comparisons

    @classmethod
    def names(cls) -> list[str]:
        """The names of the four, which are those of the options, too."""
        return [field.name for field in fields(cls)]

    @classmethod
    def add_options(cls, parser: ArgumentParser, prefix: str = "") -> None:
        """Give a program one option a file; :meth:`from_options` reads them."""
        for field in fields(cls):
            flag = prefix + field.name.replace("_", "-")
            parser.add_argument(f"--{flag}", type=Path, required=True, help=".jsonl")

    @classmethod
    def from_options(cls, options: Namespace, prefix: str = "") -> "PreferenceFiles":
        """The files that the command line names."""
        return cls(**{field.name: getattr(options, prefix + field.name) for field in fields(cls)})


class Line(TypedDict):
    """A prompt, or one side of a comparison, as it stands in a file."""

    id: str
    opening: str
    text: str


class TextPair(TypedDict):
    """A comparison as texts in the form of a chat template."""

    id: str
    opening: str
    chosen: str
    rejected: str


def write_comparisons(path: Path, pairs: Iterable[TextPair]) -> int:
    """Write each pair as two lines; returns how many."""
    return write_jsonl(path, (line for pair in pairs for line in _lines(pair))) // 2


def _lines(pair: TextPair) -> Iterator[Line]:
    for text in (pair["chosen"], pair["rejected"]):
        yield {"id": pair["id"], "opening": pair["opening"], "text": text}


def read_comparisons(path: Path) -> Iterator[TextPair]:
    """Yield the pairs of a file that :func:`write_comparisons` wrote.

    Raises:
        UserError: if the lines do not come in twos of one id.
    """
    lines = read_records(path, Line)
    for number, (chosen, rejected) in enumerate(zip_longest(lines, lines)):
        where = f"{path}:{2 * number + 1}"
        if rejected is None:
            raise UserError(f"{where}: a chosen text without its rejected one")
        fail_if(chosen["id"] != rejected["id"], f"{where}: the ids of two paired lines differ")
        yield {
            "id": chosen["id"],
            "opening": chosen["opening"],
            "chosen": chosen["text"],
            "rejected": rejected["text"],
        }
