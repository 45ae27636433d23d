"""A ``.nemo`` archive as a folder, made once for all processes that load it.

From an archive, each process of a NeMo program unpacks everything into its own temporary folder,
twice: 16 copies of the model on a node of 8 GPUs, in a container's memory. All six programs take
the unpacked folder in the archive's place. It is beside the work of a run, on the file system
that all nodes of a job share: there one copy serves all its nodes and the other jobs that load the
same model at that time, and what a killed job has left is found from any node. On a node's own disk
each would need a copy, and a node that the next job does not get would keep its own.

A user of a folder holds its lock file, shared; who makes or removes it holds the lock alone. The
kernel frees a lock when its process ends, so a folder whose lock is free is not in use.
"""

import fcntl
import os
import platform
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.models.nemo_tokenizer import FOLDER, REWRITTEN, settle_in_folder
from cai.nemo.composition import read_value
from cai.settings.overrides import value

ARCHIVE = ".nemo"
PLACE = "unpacked"  # beside what a job resumes from
LOCK, PARTIAL = ".lock", ".partial"
SPARE = 2**26  # bytes that stay free


@contextmanager
def unpacked(commands: Sequence[Sequence[str]], work: Path) -> Iterator[list[list[str]]]:
    """The commands with folders in the place of the archives that their arguments name.

    Args:
        commands: of NeMo's programs; ``KEY=FILE.nemo`` in them names an archive, if there is one.
        work: where the folders are made, in ``unpacked``.

    Raises:
        UserError: an archive is damaged, or there is no room for it.
    """
    with ExitStack() as stack:
        folders: dict[Path, Path] = {}

        def folder(archive: Path) -> Path:
            if archive not in folders:
                folders[archive] = stack.enter_context(opened(archive, work / PLACE))
            return folders[archive]

        def replaced(argument: str) -> str:
            archive = _archive(argument)
            if archive is None:
                return argument
            key = argument.partition("=")[0]
            return f"{key}={value(str(folder(archive).resolve()))}"

        yield [[replaced(argument) for argument in command] for command in commands]


def _archive(argument: str) -> Path | None:
    _, equals, text = argument.partition("=")
    if not equals or ARCHIVE not in text or text.startswith(("{", "[")):
        return None
    path = Path(str(read_value(text)))
    return path if path.suffix == ARCHIVE and path.is_file() else None


@contextmanager
def opened(archive: Path, place: Path) -> Iterator[Path]:
    """The folder of an archive, for as long as it is needed; the last one to need it removes it.

    Raises:
        UserError: the archive is damaged, or there is no room for it.
    """
    status = archive.stat()
    known = [str(archive.resolve()), status.st_ino, status.st_size, status.st_mtime_ns]
    name = f"{archive.stem}-{digest([*known, status.st_ctime_ns])[:12]}"
    with _Lock(place / f"{name}{LOCK}") as lock:
        lock.take()  # which shows whether there are locks on this file system
        folder = place / (name if lock.works else f"{name}.{platform.node()}.{os.getpid()}")
        _sweep(place, name)
        while not (lock.share() and _is_whole(folder, archive)):
            if lock.take():
                _unpack(archive, folder)
        try:
            yield folder
        finally:
            if lock.take():
                _remove(folder, lock.path)
    with suppress(OSError):
        place.rmdir()  # if it is empty


class _Lock:
    """An advisory lock on a file. Where the file system has none, everybody has it.

    Attributes:
        path: the file.
        works: whether the file system has locks.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.works = path, True
        self._stream = self._open()

    def _open(self) -> IO[str]:
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another job has just removed the empty folder
                return open(self.path, "a+")

    def __enter__(self) -> "_Lock":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def take(self) -> bool:
        """Lock it for one user, if it is not in use."""
        return self._hold(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def share(self) -> bool:
        """Lock it with other users, as soon as no one holds it alone."""
        return self._hold(fcntl.LOCK_SH)

    def _hold(self, how: int) -> bool:
        while True:
            try:
                fcntl.flock(self._stream, how)
            except BlockingIOError:
                return False
            except OSError:
                self.works = False
                return True
            if self._is_there():
                return True
            self._stream.close()  # the one who held it alone has removed it
            self._stream = self._open()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False


def _sweep(place: Path, own: str) -> None:
    """Remove the folders of jobs that were killed."""
    for path in place.glob(f"*{LOCK}"):
        name = path.name.removesuffix(LOCK)
        if name == own:
            continue
        with _Lock(path) as lock:
            if lock.works and lock.take():
                _remove(place / name, path)
    for folder in place.glob(f"*.{platform.node()}.*"):  # on file systems without locks
        process = folder.name.removesuffix(PARTIAL).rpartition(".")[2]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path, lock: Path) -> None:
    for each in (folder, _partial(folder)):
        shutil.rmtree(each, ignore_errors=True)
    lock.unlink(missing_ok=True)


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + PARTIAL)


def _is_whole(folder: Path, archive: Path) -> bool:
    """Whether a folder holds each of an archive's files, as it was unpacked."""
    if not folder.is_dir():
        return False
    members = _members(archive)
    changed = REWRITTEN if any(name.startswith(f"{FOLDER}/") for name in members) else ()
    for name, member in members.items():
        path = folder / name
        if not path.is_file():
            return False
        if name in changed:
            continue
        status = path.stat()
        if (status.st_size, int(status.st_mtime)) != (member.size, int(member.mtime)):
            return False
    return True


def _members(archive: Path) -> dict[str, tarfile.TarInfo]:
    """The files of an archive by their paths in the folder; of two the last one counts."""
    try:
        with tarfile.open(archive) as tar:
            members = [member for member in tar.getmembers() if member.isfile()]
            return {os.path.normpath(member.name.lstrip("/")): member for member in members}
    except tarfile.TarError as error:
        raise UserError(f"{archive}: not a whole .nemo archive ({error})") from None


def _unpack(archive: Path, folder: Path) -> None:
    """Make the folder in one step; what is half made has another name."""
    partial = _partial(folder)
    for former in (folder, partial):
        shutil.rmtree(former, ignore_errors=True)
    sizes = [member.size for member in _members(archive).values()]
    check_room(sum(sizes), folder.parent, archive)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        settle_in_folder(partial, folder)
    except tarfile.TarError as error:
        raise UserError(f"{archive}: cannot be unpacked: {error}") from None
    except OSError as error:
        raise UserError(f"{folder.parent}: {archive} is unpacked there: {error.strerror}") from None
    os.replace(partial, folder)
    fail_if(not _is_whole(folder, archive), f"{archive}: its files are not those that it lists")


def check_room(needed: int, place: Path, archive: Path, hint: str = "") -> None:
    """Refuse to unpack, or to pack, where there is no room.

    Args:
        needed: bytes.
        place: the folder.
        archive: what is packed or unpacked there, or as large.
        hint: what to do about it.

    Raises:
        UserError: the folder, what is free and what is needed.
    """
    free = shutil.disk_usage(place).free - SPARE
    fail_if(
        free < needed,
        f"{place}: {_gigabytes(max(free, 0))} are free, {_gigabytes(needed)} are needed for the "
        f"files of {archive}{hint}",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
