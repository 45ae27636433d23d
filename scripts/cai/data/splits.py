"""Train and test: each prompt is in exactly one of them, in all datasets."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from cai.core import cli
from cai.core.errors import UserError, fail_if
from cai.data.dialogues import Malformed, first_prompt, opening
from cai.files.records import Ledger, Record, held_out, read_jsonl, record_id
from cai.settings.sources import ReadOptions, Source, read_source

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")


class HeldOut:
    """The prompts that the evaluation asks, which are not to be trained on.

    They are given by files of ours (prompts, comparisons, dialogues) and by the sources that the
    evaluation reads; a dataset from elsewhere may hold any of them.
    """

    def __init__(self, files: Iterable[Path] = (), sources: Iterable[Source] = ()) -> None:
        self._ids = {_opening_id(row) for path in files for row in read_jsonl(path)}
        for source in sources:
            for _, row in read_source(source, Ledger("held out")):
                try:
                    self._ids.add(record_id(first_prompt(row)))
                except Malformed:  # the evaluation does not ask it either
                    continue

    def __contains__(self, prompt: object) -> bool:
        """Whether the prompt with this id is held out."""
        return prompt in self._ids

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Give a program the options ``--held-out`` and ``--held-out-source``."""
        what = "prompts that are not to be trained on"
        parser.add_argument("--held-out", type=Path, nargs="*", default=[], help=what)
        parser.add_argument(
            "--held-out-source",
            type=cli.json_option(Source),
            nargs="*",
            default=[],
            help=f"JSON of each source of {what}",
        )

    @classmethod
    def from_options(cls, options: Namespace) -> "HeldOut":
        """Those that the command line names."""
        return cls(options.held_out, options.held_out_source)


def _opening_id(row: Record) -> str:
    """The id of the first human turn of a record of ours."""
    if "messages" in row:
        return record_id(opening(row["messages"]))
    return str(row.get("opening", row["id"]))


class SplitOptions(ReadOptions):
    """How a source is read and split."""

    test_fraction: float = Field(0.05, gt=0, lt=1, description="Share of prompts held out.")


class Splitter:
    """Says which part a prompt belongs to.

    By the hash of its id, so that adding records never moves another one; or, for a source with a
    ``split_field``, as the record says, and then no prompt may be said to be in both.
    """

    def __init__(self, options: SplitOptions) -> None:
        self.options = options
        self._parts: dict[str, Part] = {}

    def part(self, prompt: str, row: Record, source: Source, where: str) -> Part:
        """The part of the prompt with this id, which came in this row.

        Raises:
            Malformed: if the row's own split is neither train nor test.
            UserError: if the source says both of one prompt.
        """
        if source.split_field is None:
            held = held_out(prompt, self.options.seed, self.options.test_fraction)
            return "test" if held else "train"
        part: Part | None = row.get(source.split_field)
        if part not in PARTS or part is None:
            raise Malformed(f"{source.split_field} is neither train nor test")
        if self._parts.setdefault(prompt, part) != part:
            raise UserError(f"{where}: {source.split_field}: this prompt is in both train and test")
        return part

    def check(self, parts: Iterable[str], source: str) -> None:
        """End the run if one of the two parts is empty.

        Raises:
            UserError: with what to change.
        """
        missing = sorted(set(PARTS) - set(parts))
        fail_if(
            missing,
            f"{source}: no record is left for {' and '.join(missing)}; give more records or change "
            f"the held-out share (test_fraction), found {self.options.test_fraction:g}",
        )
