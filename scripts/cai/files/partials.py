"""Half-written files and folders: named after their writer, removed once the writer has ended.

A file is written beside its place under a name that only its writer uses, and takes its place
when it is whole. A killed writer leaves it behind, 14.5 GB of a Mistral: the next writer of the
same file finds it. On a shared file system a writer may be on another host, where it cannot be seen
whether it still runs; there the file's age decides.
"""

import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cai.core.orphans import start_of

ABANDONED = 86400.0  # seconds without a change, after which a writer on another host is gone
HOST = platform.node().replace(".", "-")[:40] or "host"
WRITER = re.compile(r"(?P<host>[^.]+)\.(?P<pid>\d+)-(?P<start>\d+)\.partial")


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A sibling of ``target`` to write to; takes its name at the end, or is removed.

    What an earlier writer of the same target has left is removed first.

    Raises:
        OSError: it names the target, not the sibling.
    """
    me = os.getpid()
    path = target.with_name(f".{target.name}.{HOST}.{me}-{start_of(me) or 0}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target)
        try:
            yield path
            if path.is_dir() and target.is_dir():
                target.rmdir()  # only if it is empty
            os.replace(path, target)
        finally:
            _remove(path)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(path)):
            error.filename, error.filename2 = str(target), None
        raise


def remove_abandoned(target: Path) -> None:
    """Remove what writers of ``target`` that are gone have left beside it."""
    prefix = f".{target.name}."
    for entry in list(os.scandir(target.parent)):
        name = entry.name.removeprefix(prefix)
        if name != entry.name and _is_abandoned(Path(entry.path), name):
            _remove(Path(entry.path))


def _is_abandoned(path: Path, name: str) -> bool:
    writer = WRITER.fullmatch(name)
    if writer and writer["host"] == HOST:
        return start_of(int(writer["pid"])) not in (writer["start"], "0")
    if writer is None and not re.fullmatch(r"(\d+\.)?partial", name):  # of another file
        return False
    return time.time() - _changed(path) > ABANDONED


def _changed(path: Path) -> float:
    """When a file, or anything in a folder, was changed last; now if that cannot be said."""
    try:
        return max(part.lstat().st_mtime for part in [path, *path.rglob("*")])
    except OSError:
        return time.time()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """The bytes that a folder takes of the disk; what has several names in it counts once."""
    files = [path.lstat() for path in folder.rglob("*")]
    return sum({(file.st_dev, file.st_ino): file.st_blocks * 512 for file in files}.values())
