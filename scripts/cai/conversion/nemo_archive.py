"""A ``.nemo`` archive as a stream: a plain tar with a config, artifacts and a torch checkpoint.

Members: ``./model_config.yaml``, ``./<hash>_tokenizer.model`` and ``./model_weights/``, which is
torch's distributed checkpoint (DCP) as Megatron core 0.10 writes it: ``.distcp`` files hold one
``torch.save`` a chunk, ``.metadata`` is a pickle that says which chunk of which tensor stands
where, ``common.pt`` and ``metadata.json`` belong to Megatron core. Tensors are written and read
chunk by chunk inside the tar: neither memory nor disk ever holds the model a second time.
"""

import io
import json
import pickle
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
import yaml
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from cai.errors import UserError, fail_if

CONFIG = "model_config.yaml"
WEIGHTS = "model_weights"
BACKEND = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}
BLOCK = 512  # tar's unit in bytes
RECORD = 20 * BLOCK  # a tar file's length is a multiple of it
COPIED = 2**24  # bytes that are copied at a time
CHUNK_OVERHEAD = 4096  # bytes, more than torch.save adds to a tensor
Sizes = tuple[int, ...]


class ArchiveWriter:
    """Writes the members of a tar to a seekable binary stream.

    The same members give the same bytes: times, owners and modes are fixed. A member's header is
    written after its content, when its length is known, so nothing is buffered.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """The stream to which the content of member ``name`` goes."""
        header = self._stream.tell()
        self._stream.write(bytes(BLOCK))
        yield self._stream
        end = self._stream.tell()
        info = tarfile.TarInfo(f"./{name}")
        info.size = end - header - BLOCK
        self._stream.seek(header)
        # In GNU's format a header is one block, however large the member.
        self._stream.write(info.tobuf(tarfile.GNU_FORMAT))
        self._stream.seek(end)
        self._stream.write(bytes(-end % BLOCK))

    def add(self, name: str, content: bytes) -> None:
        """Write a member at once."""
        with self.member(name) as stream:
            stream.write(content)

    def add_config(self, config: dict[str, Any]) -> None:
        """Write model_config.yaml."""
        self.add(CONFIG, yaml.safe_dump(config, sort_keys=False).encode())

    def close(self) -> None:
        """Write the end of the tar."""
        self._stream.write(bytes(2 * BLOCK))
        self._stream.write(bytes(-self._stream.tell() % RECORD))


class CheckpointWriter:
    """Writes a torch distributed checkpoint into an :class:`ArchiveWriter`.

    Within ``with writer.file(name):`` call :meth:`add` and :meth:`add_empty_state`; call
    :meth:`finish` at the end.
    """

    def __init__(self, archive: ArchiveWriter) -> None:
        self._archive = archive
        self._entries: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {}
        self._places: dict[MetadataIndex, _StorageInfo] = {}
        self._stream: IO[bytes]
        self._file: str
        self._start: int

    @contextmanager
    def file(self, name: str = "__0_0.distcp") -> Iterator["CheckpointWriter"]:
        """The ``.distcp`` file that the next chunks go to."""
        with self._archive.member(f"{WEIGHTS}/{name}") as stream:
            self._stream, self._file, self._start = stream, name, stream.tell()
            yield self

    def add(self, key: str, shape: Sizes, offsets: Sizes, chunk: torch.Tensor) -> None:
        """Write the part of tensor ``key`` (of global ``shape``) that begins at ``offsets``.

        ``chunk`` has as many dimensions as ``shape``; its storage must hold nothing else.
        """
        place = self._save(chunk)
        if key not in self._entries:
            self._entries[key] = TensorStorageMetadata(
                TensorProperties(dtype=chunk.dtype), torch.Size(shape), []
            )
        chunks = self._entries[key].chunks
        self._places[MetadataIndex(key, offsets, len(chunks))] = place
        chunks.append(ChunkStorageMetadata(torch.Size(offsets), chunk.shape))

    def add_empty_state(self, key: str, layers: int) -> None:
        """Write the FP8 state of a module that has none, once a layer.

        Transformer Engine asks for it on a GPU and reads None as "nothing to restore".
        """
        for layer in range(layers):
            name = f"{key}/shard_{layer}_{layers}"
            self._places[MetadataIndex(name)] = self._save([None])
            self._entries[name] = BytesStorageMetadata()

    def copy(self, checkpoint: "Checkpoint", prefix: str) -> int:
        """Write all that another checkpoint holds under names that begin so, bit for bit.

        Returns how many chunks of tensors and states that were.
        """
        items = checkpoint.items(prefix)
        for index, place in items:
            start = self._stream.tell() - self._start
            for block in checkpoint.blocks(place):
                self._stream.write(block)
            self._entries[index.fqn] = checkpoint.entry(index.fqn)
            self._places[index] = _StorageInfo(self._file, start, place.length)
        return len(items)

    def finish(self) -> None:
        """Write the checkpoint's metadata."""
        metadata = Metadata(
            state_dict_metadata=self._entries,
            planner_data={key: (key,) for key in self._entries},
            storage_data=self._places,
        )
        metadata.mcore_data = {
            key: {} for key, entry in self._entries.items() if hasattr(entry, "chunks")
        }
        common = io.BytesIO()
        torch.save({}, common)
        self._archive.add(f"{WEIGHTS}/common.pt", common.getvalue())
        self._archive.add(f"{WEIGHTS}/metadata.json", json.dumps(BACKEND).encode())
        self._archive.add(f"{WEIGHTS}/.metadata", pickle.dumps(metadata))

    def _save(self, value: object) -> _StorageInfo:
        offset = self._stream.tell()
        torch.save(value, self._stream)
        length = self._stream.tell() - offset
        return _StorageInfo(self._file, offset - self._start, length)


# --------------------------------------------------------------------------- reading


class _Window(io.RawIOBase):
    """A read-only, seekable part of a file."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer)[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(target)
        self._at += count
        return count


class _MetadataUnpickler(pickle.Unpickler):
    """Admits only what torch's checkpoint metadata consists of: a pickle can run any code."""

    ALLOWED = re.compile(
        r"torch\.distributed\.checkpoint\.(metadata|filesystem)\.\w+"
        r"|torch\.(Size|bfloat16|float16|float32|strided|uint8|serialization\._get_layout)"
        r"|pathlib(\._local)?\.\w*Path|collections\.(OrderedDict|defaultdict)"
    )

    def find_class(self, module: str, name: str) -> Any:
        if not self.ALLOWED.fullmatch(f"{module}.{name}"):
            raise pickle.UnpicklingError(f"unexpected {module}.{name}")
        return super().find_class(module, name)


@dataclass(frozen=True)
class _Chunk:
    offsets: Sizes
    sizes: Sizes
    place: _StorageInfo


class Checkpoint:
    """Reads a torch distributed checkpoint, whichever ranks and sizes wrote it.

    What kind of place it stands in, a tar or a folder, is said by a subclass, by :meth:`window`.
    """

    path: Path
    _metadata: Metadata

    def window(self, name: str) -> IO[bytes]:
        """The content of one of the checkpoint's files, to be read and sought in."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names of all tensors."""
        entries = self._metadata.state_dict_metadata
        return sorted(key for key, entry in entries.items() if hasattr(entry, "chunks"))

    def shape(self, key: str) -> Sizes:
        """The global shape of a tensor."""
        return tuple(self.entry(key).size)

    def dtype(self, key: str) -> torch.dtype:
        """The dtype of a tensor."""
        return self.entry(key).properties.dtype

    def read(self, key: str) -> torch.Tensor:
        """A whole tensor."""
        return self.read_part(key, (0,) * len(self.shape(key)), self.shape(key))

    def read_layer(self, key: str, layer: int) -> torch.Tensor:
        """One layer of a tensor whose first dimension is the layers; without that dimension."""
        shape = self.shape(key)
        start = (layer, *[0] * (len(shape) - 1))
        return self.read_part(key, start, (1, *shape[1:]))[0]

    def read_part(self, key: str, start: Sizes, sizes: Sizes) -> torch.Tensor:
        """The part of a tensor that begins at ``start``, put together from its chunks."""
        overlaps = [(chunk, _overlap(chunk, start, sizes)) for chunk in self._chunks(key)]
        overlaps = [(chunk, slices) for chunk, slices in overlaps if slices]
        whole = [chunk for chunk, _ in overlaps if (chunk.offsets, chunk.sizes) == (start, sizes)]
        if whole:
            return self._load(whole[0])
        part = torch.empty(sizes, dtype=self.dtype(key))
        filled = 0
        for chunk, (source, target) in overlaps:
            part[target] = self._load(chunk)[source]
            filled += part[target].numel()
        fail_if(filled != part.numel(), f"{self.path}: {key}: some of its chunks are missing")
        return part

    def _chunks(self, key: str) -> Iterator[_Chunk]:
        for chunk in self.entry(key).chunks:
            place = self._metadata.storage_data.get(MetadataIndex(key, chunk.offsets))
            fail_if(place is None, f"{self.path}: {key}: some of its chunks are missing")
            yield _Chunk(tuple(chunk.offsets), tuple(chunk.sizes), place)

    def _load(self, chunk: _Chunk) -> torch.Tensor:
        place = chunk.place
        with self.window(place.relative_path) as file:
            window = _Window(file, place.offset, place.length)
            try:
                return torch.load(window, map_location="cpu", weights_only=True)
            except (RuntimeError, pickle.UnpicklingError):
                raise UserError(f"{self.path}: {place.relative_path}: damaged") from None

    def entry(self, key: str) -> TensorStorageMetadata | BytesStorageMetadata:
        """What the metadata says of a tensor or a state."""
        entry = self._metadata.state_dict_metadata.get(key)
        fail_if(entry is None, f"{self.path}: the weights have no tensor {key}")
        return entry

    def items(self, prefix: str) -> list[tuple[MetadataIndex, _StorageInfo]]:
        """The chunks and states whose names begin so, in the order in which they are stored."""
        places = self._metadata.storage_data.items()
        chosen = [(index, place) for index, place in places if index.fqn.startswith(prefix)]
        return sorted(chosen, key=lambda item: (item[1].relative_path, item[1].offset))

    def blocks(self, place: _StorageInfo) -> Iterator[bytes]:
        """What stands at a place, as it is stored, without ever holding much of it."""
        left = place.length
        with self.window(place.relative_path) as file:
            file.seek(place.offset)
            while left:
                block = file.read(min(left, COPIED))
                fail_if(not block, f"{self.path}: {place.relative_path}: cut short")
                left -= len(block)
                yield block

    def _read_metadata(self) -> Metadata:
        with self.window("metadata.json") as file:
            backend = json.loads(file.read()).get("sharded_backend")
        fail_if(
            backend != "torch_dist",
            f"{self.path}: sharded_backend: found {backend!r}; accepted: 'torch_dist'",
        )
        try:
            with self.window(".metadata") as file:
                return _MetadataUnpickler(io.BytesIO(file.read())).load()
        except (pickle.UnpicklingError, EOFError, AttributeError) as error:
            raise UserError(f"{self.path}: .metadata cannot be read: {error}") from None


class CheckpointFolder(Checkpoint):
    """A checkpoint of a training run: a folder, in which the optimizer's state stands, too.

    Raises :class:`cai.errors.UserError` if it is none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._metadata = self._read_metadata()

    def window(self, name: str) -> IO[bytes]:
        """See :meth:`Checkpoint.window`."""
        try:
            return open(self.path / name, "rb", buffering=0)
        except FileNotFoundError:
            raise UserError(f"{self.path}: the checkpoint has no file {name}") from None


class NemoArchive(Checkpoint):
    """Reads an uncompressed ``.nemo`` in place.

    Use as a context manager. Raises :class:`cai.errors.UserError` if it is no such archive.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        fail_if(not self.path.is_file(), f"{path}: no such file")
        try:
            with tarfile.open(self.path, "r:") as tar:
                members = [member for member in tar if member.isfile()]
        except tarfile.ReadError:
            raise UserError(
                f"{path}: not a plain tar, or cut short; a compressed .nemo must be unpacked "
                "and packed again with `tar -cf`"
            ) from None
        self._members = {_normal(m.name): (m.offset_data, m.size) for m in members}
        self._file = open(self.path, "rb", buffering=0)
        self.config = self._read_config()
        self._metadata = self._read_metadata()

    def __enter__(self) -> "NemoArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def artifact(self, reference: str) -> bytes:
        """The content of an artifact, named as in the config: ``nemo:<hash>_tokenizer.model``."""
        return self._member(reference.removeprefix("nemo:"))

    def others(self) -> list[str]:
        """The names of all members but the weights: the configuration, the tokenizer ..."""
        return [name for name in self._members if not name.startswith(f"{WEIGHTS}/")]

    def window(self, name: str) -> IO[bytes]:
        """See :meth:`Checkpoint.window`."""
        return _Window(self._file, *self._place(f"{WEIGHTS}/{name}"))

    def _place(self, name: str) -> tuple[int, int]:
        fail_if(name not in self._members, f"{self.path}: the archive has no member {name}")
        return self._members[name]

    def _member(self, name: str) -> bytes:
        start, length = self._place(name)
        self._file.seek(start)
        return self._file.read(length)

    def _read_config(self) -> dict[str, Any]:
        try:
            config = yaml.safe_load(self._member(CONFIG))
        except yaml.YAMLError:
            config = None
        fail_if(not isinstance(config, dict), f"{self.path}: {CONFIG} is no YAML mapping")
        return config


def _normal(name: str) -> str:
    return name.removeprefix("./")


def _overlap(
    chunk: _Chunk, start: Sizes, sizes: Sizes
) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Where a chunk and a region meet: the slices of the chunk and those of the region."""
    source, target = [], []
    for at, length, begin, wanted in zip(chunk.offsets, chunk.sizes, start, sizes, strict=True):
        low, high = max(at, begin), min(at + length, begin + wanted)
        if low >= high:
            return None
        source.append(slice(low - at, high - at))
        target.append(slice(low - begin, high - begin))
    return tuple(source), tuple(target)
