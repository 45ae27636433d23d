"""Records that are read when they are needed: of a shard, and of a step's output."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from cai.core.errors import fail_if
from cai.files.documents import dump_json
from cai.files.records import Row, in_shard, located_records, named_errors

Some = TypeVar("Some", covariant=True)


class Rows(Protocol[Some]):
    """Records that can be counted and gone through more than once, such as a list."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[Some]:
        """Yield them in their order."""


class ShardRecords(Generic[Row]):
    """The records of a file that belong to a shard, of which one at a time is in memory.

    All are read, and so checked, when it is made.

    Raises:
        UserError: the first line that is malformed or not of the kind, or whose id another has.
    """

    def __init__(self, path: Path, kind: type[Row], shard: tuple[int, int]) -> None:
        self._path, self._kind, self._shard = path, kind, shard
        self._count = self._counted()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for _, row in self._located():
            yield row

    def _located(self) -> Iterator[tuple[str, Row]]:
        for where, row in located_records(self._path, self._kind):
            if in_shard(row["id"], *self._shard):
                yield where, row

    def _counted(self) -> int:
        seen: set[str] = set()
        for where, row in self._located():
            name = row["id"]
            fail_if(
                name in seen,
                f"{where}: id: found {name!r}, which an earlier record has; accepted: one of its "
                "own for each record",
            )
            seen.add(name)
        return len(seen)


class Spooled(Generic[Row]):
    """Records in a file without a name, which is gone with the object; read by one at a time."""

    def __init__(self, rows: Iterable[Row], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._count = folder, 0
        self._file = tempfile.TemporaryFile(dir=folder)
        for row in rows:
            with named_errors(folder):
                self._file.write(dump_json(row).encode() + b"\n")
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        with named_errors(self._folder):
            self._file.seek(0)  # writes what is left to write
        for line in self._file:
            yield json.loads(line)
