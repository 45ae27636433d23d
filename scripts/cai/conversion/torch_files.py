"""What ``torch.save`` has written, read as data: a zip with a pickle and the tensors' numbers.

``torch.load`` is not used on what comes from others: with all guards on, versions before 2.6 still
run what an old-style file asks for. Needs no torch.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

from cai.conversion.pickles import BadPickle, Made, Name, Reference, parts, read_pickle
from cai.files.members import Bytes

MOST_PICKLE = 2**26  # bytes; that of a tensor has 200
ITEM_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
REBUILD = ("torch._utils", "_rebuild_tensor_v2")
TENSOR = {REBUILD, ("collections", "OrderedDict"), *(("torch", name) for name in ITEM_BYTES)}
# What the state of a Transformer Engine module may hold beside tensors.
RECIPE = {
    ("transformer_engine.common.recipe", name)
    for name in ("DelayedScaling", "Format", "_FormatHelper")
}
STATE = TENSOR | RECIPE | {("_io", "BytesIO"), ("_codecs", "encode"), ("torch", "Size")}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's numbers are in its file, and in which layout.

    Attributes:
        storage: torch's name of their kind, such as ``FloatStorage``.
        member: of the zip.
        offset: of the first, counted in numbers.
        sizes: the shape.
        strides: numbers from one to the next, by dimension.
    """

    storage: str
    member: str
    nbytes: int
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


@contextmanager
def opened(stream: Bytes) -> Iterator[zipfile.ZipFile]:
    """The zip of a file that torch has saved.

    Raises:
        BadPickle: it is none, or what is read of it is damaged.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, struct.error):
        raise BadPickle("damaged") from None
    except (NotImplementedError, RuntimeError, EOFError, ValueError, LookupError, TypeError):
        raise BadPickle("damaged") from None


def stored_tensor(archive: zipfile.ZipFile) -> StoredTensor:
    """The one tensor that a file holds."""
    value, folder = _content(archive, TENSOR)
    return _stored(archive, folder, value)


def stored_tensors(archive: zipfile.ZipFile) -> dict[str, StoredTensor]:
    """The tensors that a file holds by name, as a model's ``state_dict`` is saved."""
    value, folder = _content(archive, TENSOR)
    named = value.state if type(value) is Made else value
    if type(named) is not dict or not all(type(name) is str for name in named):
        raise BadPickle("damaged: it holds something else than tensors by name")
    return {name: _stored(archive, folder, tensor) for name, tensor in named.items()}


def _stored(archive: zipfile.ZipFile, folder: str, value: Any) -> StoredTensor:
    if type(value) is not Made or value.name != Name(*REBUILD):
        raise BadPickle("damaged: it holds something else than a tensor")
    reference, offset, sizes, strides = value.arguments[:4]
    if type(reference) is not Reference:
        raise BadPickle("damaged")
    kind, storage, key, _, count = reference.key
    stored = archive.getinfo(f"{folder}data/{key}")
    whole = (
        kind == "storage"
        and type(storage) is Name
        and storage.name in ITEM_BYTES
        and all(_is_size(number) for number in (offset, count, *sizes, *strides))
        and stored.file_size == count * ITEM_BYTES[storage.name]
        and stored.compress_type == zipfile.ZIP_STORED
        and len(sizes) == len(strides)
        and prod(sizes) <= count
    )
    if not whole or _byte_order(archive, folder) != "little":
        raise BadPickle("damaged: its numbers are not where it says")
    return StoredTensor(
        storage.name, stored.filename, stored.file_size, offset, tuple(sizes), tuple(strides)
    )


def check_state(archive: zipfile.ZipFile) -> None:
    """Refuse the saved state of a module, or anything small, that would run when it is loaded.

    Raises:
        BadPickle: what is in it.
    """
    value, folder = _content(archive, STATE)
    for inner in _pickled(value, archive, folder):
        _check_pickled(inner)


def _pickled(value: Any, archive: zipfile.ZipFile, folder: str) -> Iterator[bytes]:
    """Bytes within a state: Transformer Engine keeps a pickle in them and loads it freely."""
    for made in _walk(value):
        if made.name == Name("_io", "BytesIO"):
            yield _bytes(made.arguments[0])
        elif made.name == Name(*REBUILD) and made.arguments[0].key[1].name == "ByteStorage":
            info = archive.getinfo(f"{folder}data/{made.arguments[0].key[2]}")
            if info.file_size > MOST_PICKLE or info.compress_type != zipfile.ZIP_STORED:
                raise BadPickle("a state is too large")
            yield archive.read(info)


def _walk(value: Any) -> Iterator[Made]:
    seen: set[int] = set()
    work = [value]
    while work:
        item = work.pop()
        if id(item) not in seen:
            seen.add(id(item))
            work.extend(parts(item))
            if type(item) is Made:
                yield item


def _bytes(value: Any) -> bytes:
    """Bytes as protocol 2 has them, ``_codecs.encode(text, "latin1")``, or as the later ones do."""
    if type(value) is Made and value.name == Name("_codecs", "encode"):
        return bytes(value.arguments[0].encode("latin-1"))
    if type(value) is not bytes:
        raise BadPickle("damaged")
    return value


def _check_pickled(content: bytes) -> None:
    if content.startswith(b"PK"):
        with opened(io.BytesIO(content)) as archive:
            check_state(archive)
    elif content:
        read_pickle(content, STATE)


def _content(archive: zipfile.ZipFile, allowed: set[tuple[str, str]]) -> tuple[Any, str]:
    """What a file's pickle describes, and the folder of the zip that holds everything."""
    names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(names) != 1:
        raise BadPickle("damaged: it holds no data.pkl, or several")
    info = archive.getinfo(names[0])
    if info.file_size > MOST_PICKLE or info.compress_type != zipfile.ZIP_STORED:
        raise BadPickle("its data.pkl is too large")
    value = read_pickle(archive.read(info), allowed)
    return value, names[0].removesuffix("data.pkl")


def _byte_order(archive: zipfile.ZipFile, folder: str) -> str:
    name = f"{folder}byteorder"
    return archive.read(name).decode("ascii") if name in archive.namelist() else "little"


def _is_size(number: Any) -> bool:
    return type(number) is int and number >= 0
