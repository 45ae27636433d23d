"""Scratch files that are read back in another order: shuffles that need little memory."""

import heapq
import json
import tempfile
from collections.abc import Container, Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Generic, Self

from cai.files.records import Row, named_errors


class Spool(Generic[Row]):
    """Records on disk, of which only a sort key, a group and a place each are held in memory.

    Read back in the order of their keys, the records do not depend on the order they came in. Use
    as a context manager; the file has no name and is gone at the end, whatever happens.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)
        self._index: list[tuple[float, str, int]] = []
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with named_errors(self._folder):
            self._file.close()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, key: float, record: Row, group: str = "") -> None:
        """Append a record; ``key`` (of :func:`cai.files.records.uniform`) is its place."""
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        with named_errors(self._folder):
            self._file.write(line)
        self._index.append((key, group, self._end))
        self._end += len(line)

    def groups(self, most: int | None = None) -> list[str]:
        """The group of each record, in the order of the keys, of the first ``most``."""
        return [group for _, group, _ in sorted(self._index)[:most]]

    def records(
        self, most: int | None = None, groups: Container[str] | None = None
    ) -> Iterator[Row]:
        """Yield the first ``most`` records in the order of their keys, those of ``groups``."""
        for _, group, place in sorted(self._index)[:most]:
            if groups is None or group in groups:
                with named_errors(self._folder):
                    self._file.seek(place)  # writes what is left to write
                yield json.loads(self._file.readline())


class Blend(Generic[Row]):
    """Harmlessness data and at most ``ratio`` as much helpfulness data, evenly interleaved."""

    def __init__(self, folder: Path, ratio: float) -> None:
        self.ratio = ratio
        with ExitStack() as stack:
            self.harmless: Spool[Row] = stack.enter_context(Spool(folder))
            self.helpful: Spool[Row] = stack.enter_context(Spool(folder))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.harmless) + self.helpful_taken

    @property
    def helpful_taken(self) -> int:
        """How many helpful records are in the blend: the first ones in the order of their keys."""
        return min(len(self.helpful), round(self.ratio * len(self.harmless)))

    @property
    def helpful_left(self) -> int:
        """How many helpful records are beyond the ratio."""
        return len(self.helpful) - self.helpful_taken

    @property
    def groups(self) -> list[str]:
        """The groups of the blend's records."""
        return self.harmless.groups() + self.helpful.groups(self.helpful_taken)

    def records(self, groups: Container[str] | None = None) -> Iterator[Row]:
        """Yield the records (of ``groups``); every stretch has nearly the whole's proportions."""
        halves = ((self.harmless, len(self.harmless)), (self.helpful, self.helpful_taken))
        placed = [_placed(spool, most, groups) for spool, most in halves]
        return (record for _, record in heapq.merge(*placed, key=itemgetter(0)))


def _placed(
    spool: Spool[Row], most: int, groups: Container[str] | None
) -> Iterator[tuple[float, Row]]:
    """The records with evenly spaced places in (0, 1)."""
    count = sum(groups is None or group in groups for group in spool.groups(most))
    for rank, record in enumerate(spool.records(most, groups)):
        yield (rank + 0.5) / count, record
