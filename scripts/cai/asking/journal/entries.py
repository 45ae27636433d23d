"""An append-only journal of finished work: what is in it is never done, or paid for, again.

Reuse is by key alone, a digest of all that determines an answer: the model's content, the text, the
sampling, the seed. It is guaranteed that an answer in a journal of the stage is taken from there,
whatever the shards, the batches and the order are now. It is not guaranteed that an answer that
was lost is identical when it is generated again: see :class:`cai.asking.client.Client`.

Each line has the last day on which a run used it. A run copies what it used and found in another
file, or under another day, to its own file under its own day: so a finished run's file holds all
that its output is made of, and shows what is in use. See
:mod:`cai.asking.journal.upkeep` for what is thrown away, and when.
"""

import errno
import fcntl
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeVar

from cai.core.errors import UserError
from cai.files.records import atomic

FINISHED = "finished"  # the key whose value is the day of the last run that came to its end
REFUSAL = "refusal"  # the key, in a value, of why a service does not answer a prompt
UNREADABLE = "unreadable"  # the key, in a value, of why a judge's answer cannot be read
FILES = 1 << 16  # a place in the index is offset * FILES + the number of the file
OWN = 0  # the number of the file that is written to
STAMPED_AT_ONCE = 1000  # entries
STALE_TRIES = 5  # to read a file that other nodes replace

Result = TypeVar("Result")


class Line(NamedTuple):
    """One line of a journal: an answer, whose it is, and whether it is in use.

    Attributes:
        day: the last day (UTC, ISO) on which a run used it; empty in journals of an older form.
        model: the beginning of the model's digest, or its name at a service.
        sampling: the beginning of a digest of the sampling parameters.
        by: the kind of server that answered, and its precision; empty in journals of an older form.
    """

    key: str
    value: Any
    day: str = ""
    model: str = ""
    sampling: str = ""
    by: str = ""

    def encode(self) -> bytes:
        """The line as it is written."""
        fields = {name: getattr(self, name) for name in ("key", "day", "model", "sampling", "by")}
        row = {name: text for name, text in fields.items() if text or name == "key"}
        return (json.dumps(row | {"value": self.value}, ensure_ascii=False) + "\n").encode()


def parse(raw: bytes) -> Line | None:
    """Read a line; None for one that is torn or malformed."""
    try:
        row = json.loads(raw)
        line = Line(**row)
    except (ValueError, TypeError):
        return None
    texts = (line.key, line.day, line.model, line.sampling, line.by)
    return line if raw.endswith(b"\n") and all(isinstance(text, str) for text in texts) else None


def is_refusal(value: Any) -> bool:
    """Whether a value says that the service refuses to answer, so it is not asked again."""
    return isinstance(value, dict) and REFUSAL in value


def stage_of(path: Path) -> str:
    """The stage that a journal belongs to: ``responses`` for ``responses-12.jsonl``.

    A journal without a shard's number is a stage of its own.
    """
    numbered = re.fullmatch(r"(.+)-[0-9]+", path.stem)
    return numbered[1] if numbered else path.stem


def siblings(path: Path) -> list[Path]:
    """The journals of the other shards of a journal's stage, of earlier shard counts too."""
    stage = stage_of(path)
    if stage == path.stem:
        return []
    name = re.compile(f"{re.escape(stage)}-[0-9]+{re.escape(path.suffix)}")
    return sorted(p for p in path.parent.iterdir() if name.fullmatch(p.name) and p != path)


def family(path: Path) -> list[Path]:
    """A journal of another run and its siblings, those of them that are there."""
    return [path, *siblings(path)] if path.parent.is_dir() else []


def today() -> str:
    """The day (UTC, ISO)."""
    return datetime.now(UTC).date().isoformat()


class Journal:
    """Values by key, in a JSON Lines file (see :class:`Line`) that grows, and in its siblings.

    A job writes to the file of its shard and reads those of all shards of its stage, so that
    another number of shards loses nothing; those of other runs' folders, too, where it is given
    them, which are never written to. In memory are keys and places, about 0.2 kB an entry;
    values are read when they are asked for.

    A process that is killed loses at most the batch that it was writing: a torn last line is cut
    off when the journal is opened again; a sibling's is ignored, it may be growing right now.
    One process writes to a file at a time, by an advisory lock that the system takes back when the
    process ends. A file of which more than half is superseded is rewritten when it is opened, so
    it is never longer than twice what it holds and what one run adds.

    Use as a context manager: leaving it without an exception marks the run as finished.

    Attributes:
        added: answers that this run has put into it.
        by: the kind of server that answers in this run, and its precision, see :class:`Line`.

    Args:
        path: the file, made when missing, such as ``responses-3.jsonl``; None keeps the values in
            memory only.
        others: files of other runs, each read with its siblings; none need be there.

    Raises:
        UserError: another process writes to it, or a line before the last is malformed.
    """

    def __init__(self, path: Path | str | None, *others: Path) -> None:
        self.path = Path(path) if path is not None else None
        self._others = others
        self._today = today()
        self._open_files = ExitStack()
        self._places: dict[str, int] = {}
        self._readers: list[IO[bytes]] = []
        self._indexed: list[Path] = []  # of the readers after the first
        self._to_stamp: set[str] = set()  # used, but not in this file under this day
        self.added = 0
        self._begun: int | None = None  # where this run's lines begin in its file
        self._reused: set[str] = set()
        self.by = ""
        self._others_gave: dict[str, set[str]] = defaultdict(set)
        if self.path is None:
            self._writer: IO[bytes] = BytesIO()
            self._readers = [self._writer]
            return
        try:
            self._open(self.path)
        except BaseException:
            self.close()
            raise

    @classmethod
    def reading(cls, *paths: Path) -> "Journal":
        """What all journals of a stage hold; what is put into it stays in memory.

        Args:
            paths: of any of them, one of each run; none need exist.
        """
        journal = cls(None)
        for each in chain.from_iterable(map(family, paths)):
            fresh(partial(journal._index_sibling, each))
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        with self._open_files:
            self._stamp()
            if kind is None and self.get(FINISHED) != self._today:
                self._append([Line(FINISHED, self._today, self._today)])

    def __len__(self) -> int:
        return len(self._places) - (FINISHED in self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Any:
        """The value of a key, or None. When a key was written more than once, the last counts.

        Raises:
            UserError: somebody else than a journal has changed a file since it was opened.
        """
        if key not in self._places:
            return None
        line = self._line(key)
        offset, number = divmod(self._places[key], FILES)
        if key != FINISHED and (number != OWN or offset < (self._begun or 0)):
            self._reused.add(key)
        if line.day != self._today or number != OWN:
            self._to_stamp.add(key)
        if line.by and self.by and line.by != self.by:
            self._others_gave[line.by].add(key)
        return line.value

    @property
    def otherwise(self) -> dict[str, int]:
        """How many answers were read that another server, or another precision, had given."""
        return {by: len(keys) for by, keys in sorted(self._others_gave.items())}

    @property
    def reused(self) -> int:
        """How many answers were read that this run has not put into it."""
        return len(self._reused)

    def put(self, key: str, value: Any, model: str = "", sampling: str = "") -> None:
        """Append one value, see :meth:`put_all`."""
        self.put_all({key: value}, model, sampling)

    def put_all(self, values: Mapping[str, Any], model: str = "", sampling: str = "") -> None:
        """Append the values of a finished batch, JSON-serialisable, and hand them to the disk."""
        origin = (self._today, model, sampling, self.by)
        self._append([Line(key, value, *origin) for key, value in values.items()])
        self.added += len(values)

    def correct(self, values: Mapping[str, Any]) -> None:
        """Put other values in place of those of some keys; they are no new answers."""
        if values:
            self._append(
                [self._line(k)._replace(value=v, day=self._today) for k, v in values.items()]
            )
            self._to_stamp -= values.keys()

    @property
    def paths(self) -> list[Path]:
        """The files that were named: its own, and one of each other run."""
        return [*([self.path] if self.path else []), *self._others]

    def close(self) -> None:
        """Close the files and give the lock back, as a run that did not finish."""
        self._open_files.close()

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer, locked = open_alone(path)
        self._open_files.enter_context(self._writer)
        reader = self._open_files.enter_context(open(path, "rb"))
        self._readers, self._indexed = [reader], []
        superseded = self._index_own(path, reader)
        if locked and superseded > reader.tell() / 2:
            self._rewrite(path)
            return
        self._begun = reader.tell() if self._begun is None else self._begun
        read_only = [*siblings(path), *chain.from_iterable(map(family, self._others))]
        for sibling in read_only:
            fresh(partial(self._index_sibling, sibling))

    def _index_own(self, path: Path, reader: IO[bytes]) -> int:
        """Index the file, cut off what a kill has torn; returns the bytes of superseded lines."""
        lengths: dict[str, int] = {}
        superseded = 0
        for number, (offset, raw) in enumerate(lines(reader), 1):
            line = parse(raw)
            if not raw.endswith(b"\n"):
                print(f"{path}: cut off a torn last line", file=sys.stderr)
                self._writer.truncate(offset)
                reader.seek(offset)
                break
            if line is None:
                raise UserError(
                    f'{path}:{number}: expected {{"key", "value"}}, found {raw[:60]!r}; '
                    "delete the line (scripts/journal.py prune does) and its result is made again"
                )
            superseded += lengths.get(line.key, 0)
            lengths[line.key] = len(raw)
            self._places[line.key] = offset * FILES
        return superseded

    def _index_sibling(self, path: Path) -> None:
        """Index what the file has and this one has not; what cannot be read counts as missing."""
        places: dict[str, int] = {}
        unreadable = 0
        try:
            reader = self._open_files.enter_context(open(path, "rb"))
            for offset, raw in lines(reader):
                line = parse(raw)
                if line is not None and line.key != FINISHED:
                    places[line.key] = offset * FILES + len(self._readers)
                unreadable += line is None and raw.endswith(b"\n")
        except FileNotFoundError:  # nothing was left in it, and it was taken away
            return
        self._readers.append(reader)
        self._indexed.append(path)
        for key, place in places.items():
            self._places.setdefault(key, place)
        if unreadable:
            print(f"{path}: ignored {unreadable} malformed lines", file=sys.stderr)

    def _rewrite(self, path: Path) -> None:
        """Leave the superseded lines out, then open the file anew."""
        with atomic(path, "wb") as stream:
            for place in sorted(self._places.values()):
                self._readers[OWN].seek(place // FILES)
                stream.write(self._readers[OWN].readline())
        self._open_files.close()
        self._places.clear()
        self._open(path)

    def _reopen(self) -> None:
        """Open all files anew: another node has put a new file in the place of one of them.

        A network's file system then takes the old one away while it is open (ESTALE). What was
        thrown away was superseded, or is in another file: nothing that is used is lost.
        """
        if self.path is None:
            paths, own = self._indexed, self._readers[OWN]
            self._places = {k: v for k, v in self._places.items() if v % FILES == OWN}
            self._open_files.close()
            self._readers, self._indexed = [own], []
            for path in paths:
                fresh(partial(self._index_sibling, path))
            return
        self._open_files.close()
        self._places.clear()
        self._open(self.path)

    def _line(self, key: str) -> Line:
        return fresh(partial(self._read, key), self._reopen)

    def _read(self, key: str) -> Line:
        if key not in self._places:
            raise UserError(
                f"{self.path}: an answer was thrown away while it was read; run the command again"
            )
        offset, number = divmod(self._places[key], FILES)
        reader = self._readers[number]
        reader.seek(offset)
        line = parse(reader.readline())
        if line is None or line.key != key:
            raise UserError(f"{reader.name}: was changed while it was read; run the command again")
        return line

    def _stamp(self) -> None:
        """Copy what this run used of other files and days to this file, under this day."""
        keys = iter(sorted(self._to_stamp, key=self._places.__getitem__))
        while some := list(islice(keys, STAMPED_AT_ONCE)):
            self._append([self._line(key)._replace(day=self._today) for key in some])
        self._to_stamp.clear()

    def _append(self, entries: Sequence[Line]) -> None:
        fresh(partial(self._append_once, entries), self._reopen)

    def _append_once(self, entries: Sequence[Line]) -> None:
        encoded = [entry.encode() for entry in entries]
        offset = self._writer.seek(0, os.SEEK_END)
        try:
            self._write(b"".join(encoded))
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise
            self._writer.truncate(offset)  # a full disk: no half batch, others follow whole lines
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        for entry, raw in zip(entries, encoded, strict=True):
            self._places[entry.key] = offset * FILES
            offset += len(raw)

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):  # an unbuffered write may take less than it is given
            written += self._writer.write(data[written:])
        if self.path is not None:
            os.fsync(self._writer.fileno())


def fresh(act: Callable[[], Result], renew: Callable[[], None] = lambda: None) -> Result:
    """What ``act`` returns; where a file was taken away under it (ESTALE), again after ``renew``.

    Raises:
        UserError: it happens each time.
    """
    for left in reversed(range(STALE_TRIES)):
        try:
            return act()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            if not left:
                raise UserError(f"{error.filename or 'a journal'}: {error.strerror}") from None
        renew()
    raise AssertionError("the last try returns or raises")


def lines(reader: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a file with its offset."""
    offset = 0
    for raw in reader:
        yield offset, raw
        offset += len(raw)


def open_alone(path: Path) -> tuple[IO[bytes], bool]:
    """Open a journal to append to it, as its only writer until it is closed.

    Returns:
        The file, unbuffered, and whether it is locked: not every file system has locks.

    Raises:
        UserError: another process is writing to it.
    """
    while True:
        stream = fresh(lambda: open(path, "a+b", buffering=0))
        try:
            locked = _lock(stream, path)
            if _is_at(stream, path):
                return stream, locked
        except BaseException:
            stream.close()
            raise
        stream.close()  # it was rewritten between our opening and our locking it


def _is_at(stream: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return False


def _lock(stream: IO[bytes], path: Path) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{path}: another process is writing to this journal") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        print(f"{path}: this file system has no locks, continuing without", file=sys.stderr)
        return False
    return True
