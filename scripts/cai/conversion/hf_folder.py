"""A Hugging Face model folder as a stream: one tensor in memory at a time, in both directions.

The safetensors format (https://huggingface.co/docs/safetensors) is a little-endian 64-bit length,
a JSON header {name: {dtype, shape, data_offsets}} and the tensors' bytes. It is read and written
here directly, because the library's reader (0.8) maps the whole file: Linux refuses that for a file
much larger than its memory, a tensor takes three times its size while it is copied (300 MB for one
of 100 MB, against 100 MB here), and an error names no field. The library's writer wants all tensors
of a file at once.
"""

import json
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from cai.core.errors import UserError, fail_if
from cai.files.records import read_json, write_json
from cai.models.tokenizer_kinds import FILES

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MOST_HEADER = 100_000_000  # bytes, as safetensors' own reader has it
SHARD = re.compile(r"[^/\\\0]+\.safetensors")
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """Where a tensor is: file, byte offset in it, shape and dtype."""

    file: Path
    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class HfFolder:
    """The config and the safetensors weights of a folder.

    Raises :class:`cai.core.errors.UserError` if a file is missing, damaged or of another kind.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        fail_if(not self.path.is_dir(), f"{path}: no such folder")
        self.config = read_config(self.path / CONFIG)
        self.entries: dict[str, Entry] = {}
        for file in self._weight_files():
            self.entries.update(_read_header(file))

    def entry(self, name: str, shape: Sequence[int]) -> Entry:
        """The entry of tensor ``name``, whose shape must be ``shape``."""
        fail_if(name not in self.entries, f"{self.path}: the weights have no tensor {name}")
        entry = self.entries[name]
        fail_if(
            entry.shape != tuple(shape),
            f"{entry.file}: {name} has shape {list(entry.shape)}, {CONFIG} asks for {list(shape)}",
        )
        return entry

    def read(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        """Read tensor ``name``, of shape ``shape``, into memory of its own."""
        entry = self.entry(name, shape)
        tensor = torch.empty(entry.shape, dtype=entry.dtype)
        with open(entry.file, "rb", buffering=0) as stream:
            stream.seek(entry.offset)
            _read_fully(stream, tensor, entry.file)
        check_finite(tensor, f"{entry.file}: {name}")
        return tensor

    def _weight_files(self) -> list[Path]:
        index, single = self.path / INDEX, self.path / SINGLE
        if index.is_file():
            return [self.path / name for name in _shards(index)]
        if single.is_file():
            return [single]
        other = sorted(self.path.glob("*.bin")) or sorted(self.path.glob("*.pt*"))
        found = f"found {other[0].name}" if other else "found no weights"
        raise UserError(f"{self.path}: {found}; accepted: {SINGLE} or {INDEX} with its shards")


def read_config(path: Path) -> dict[str, Any]:
    """A config.json; anything but a JSON object is a :class:`cai.core.errors.UserError`."""
    config = read_json(path)
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a JSON object")
    return config


def _shards(index: Path) -> list[str]:
    """The files that an index names: those of its own folder."""
    content = read_json(index)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names:
        raise UserError(
            f"{index}: weight_map: found {_short(names)}; accepted: tensors with their files"
        )
    for tensor, name in names.items():
        fail_if(
            not isinstance(name, str) or not SHARD.fullmatch(name),
            f"{index}: weight_map.{tensor[:200]}: found {_short(name)}; accepted: the name of a "
            ".safetensors file of this folder",
        )
    return sorted(set(names.values()))


def _read_header(file: Path) -> dict[str, Entry]:
    fail_if(not file.is_file(), f"{file}: no such file, but {INDEX} names it")
    size = file.stat().st_size
    try:
        with open(file, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            fail_if(
                size - 8 >= length > MOST_HEADER,
                f"{file}: a header of {length} bytes; accepted: up to {MOST_HEADER}",
            )
            header = json.loads(stream.read(length) if length <= size - 8 else b"")
        header.pop("__metadata__", None)
    except (struct.error, ValueError, AttributeError, RecursionError):
        raise UserError(f"{file}: not a safetensors file, or cut short") from None
    start = 8 + length
    entries = {name: _entry(file, start, name, fields) for name, fields in header.items()}
    _check_places(file, entries, size)
    return entries


def _entry(file: Path, start: int, name: str, fields: Any) -> Entry:
    where = f"{file}: {name[:200]}"
    fields = fields if isinstance(fields, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    fail_if(
        not isinstance(dtype, str) or dtype not in DTYPES,
        f"{where} has dtype {_short(dtype)}; accepted: {', '.join(DTYPES)}",
    )
    fail_if(not _are_sizes(shape), f"{where} has shape {_short(shape)}; accepted: whole numbers")
    fail_if(
        not _are_sizes(offsets) or len(offsets) != 2,
        f"{where} has data_offsets {_short(offsets)}; accepted: the first byte and the last",
    )
    needed = prod(shape) * DTYPES[dtype].itemsize
    fail_if(
        offsets[1] - offsets[0] != needed,
        f"{where} has data_offsets {offsets}, but shape {_short(shape)} of {dtype} takes "
        f"{needed} bytes",
    )
    return Entry(file, start + offsets[0], tuple(shape), DTYPES[dtype])


def _check_places(file: Path, entries: dict[str, Entry], size: int) -> None:
    """Refuse tensors that extend beyond the end, or overlap."""
    end, last = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
        length = prod(entry.shape) * entry.dtype.itemsize
        fail_if(
            entry.offset + length > size,
            f"{file}: not a safetensors file, or cut short: {name[:200]} ends beyond its end",
        )
        fail_if(length and entry.offset < end, f"{file}: {name[:200]} overlaps {last[:200]}")
        end, last = (entry.offset + length, name) if length else (end, last)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _short(value: Any) -> str:
    return f"{value!r:.100}"


def check_finite(tensor: torch.Tensor, where: str) -> None:
    """Refuse a tensor with values that are not finite: they would spoil all answers."""
    for part in tensor.reshape(-1).split(2**24):
        bad = int((~torch.isfinite(part)).sum())
        fail_if(bad, f"{where}: holds numbers that are not finite (NaN or infinite)")


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.view(-1).view(torch.uint8).numpy())


def _read_fully(stream: Any, tensor: torch.Tensor, file: Path) -> None:
    target = _bytes_of(tensor)
    while target:
        count = stream.readinto(target)  # one call reads at most 2 GiB
        fail_if(count == 0, f"{file}: cut short")
        target = target[count:]


@dataclass(frozen=True)
class Planned:
    """A tensor to be written: name, shape, dtype, and how to make it when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]

    @property
    def nbytes(self) -> int:
        """The size of its numbers."""
        return prod(self.shape) * int(self.dtype.itemsize)


def write_weights(folder: Path, tensors: Iterable[Planned], max_shard_bytes: int) -> None:
    """Write safetensors shards of at most ``max_shard_bytes`` each (a larger tensor has its own).

    Tensors are made, converted to their dtype and written one at a time, in the order given. The
    index says which file has which tensor; it is also written for a single file.
    """
    shards = _split(list(tensors), max_shard_bytes)
    names = [SINGLE] if len(shards) == 1 else _shard_names(len(shards))
    for name, shard in zip(names, shards, strict=True):
        _write_shard(folder / name, shard)
    weight_map = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
    total = sum(t.nbytes for shard in shards for t in shard)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def copy_companions(source: Path, target: Path) -> None:
    """Copy the tokenizer's and the generation's small files that ``source`` has."""
    for name in FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _shard_names(count: int) -> list[str]:
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _split(tensors: list[Planned], limit: int) -> list[list[Planned]]:
    shards: list[list[Planned]] = [[]]
    used = 0
    for tensor in tensors:
        size = tensor.nbytes
        if shards[-1] and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += size
    return shards


def _write_shard(file: Path, tensors: list[Planned]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        header[tensor.name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            stream.write(_bytes_of(tensor.make().to(tensor.dtype).contiguous()))
        stream.flush()
        os.fsync(stream.fileno())
