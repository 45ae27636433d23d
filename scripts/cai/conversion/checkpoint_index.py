"""What the ``.metadata`` of a torch distributed checkpoint says, read as data.

Torch pickles its own classes there. They are neither imported nor made: only the needed values are
read and checked. Needs no torch.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from cai.conversion.pickles import BadPickle, Made, Name, read_pickle

Sizes = tuple[int, ...]
METADATA = "torch.distributed.checkpoint.metadata"
DTYPES = (
    *("float32", "bfloat16", "float16", "float64", "uint8", "int8", "int16", "int32", "int64"),
    *("bool", "float8_e4m3fn", "float8_e5m2"),
)
ALLOWED = {
    *((METADATA, name) for name in ("Metadata", "MetadataIndex", "StorageMeta")),
    *((METADATA, name) for name in ("TensorStorageMetadata", "BytesStorageMetadata")),
    *((METADATA, name) for name in ("ChunkStorageMetadata", "TensorProperties")),
    (METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    *(("torch", name) for name in (*DTYPES, "Size", "strided")),
    ("collections", "OrderedDict"),
    *((module, "PosixPath") for module in ("pathlib", "pathlib._local")),
}


@dataclass(frozen=True)
class Chunk:
    """A part of a tensor: where it begins in the whole, and its shape."""

    offsets: Sizes
    sizes: Sizes


@dataclass(frozen=True)
class Tensor:
    """A tensor: torch's name of its dtype, its global shape and its parts."""

    dtype: str
    shape: Sizes
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Place:
    """Where a part or a state is stored: the file, the first byte and how many."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class Index:
    """The tensors by their names; the places of their parts by (name, offsets).

    A state's place is that of (name, None).
    """

    tensors: dict[str, Tensor]
    places: dict[tuple[str, Sizes | None], Place]


def read_index(content: bytes) -> Index:
    """Read the ``.metadata`` of a checkpoint.

    Raises:
        BadPickle: it names something that no checkpoint names, or contradicts itself.
    """
    value = read_pickle(content, ALLOWED)
    try:
        fields = _fields(value, "Metadata")
        entries = fields["state_dict_metadata"].items()
        known: dict[int, tuple[Chunk, ...]] = {}
        tensors = {
            key: _tensor(key, entry, known)
            for key, entry in entries
            if entry.name.name == "TensorStorageMetadata"
        }
        places = dict(_place(*item) for item in fields["storage_data"].items())
    except (AttributeError, LookupError, TypeError, ValueError):
        raise BadPickle("damaged") from None
    return Index(tensors, places)


def _fields(value: Any, name: str) -> dict[str, Any]:
    """The attributes of an object, which must be one of the class that is named."""
    if type(value) is not Made or value.name.name != name or type(value.state) is not dict:
        raise BadPickle(f"damaged: no {name} where one is needed")
    return value.state


def _tensor(key: str, entry: Made, known: dict[int, tuple[Chunk, ...]]) -> Tensor:
    fields = _fields(entry, "TensorStorageMetadata")
    kind = fields["properties"].state[0]
    if type(kind) is not Name or kind.name not in DTYPES:
        raise BadPickle(f"damaged: {key}: its dtype")
    shape, listed = _sizes(fields["size"]), fields["chunks"]
    if id(listed) not in known:  # a list is read once, however often the pickle refers to it
        known[id(listed)] = tuple(map(_chunk, listed))
    chunks = known[id(listed)]
    if not all(_is_within(chunk, shape) for chunk in chunks):
        raise BadPickle(f"damaged: {key}: a part is not within its shape {list(shape)}")
    return Tensor(kind.name, shape, chunks)


def _chunk(value: Any) -> Chunk:
    fields = _fields(value, "ChunkStorageMetadata")
    return Chunk(_sizes(fields["offsets"]), _sizes(fields["sizes"]))


def _is_within(chunk: Chunk, shape: Sizes) -> bool:
    return len(chunk.offsets) == len(chunk.sizes) == len(shape) and all(
        at + length <= size
        for at, length, size in zip(chunk.offsets, chunk.sizes, shape, strict=True)
    )


def _place(index: Any, info: Any) -> tuple[tuple[str, Sizes | None], Place]:
    key, where = _fields(index, "MetadataIndex"), _fields(info, "_StorageInfo")
    offset = key.get("offset")
    file, *numbers = where["relative_path"], where["offset"], where["length"]
    if type(key["fqn"]) is not str or type(file) is not str or not _is_file_name(file):
        raise BadPickle(f"damaged: the file {str(file)[:100]!r}; accepted: a name in the folder")
    start, length = _sizes(numbers)
    place = Place(file, start, length)
    return (key["fqn"], None if offset is None else _sizes(offset)), place


def _is_file_name(name: str) -> bool:
    return name.endswith(".distcp") and "/" not in name and "\0" not in name


def _sizes(value: Any) -> Sizes:
    """Whole numbers of at least 0, as a tuple, a list or a ``torch.Size``."""
    numbers = value.arguments[0] if type(value) is Made and value.name.name == "Size" else value
    sound = all(type(number) is int and number >= 0 for number in numbers)
    if not sound or prod(numbers) > 2**62:
        raise BadPickle(f"damaged: found {str(numbers)[:100]}; accepted: whole numbers above 0")
    return tuple(numbers)
