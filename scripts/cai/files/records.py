"""Records: JSON Lines with a stable id, written whole or not at all, and the ledger of a step."""

import csv
import gzip
import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict, TypeVar, cast

from cai.core.errors import UserError
from cai.core.texts import csv_cell, identity
from cai.files.documents import NotJson, decode, dump_json, flaw_in
from cai.files.documents import read_json as read_json  # the programs' own files are read with it
from cai.files.field_types import misfit
from cai.files.partials import partial

Record = dict[str, Any]
Row = TypeVar("Row", bound=Mapping[str, Any])  # a kind of record, by its fields
BOM = b"\xef\xbb\xbf"
LOOKED_AT = 512  # bytes at a file's beginning that say what it is
LINE_END = re.compile(rb"\r\n?")


class Prompt(TypedDict):
    """What is asked; ``id`` is that of the prompt, see :func:`record_id`."""

    id: str
    prompt: str


def record_id(prompt: str) -> str:
    """The id of a prompt: 16 hex digits of the SHA-256 of its :func:`cai.core.texts.identity`."""
    return hashlib.sha256(identity(prompt).encode()).hexdigest()[:16]


def uniform(*key: object) -> float:
    """A number in [0, 1) that depends on ``key`` alone: every draw of the project comes from it."""
    text = "\x1f".join(map(str, key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def shard_of(record: str, shards: int) -> int:
    """Which of ``shards`` (counted from 0) the record with this id belongs to."""
    return int(uniform("shard", record) * shards)


def in_shard(record: str, shard: int, shards: int) -> bool:
    """Whether the record with this id belongs to ``shard`` of ``shards``."""
    return shard_of(record, shards) == shard


def held_out(record: str, seed: int, fraction: float) -> bool:
    """Whether a prompt belongs to the held-out part: by its id, so that no prompt is in both."""
    return uniform("held out", seed, record) < fraction


@contextmanager
def atomic(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary sibling of ``path`` and rename it at the end: readers never see a half."""
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    with partial(path) as half, named_errors(path), open(half, mode, encoding=encoding) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def named_errors(path: Path | str) -> Iterator[None]:
    """Have the system's errors name this path, where they name none, such as for a full disk."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as stream:
        stream.write(text)


def write_json(path: Path | str, value: Any) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, dump_json(value, indent=2) + "\n")


def write_csv(path: Path | str, rows: Iterable[Iterable[object]]) -> None:
    """Write a table atomically; no cell is a formula to a spreadsheet, see :func:`csv_cell`."""
    with atomic(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([csv_cell(cell) for cell in row] for row in rows)


def write_jsonl(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write records, one JSON object a line, atomically; returns how many."""
    count = 0
    with atomic(path) as stream:
        for row in rows:
            stream.write(dump_json(row) + "\n")
            count += 1
    return count


def looks_like(head: bytes) -> str:
    """What a file is that is no text in UTF-8 of ours, by how it begins; empty if it may be."""
    begun = head.lstrip().lower()
    if head.startswith(b"\x1f\x8b"):
        return "a gzip file; accepted: one whose name ends in .gz"
    if head.startswith((b"PK\x03\x04", b"PAR1", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return "a packed or binary file (ZIP, Parquet ...); accepted: what its name says, as text"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; get it with git lfs pull"
    if begun.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML or XML page; accepted: the file itself, not the page that shows it"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:4]:
        return "text in UTF-16 or UTF-32; accepted: UTF-8"
    return ""


@contextmanager
def open_bytes(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file, gzipped or not, to read; one that is missing or cut is a :class:`UserError`."""
    opener: Any = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as stream:
            if found := looks_like(stream.peek(LOOKED_AT)[:LOOKED_AT]):
                raise UserError(f"{path}: found {found}")
            yield stream
    except (FileNotFoundError, IsADirectoryError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "a folder, not a file"
        raise UserError(f"{path}: {reason}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error})") from None


def read_jsonl(path: Path | str) -> Iterator[Record]:
    """Yield the records of a file; the first malformed line is a :class:`UserError`."""
    for where, value in _lines(path):
        if isinstance(value, str):
            raise UserError(f"{where}: {value}")
        yield value


def read_records(path: Path | str, kind: type[Row]) -> Iterator[Row]:
    """Yield the records of a file, each with all fields of its kind and of their types.

    Raises:
        UserError: the first line that is malformed or not of the kind.
    """
    for _, row in located_records(path, kind):
        yield row


def located_records(path: Path | str, kind: type[Row]) -> Iterator[tuple[str, Row]]:
    """Yield ``(file:line, record)`` as :func:`read_records` does."""
    for where, value in _lines(path):
        if isinstance(value, str):
            raise UserError(f"{where}: {value}")
        yield where, of_kind(value, kind, where)


def of_kind(record: Record, kind: type[Row], where: str) -> Row:
    """The record as one of this kind; if it is not, the message begins with ``where``.

    Raises:
        UserError: a field is missing, or has another type than the kind says.
    """
    if amiss := misfit(record, kind):
        raise UserError(f"{where}: {amiss}")
    return cast("Row", record)


def read_jsonl_tolerant(path: Path | str, ledger: "Ledger") -> Iterator[tuple[str, Record]]:
    """Yield ``(file:line, record)``; a malformed line goes to the ledger, the reading goes on."""
    for where, value in _lines(path):
        ledger.count_in()
        if isinstance(value, str):
            ledger.drop("malformed line", where=where, record=value)
        else:
            yield where, value


def _lines(path: Path | str) -> Iterator[tuple[str, Record | str]]:
    """Yield ``(file:line, record)``, with what is wrong in place of a record that is malformed.

    Lines end as they do on any system: in JSON, no carriage return is within a value.
    """
    number = 0
    with open_bytes(path) as stream:
        _refuse_list(path, stream)
        for ended in stream:
            for raw in LINE_END.split(ended.removesuffix(b"\n").removesuffix(b"\r")):
                number += 1
                if raw.strip() and raw != BOM:
                    yield f"{path}:{number}", _parse(raw)


def _refuse_list(path: Path | str, stream: IO[bytes]) -> None:
    """Refuse a JSON list over several lines, or one of objects: each line would be malformed."""
    head: bytes = cast("Any", stream).peek(LOOKED_AT)[:LOOKED_AT].removeprefix(BOM).strip()
    if re.match(rb"\[\s*(?:\{|\Z)", head):
        raise UserError(
            f"{path}: found a JSON list; accepted: one JSON object a line (JSON Lines), or a list "
            "in a file whose name ends in .json, where a dataset is read"
        )


def _parse(raw: bytes) -> Record | str:
    try:
        return unflawed(decode(raw))
    except NotJson as error:
        return f"not JSON ({error}), found {raw[:60]!r}"


def unflawed(value: Any) -> Record | str:
    """A decoded record, or what is wrong with it."""
    if reason := flaw_in(value):
        return reason
    if not isinstance(value, dict):
        return f"expected a JSON object, found {type(value).__name__}"
    return value


class Rejected(TypedDict):
    """A record that was dropped, with its reason and its place."""

    reason: str
    where: str
    record: Any


LedgerContent = TypedDict(
    "LedgerContent",
    {
        "step": str,
        "in": int,
        "out": int,
        "failed": int,
        "dropped": dict[str, int],
        "notes": NotRequired[Record],
        "rejected": list[Rejected],
    },
)


class Unbalanced(Exception):
    """A defect of a program: records are neither in its output nor in its ledger."""


class Ledger:
    """What went into a step and what became of it: in = out + dropped, by reason.

    A record that fails is kept here with its reason and its place, never thrown away silently.

    Attributes:
        remedy: what a user can do about records that failed, for messages; not written.
    """

    def __init__(self, step: str) -> None:
        self.step = step
        self.seen = 0
        self.out = 0
        self.dropped: Counter[str] = Counter()
        self.bad = 0
        self.rejected: list[Rejected] = []
        self.notes: Record = {}
        self.remedy = ""

    def count_in(self, records: int = 1) -> None:
        """Count records that came in."""
        self.seen += records

    def drop(self, reason: str, *, where: str = "", record: Any = None, bad: bool = True) -> None:
        """Count a record as dropped and keep it; too many bad ones end the run (:meth:`check`).

        A record is bad if it failed: it is malformed, or could not be answered. One that is sound
        but of no use (its candidates are equal) is kept, too, and is not bad.
        """
        self.dropped[reason] += 1
        self.bad += bad
        self.rejected.append({"reason": reason, "where": where, "record": record})

    def leave_out(self, reason: str, records: int = 1) -> None:
        """Count sound records that are not wanted (a duplicate, one over a limit); not kept."""
        if records:
            self.dropped[reason] += records

    def kept(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass records on and count them as output."""
        for row in rows:
            self.out += 1
            yield row

    def check(self, max_bad_share: float, source: str) -> None:
        """Fail if no record is left, or more than the accepted share was dropped.

        Raises:
            UserError: with the counts and the first rejected record's place.
        """
        first = next((row["where"] for row in self.rejected if row["where"]), "")
        example = f"; the first at {first}" if first else ""
        if self.seen == 0:
            raise UserError(f"{source}: no records; at least one is needed")
        if self.bad > max_bad_share * self.seen:
            raise UserError(
                f"{source}: {self.bad} of {self.seen} records cannot be used "
                f"({self._reasons()}){example}; "
                f"accepted is a share of {max_bad_share:g} (max_bad_share)"
            )
        if sum(self.dropped.values()) == self.seen:
            raise UserError(f"{source}: no usable record is left ({self._reasons()}){example}")

    def _reasons(self) -> str:
        return ", ".join(f"{reason}: {count}" for reason, count in sorted(self.dropped.items()))

    def as_dict(self) -> LedgerContent:
        """The ledger's content as it is written.

        Raises:
            Unbalanced: records came in that are not accounted for.
        """
        if self.seen != self.out + sum(self.dropped.values()):
            raise Unbalanced(self.summary())
        content: LedgerContent = {
            "step": self.step,
            "in": self.seen,
            "out": self.out,
            "failed": self.bad,
            "dropped": dict(sorted(self.dropped.items())),
            "notes": self.notes,
            "rejected": self.rejected,
        }
        if not self.notes:
            del content["notes"]
        return content

    def counts(self) -> Record:
        """The ledger's content without the records themselves."""
        return {key: value for key, value in self.as_dict().items() if key != "rejected"}

    def summary(self) -> str:
        """One line for the log."""
        count = sum(self.dropped.values())
        dropped = f", dropped {count} ({self._reasons()})" if count else ""
        return f"{self.step}: in {self.seen}, out {self.out}{dropped}"

    def write(self, output: Path | str) -> None:
        """Write the ledger beside the output it belongs to, see :func:`ledger_path`."""
        write_json(ledger_path(output), self.as_dict())
        print(self.summary(), flush=True)


def ledger_path(output: Path | str) -> Path:
    """``train.jsonl`` has its ledger in ``train.ledger.json``."""
    return Path(output).with_suffix(".ledger.json")
