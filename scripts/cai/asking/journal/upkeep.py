"""The upkeep of journals: what they hold, whether it is intact, what can be removed.

What may go, and what never does:

- A line is *superseded* when a later line of its file has its key. A run that opens its file
  rewrites it when more than half of it is superseded, so no file grows by being used.
- An entry is *in use* when the last run that finished with its file used it: the present output of
  that shard is made of it. It is never thrown away here.
- Other entries (of earlier models, prompts, principles; of a run that is to be resumed) are worth
  what generating them cost, so only the user throws them away: by the days since a run last used
  them. One that is in use in a sibling is a mere copy there, and always goes.
"""

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from cai.asking.journal.entries import (
    FINISHED,
    REFUSAL,
    UNREADABLE,
    Line,
    family,
    lines,
    open_alone,
    parse,
    stage_of,
    today,
)
from cai.core.errors import UserError, fail_if
from cai.files.records import atomic

KEY = re.compile("[0-9a-f]{64}")
DAY = re.compile("([0-9]{4}-[0-9]{2}-[0-9]{2})?")


class KeptLine(NamedTuple):
    """The line that counts for a key in one file, without its value.

    Attributes:
        use: why its answer is of none: ``unreadable``, ``refusal``; empty if it is.
    """

    offset: int
    day: str
    model: str
    sampling: str
    use: str = ""


class Contents:
    """One journal as it is on the disk.

    Attributes:
        entries: the last line of each key.
        finished: the day of the last run that finished, empty if none did.
        superseded: lines before the last one of their key.
        torn: whether the last line is not whole; a job may be writing it right now.
        problems: what is wrong, a line each: malformed lines, keys and days that cannot be, two
            answers under one key.

    Raises:
        UserError: no line of the file is a journal's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, KeptLine] = {}
        self.finished = ""
        self.superseded = self.malformed = self.size = 0
        self.torn = False
        self.problems: list[str] = []
        status = path.stat()
        # lines of an older form have no day: they are not younger than the file
        self._no_later_than = datetime.fromtimestamp(status.st_mtime, UTC).date().isoformat()
        with open(path, "rb") as stream:
            for number, (offset, raw) in enumerate(lines(stream), 1):
                self._take(number, offset, raw)
        foreign = self.malformed and not self.entries and not self.finished
        fail_if(foreign, f"{path}: not a journal: it has no line of a key and a value")

    def in_use(self) -> Iterator[str]:
        """The keys that the last finished run used."""
        if self.finished:
            yield from (key for key, entry in self.entries.items() if entry.day >= self.finished)

    def _take(self, number: int, offset: int, raw: bytes) -> None:
        self.size += len(raw)
        line = parse(raw)
        if not raw.endswith(b"\n"):
            self.torn = True
        elif line is None:
            self.malformed += 1
            self.problems.append(f"{self.path}:{number}: malformed line {raw[:60]!r}")
        elif line.key == FINISHED:
            self.superseded += bool(self.finished)
            self.finished = str(line.value)
        else:
            self._add(number, offset, line)

    def _add(self, number: int, offset: int, line: Line) -> None:
        wrong = _wrong(line)
        if wrong:
            self.problems.append(f"{self.path}:{number}: {wrong}")
        if line.key in self.entries:
            self.superseded += 1
            with open(self.path, "rb") as stream:
                before = _line_at(stream, self.entries[line.key].offset)
            if _answer(before.value) != _answer(line.value):
                self.problems.append(f"{self.path}:{number}: another answer under the same key")
        day, model, sampling = map(
            sys.intern, (line.day or self._no_later_than, line.model, line.sampling)
        )
        self.entries[line.key] = KeptLine(offset, day, model, sampling, _use(line.value))


class Pruned(NamedTuple):
    """What a pruning keeps, and what it throws away: in lines, but for the bytes."""

    kept: int = 0
    superseded: int = 0
    malformed: int = 0
    copies: int = 0
    old: int = 0
    bytes_freed: int = 0


def journals(folder: Path) -> dict[str, list[Path]]:
    """The journals of a folder by stage.

    Raises:
        UserError: there is no such folder.
    """
    fail_if(
        not folder.is_dir(),
        f"{folder}: no such folder; has the workflow run yet? The demo's journals: --profile "
        "profiles/demo",
    )
    stages: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("[!.]*.jsonl")):
        stages.setdefault(stage_of(path), []).append(path)
    return stages


def verify(path: Path) -> list[str]:
    """What is wrong with a journal, a line each; a torn last line only if no job is writing it."""
    contents = Contents(path)
    if contents.torn and not _is_written(path):
        return [*contents.problems, f"{path}: torn last line; the next run will cut it off"]
    return contents.problems


def prune(paths: Sequence[Path], older_than: int | None, *, dry_run: bool = False) -> Pruned:
    """Throw away what a stage does not need, while no job can write to it.

    Args:
        paths: all journals of the stage.
        older_than: also entries that are not in use and that no run has used for so many days.
        dry_run: only print what would be removed.

    Raises:
        UserError: a job is writing, or the file system cannot say; nothing was changed.
    """
    before = ""
    if older_than is not None:
        before = (date.fromisoformat(today()) - timedelta(days=older_than)).isoformat()
    with _alone(paths, dry_run) as files:
        in_use = {key for contents in files for key in contents.in_use()}
        done = [_pruned(c, in_use, before, dry_run) for c in files]
    return Pruned(*map(sum, zip(Pruned(), *done, strict=True)))


@contextmanager
def _alone(paths: Sequence[Path], dry_run: bool) -> Iterator[list[Contents]]:
    """The journals of a stage, while no job can write to them."""
    with ExitStack() as held:
        for path in paths:
            stream, locked = open_alone(path)
            held.enter_context(stream)
            fail_if(
                not locked and not dry_run,
                f"{path}: left as it is: without locks it cannot be known whether a job writes it",
            )
        yield [Contents(path) for path in paths]


def _pruned(contents: Contents, in_use: set[str], before: str, dry_run: bool) -> Pruned:
    """Prune one file; days sort as texts, and none is before the empty one."""
    mine = set(contents.in_use())
    others = {key: entry for key, entry in contents.entries.items() if key not in mine}
    copies = others.keys() & in_use
    old = {key for key, entry in others.items() if entry.day < before} - copies
    kept = [e for key, e in contents.entries.items() if key not in copies and key not in old]
    wrong = contents.malformed + contents.torn
    size = contents.size
    if contents.superseded or wrong or copies or old:
        size = _rewrite(contents, kept, dry_run)
    return Pruned(
        len(kept), contents.superseded, wrong, len(copies), len(old), contents.size - size
    )


def _rewrite(contents: Contents, kept: Sequence[KeptLine], dry_run: bool) -> int:
    """Keep only these entries in the file, or remove it if there are none; returns its new size."""
    if dry_run:
        return sum(map(len, _encoded(contents, kept)))
    if not kept:
        contents.path.unlink()
        return 0
    with atomic(contents.path, "wb") as stream:
        return sum(map(stream.write, _encoded(contents, kept)))


def _encoded(contents: Contents, kept: Sequence[KeptLine]) -> Iterator[bytes]:
    """The lines of a file with these entries, in their order, and with its mark."""
    with open(contents.path, "rb") as stream:
        for entry in kept:
            yield _line_at(stream, entry.offset)._replace(day=entry.day).encode()
    if kept and contents.finished:
        yield Line(FINISHED, contents.finished, contents.finished).encode()


def forget(paths: Sequence[Path], uses: Collection[str], *, dry_run: bool = False) -> int:
    """Throw away the answers of a stage that are of no use, so that they are asked again.

    Args:
        paths: all journals of the stage.
        uses: which of them, see :class:`KeptLine`.
        dry_run: only count.

    Returns:
        How many answers.

    Raises:
        UserError: a job is writing, or the file system cannot say; nothing was changed.
    """
    with _alone(paths, dry_run) as files:
        gone = {key for c in files for key, entry in c.entries.items() if entry.use in uses}
        for contents in files:
            kept = [entry for key, entry in contents.entries.items() if key not in gone]
            if len(kept) < len(contents.entries):
                _rewrite(contents, kept, dry_run)
    return len(gone)


def of_no_use(paths: Sequence[Path], use: str) -> int:
    """How many answers of a stage are of no use, see :class:`KeptLine`."""
    files = [Contents(path) for path in paths]
    return len({key for c in files for key, entry in c.entries.items() if entry.use == use})


def stages_of(places: Sequence[Path]) -> dict[str, list[Path]]:
    """The journals of each stage in folders, and of the stages that single journals belong to.

    Raises:
        UserError: there is no such folder or file.
    """
    found: dict[str, list[Path]] = {}
    for place in places:
        if place.is_dir():
            found |= {str(place / stage): paths for stage, paths in journals(place).items()}
            continue
        paths = [path for path in family(place) if path.is_file()]
        fail_if(not paths, f"{place}: no such journal")
        found[str(place.parent / stage_of(place))] = paths
    return found


def _use(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    return next((use for use in (UNREADABLE, REFUSAL) if use in value), "")


def _answer(value: Any) -> Any:
    """A value without what was noted of it later; texts alone are of an older form."""
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if name != UNREADABLE}


def _line_at(stream: IO[bytes], offset: int) -> Line:
    """A line of which an entry knows, so it could be read before."""
    stream.seek(offset)
    line = parse(stream.readline())
    if line is None:
        raise UserError(f"{stream.name}: has changed while it was read; run the same command again")
    return line


def _wrong(line: Line) -> str:
    """What is wrong with a line that can be read; empty if it is right."""
    if not KEY.fullmatch(line.key):
        return f"expected a key of 64 hexadecimal digits, found {line.key[:60]!r}"
    if not DAY.fullmatch(line.day):
        return f"expected a day as YYYY-MM-DD, found {line.day[:60]!r}"
    return f"the day is in the future: {line.day}" if line.day > today() else ""


def _is_written(path: Path) -> bool:
    try:
        stream, _ = open_alone(path)
    except UserError:
        return True
    stream.close()
    return False
