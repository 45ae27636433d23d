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
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from math import prod
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

from cai.conversion.checkpoint_index import Chunk, Place, Sizes, Tensor
from cai.conversion.pickles import BadPickle
from cai.conversion.stored import COPIED, WEIGHTS, Stored, StoredArchive, StoredFolder
from cai.conversion.torch_files import StoredTensor, stored_tensor
from cai.core.errors import fail_if
from cai.files.members import CONFIG

BACKEND = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}
BLOCK = 512  # tar's unit in bytes
RECORD = 20 * BLOCK  # a tar file's length is a multiple of it
CHUNK_OVERHEAD = 4096  # bytes, more than torch.save adds to a tensor
MOST_PARTS = 4096  # of a tensor that is put together
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


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

    def copy(self, checkpoint: Stored, prefix: str) -> int:
        """Write all that another checkpoint holds under names that begin so, bit for bit.

        Returns how many chunks of tensors and states that were.
        """
        checkpoint.check(prefix)
        items = checkpoint.items(prefix)
        for item in items:
            self._copy(checkpoint, *item)
        return len(items)

    def copy_states(self, checkpoint: Stored) -> None:
        """Write all states of modules that another checkpoint holds."""
        checkpoint.check(tensors=False)
        for key, offsets, place in checkpoint.items():
            if checkpoint.is_state(key):
                self._copy(checkpoint, key, offsets, place)

    def _copy(self, checkpoint: Stored, key: str, offsets: Sizes | None, place: Place) -> None:
        start = self._stream.tell() - self._start
        for block in checkpoint.blocks(place):
            self._stream.write(block)
        hint = None
        if checkpoint.is_state(key):
            self._entries[key] = BytesStorageMetadata()
        else:
            tensor = checkpoint.tensor(key)
            self._entries[key] = _entry(tensor)
            hint = next(i for i, c in enumerate(tensor.chunks) if c.offsets == offsets)
        index = MetadataIndex(key, offsets, hint)
        self._places[index] = _StorageInfo(self._file, start, place.length)

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


def _entry(tensor: Tensor) -> TensorStorageMetadata:
    """A tensor's entry in the metadata, as torch has it."""
    chunks = [
        ChunkStorageMetadata(torch.Size(chunk.offsets), torch.Size(chunk.sizes))
        for chunk in tensor.chunks
    ]
    properties = TensorProperties(dtype=getattr(torch, tensor.dtype))
    return TensorStorageMetadata(properties, torch.Size(tensor.shape), chunks)


# --------------------------------------------------------------------------- reading


class _Tensors(Stored):
    """Reads the tensors of a checkpoint, whichever ranks and sizes wrote it."""

    def dtype(self, key: str) -> torch.dtype:
        """The dtype of a tensor."""
        return getattr(torch, self.tensor(key).dtype)

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
        overlaps = [
            (chunk, slices)
            for chunk in self.tensor(key).chunks
            if (slices := _overlap(chunk, start, sizes))
        ]
        if [chunk for chunk, _ in overlaps] == [Chunk(start, sizes)]:
            return self._load(key, overlaps[0][0])
        fail_if(
            not _covers([target for _, (_, target) in overlaps], sizes),
            f"{self.path}: {key}: some of its chunks are missing, or overlap",
        )
        stored = sum(self.place(key, chunk.offsets).length for chunk, _ in overlaps)
        dtype = self.dtype(key)
        fail_if(stored < prod(sizes) * dtype.itemsize, f"{self.path}: {key}: cut short")
        part = torch.empty(sizes, dtype=dtype)
        for chunk, (source, target) in overlaps:
            part[target] = self._load(key, chunk)[source]
        return part

    def _load(self, key: str, chunk: Chunk) -> torch.Tensor:
        with self.opened(key, self.place(key, chunk.offsets)) as archive:
            return _load_tensor(archive, chunk.sizes, self.dtype(key))


class CheckpointFolder(_Tensors, StoredFolder):
    """See :class:`cai.conversion.stored.StoredFolder`."""


class NemoArchive(_Tensors, StoredArchive):
    """See :class:`cai.conversion.stored.StoredArchive`."""


def _load_tensor(archive: zipfile.ZipFile, sizes: Sizes, dtype: torch.dtype) -> torch.Tensor:
    """The tensor of a saved file, which must have this shape and dtype."""
    stored = stored_tensor(archive)
    kind = STORAGES[stored.storage]
    if stored.sizes != sizes or kind != dtype:
        raise BadPickle(f"found {list(stored.sizes)} of {kind}; its index says {list(sizes)}")
    return load_stored(archive, stored)


def load_stored(archive: zipfile.ZipFile, stored: StoredTensor) -> torch.Tensor:
    """A tensor of a saved file.

    Raises:
        BadPickle: it is cut short.
    """
    flat = torch.empty(stored.nbytes, dtype=torch.uint8)
    target = memoryview(flat.numpy())
    with archive.open(stored.member) as stream:
        while target:
            block = stream.read(min(len(target), COPIED))
            if not block:
                raise BadPickle("cut short")
            target[: len(block)] = block
            target = target[len(block) :]
        stream.read(1)  # only now does it compare the check sum
    kind = STORAGES[stored.storage]
    return flat.view(kind).as_strided(stored.sizes, stored.strides, stored.offset)


Slices = tuple[slice, ...]


def _covers(parts: list[Slices], sizes: Sizes) -> bool:
    """Whether parts fill a region, each place of it once."""
    volumes = [prod(part.stop - part.start for part in slices) for slices in parts]
    return (
        len(parts) <= MOST_PARTS
        and sum(volumes) == prod(sizes)
        and not any(_meet(one, other) for one, other in combinations(parts, 2))
    )


def _meet(one: Slices, other: Slices) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _overlap(chunk: Chunk, start: Sizes, sizes: Sizes) -> tuple[Slices, Slices] | None:
    """Where a chunk and a region meet: the slices of the chunk and those of the region."""
    source, target = [], []
    for at, length, begin, wanted in zip(chunk.offsets, chunk.sizes, start, sizes, strict=True):
        low, high = max(at, begin), min(at + length, begin + wanted)
        if low >= high:
            return None
        source.append(slice(low - at, high - at))
        target.append(slice(low - begin, high - begin))
    return tuple(source), tuple(target)
