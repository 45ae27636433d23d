"""The members of a ``.nemo``, a plain tar, read in place; what NeMo never writes is refused.

Needs neither torch nor NeMo, so that a file can be checked before anything loads it.
"""

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from cai.core.errors import UserError, fail_if

CONFIG = "model_config.yaml"
MOST_MEMBERS = 10**6
MOST_SMALL = 2**30  # bytes of a member that is read at once: a configuration, a tokenizer


Bytes = io.RawIOBase | io.BufferedIOBase  # a file that is read


class Window(io.RawIOBase):
    """A read-only, seekable part of a file."""

    def __init__(self, file: Bytes, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """And sought in."""
        return True

    def tell(self) -> int:
        """Bytes from its beginning."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is something; returns how many bytes that were."""
        target = memoryview(buffer)[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(target) or 0
        self._at += count
        return count


class Members:
    """The files in an uncompressed tar. Use as a context manager.

    Raises:
        UserError: there is no such file, it is no plain tar or is cut short, or a member is
            something else than a file or folder or has a name that leads out of the folder in
            which it would be unpacked.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        fail_if(not self.path.is_file(), f"{path}: no such file")
        self._places = dict(self._find())
        self._file = open(self.path, "rb", buffering=0)

    def _find(self) -> dict[str, tuple[int, int]]:
        places: dict[str, tuple[int, int]] = {}
        size = self.path.stat().st_size
        try:
            with tarfile.open(self.path, "r:") as tar:
                for member in tar:
                    self._check(member)
                    name = normal(member.name)
                    if member.isfile():  # of two the last counts, as when it is unpacked
                        places[name] = (member.offset_data, member.size)
                    fail_if(len(places) > MOST_MEMBERS, f"{self.path}: has too many members")
            whole = all(0 <= length <= size - start for start, length in places.values())
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError):
            whole = False
        fail_if(
            not whole or not places,
            f"{self.path}: not a plain tar, or cut short; a compressed .nemo must be unpacked "
            "and packed again with `tar -cf`",
        )
        return places

    def _check(self, member: tarfile.TarInfo) -> None:
        where = f"{self.path}: the member {member.name[:200]!r}"
        path = PurePosixPath(member.name)
        fail_if(
            path.is_absolute() or ".." in path.parts or "\0" in member.name,
            f"{where} would be unpacked outside of its folder",
        )
        fail_if(
            not (member.isfile() or member.isdir()) or member.issparse(),
            f"{where} is a link or a device; accepted: files and folders",
        )

    def __enter__(self) -> "Members":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def window(self, name: str) -> Window:
        """A member's content, to be read and sought in."""
        return Window(self._file, *self._place(name))

    def read(self, name: str) -> bytes:
        """A small member's content."""
        start, length = self._place(name)
        fail_if(length > MOST_SMALL, f"{self.path}: {name}: {length} bytes are too many")
        self._file.seek(start)
        return self._file.read(length)

    def config(self) -> dict[str, Any]:
        """What model_config.yaml says."""
        try:
            config = yaml.safe_load(self.read(CONFIG))
        except (yaml.YAMLError, ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise UserError(f"{self.path}: {CONFIG} is no YAML mapping")
        return config

    def _place(self, name: str) -> tuple[int, int]:
        fail_if(name not in self._places, f"{self.path}: the archive has no member {name}")
        return self._places[name]


def normal(name: str) -> str:
    """A member's name without the folder that stands for the archive."""
    return str(PurePosixPath(name))
