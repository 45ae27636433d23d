"""The identity of a ``.nemo`` archive: what the model is, not when and where its file was written.

Two equal trainings give the same weights in different files: a tar contains times, its
``model_config.yaml`` the work folders, and torch's index of the weights its own numbers. Only the
content counts here:

- each tensor: its name, type, shape and numbers, however ranks have divided it between files;
- the tokenizer and whatever else is beside the weights, without the random names that NeMo gives;
- fields of ``model_config.yaml`` that shape the arithmetic: all but the run's (:data:`OF_A_RUN`).

Everything is read inside the tar, in blocks. Needs no torch.
"""

import hashlib
import io
import itertools
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from cai.conversion.checkpoint_index import Place, Sizes
from cai.conversion.pickles import BadPickle, read_pickle
from cai.conversion.stored import StoredArchive
from cai.conversion.torch_files import ITEM_BYTES, StoredTensor, stored_tensor
from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.files.members import CONFIG, Bytes, Window
from cai.models.nemo_tokenizer import FOLDER
from cai.models.tokenizer_kinds import TOKENIZER_JSON

RANDOM = re.compile(r"[0-9a-f]{32}_")  # NeMo puts it before the names of artifacts
LENGTHS = struct.Struct("<26x2H")  # a zip's local header: lengths of the name and of what follows
COPIED = 2**20  # bytes that are read at a time
MOST_SETTINGS = 10**5  # of a configuration; a genuine one has some hundreds
OF_A_RUN = re.compile(
    r"data|optim|trainer|exp_manager|inference|ppo|dpo|kto|rs|spin|steerlm2|nsys_profile"
    r"|(.*_)?(path|paths|dir|folder|file|files)|(restore|resume)_from.*|save_.*|checkpoint_name"
    r"|(.*_)?batch_size|(.*_)?parallel(_.*)?|activations_checkpoint_.*"
    r"|num_micro_batches_with_partial_activation_checkpoints|apex_transformer_log_level"
    r"|seed|target|nemo_version"
)


class _Part(NamedTuple):
    """A part of a tensor: where in it it begins, its shape, and its numbers in order."""

    offsets: Sizes
    sizes: Sizes
    numbers: Window
    nbytes: int

    @property
    def end(self) -> int:
        """The row after its last one."""
        return self.offsets[0] + self.sizes[0]


def model_identity(path: Path) -> str:
    """The SHA-256 of a model's content (hex, 64 characters).

    Raises:
        UserError: it is no archive of a model, it is damaged, or it is in another form.
    """
    with StoredArchive(path) as archive:
        others = [name for name in archive.others() if name != CONFIG]
        if f"{FOLDER}/{TOKENIZER_JSON}" not in others:  # what is left there says how to chat
            others = [name for name in others if not name.startswith(f"{FOLDER}/")]
        states = sorted({key for key, _, _ in archive.items() if archive.is_state(key)})
        content = {
            "arithmetic": arithmetic(_checked(path, archive.config)),
            "artifacts": sorted(_artifact(archive, name) for name in others),
            "tensors": {name: _tensor(archive, name) for name in archive.names()},
            "states": {name: state for name in states if (state := _state(archive, name))},
        }
        try:
            return digest(content)
        except (TypeError, ValueError):  # YAML has dates and sets, JSON has not
            raise UserError(f"{path}: {CONFIG}: holds what no genuine one does") from None


def arithmetic(config: Any) -> Any:
    """What of a model's configuration shapes its arithmetic.

    >>> arithmetic({"num_layers": 2, "seed": 1, "tokenizer": {"model": "nemo:1_t.model"}})
    {'num_layers': 2, 'tokenizer': {}}
    """
    if not isinstance(config, dict):
        return config
    return {
        key: arithmetic(value)
        for key, value in config.items()
        if not OF_A_RUN.fullmatch(str(key)) and not _is_place(value)
    }


def _is_place(value: Any) -> bool:
    """Whether a value names an artifact, which counts by its content, or a file of this machine."""
    return isinstance(value, str) and value.startswith(("nemo:", "/"))


def _checked(path: Path, config: Any) -> Any:
    """The configuration; YAML can refer to a part again and again, until it fills the memory."""
    work, count = [config], 0
    while work:
        value = work.pop()
        inner = value.values() if isinstance(value, dict) else value
        work += inner if isinstance(value, dict | list) else []
        count += 1
        fail_if(count > MOST_SETTINGS, f"{path}: {CONFIG}: has too many settings")
    return config


def _artifact(archive: StoredArchive, name: str) -> list[str]:
    content = hashlib.sha256(archive.artifact(name)).hexdigest()
    return [RANDOM.sub("", name), content]


def _state(archive: StoredArchive, key: str) -> list[list[str]]:
    """The parts of a module's state, but for those in which torch keeps its own affairs.

    None if it is empty: modules have one only where they compute in 8 bits.
    """
    with archive.opened(key, archive.place(key, None)) as state:
        names = {name.partition("/")[2]: name for name in state.namelist()}
        try:
            if read_pickle(state.read(names["data.pkl"]), ()) in (None, [None]):
                return []
        except BadPickle:  # it names something: it is not empty
            pass
        kept = sorted(name for name in names if name == "data.pkl" or name.startswith("data/"))
        return [[name, hashlib.sha256(state.read(names[name])).hexdigest()] for name in kept]


def _tensor(archive: StoredArchive, key: str) -> list[Any]:
    """Type, shape and the SHA-256 of the numbers, put together from the parts."""
    tensor = archive.tensor(key)
    parts = [_part(archive, key, chunk.offsets, chunk.sizes) for chunk in tensor.chunks]
    hashed = hashlib.sha256()
    edges = sorted({edge for part in parts for edge in (part.offsets[0], part.end)})
    for low, high in itertools.pairwise(edges):
        within = [part for part in parts if part.offsets[0] <= low and high <= part.end]
        for block in _rows(tensor.shape or (1,), within, low, high):
            hashed.update(block)
    return [tensor.dtype, list(tensor.shape), hashed.hexdigest()]


def _part(archive: StoredArchive, key: str, offsets: Sizes, sizes: Sizes) -> _Part:
    place = archive.place(key, offsets)
    with archive.opened(key, place) as saved:
        stored = stored_tensor(saved)
        begin = _start(archive.window(place.file), place, saved.getinfo(stored.member))
    item = ITEM_BYTES[stored.storage]
    last = stored.offset + sum(
        (n - 1) * step for n, step in zip(sizes, stored.strides, strict=False)
    )
    fail_if(
        stored.sizes != sizes or prod(sizes) == 0 or last >= stored.nbytes // item,
        f"{archive.path}: {key}: its numbers are not where it says",
    )
    first, nbytes = begin + stored.offset * item, prod(sizes) * item
    numbers = Window(archive.window(place.file), first, nbytes)
    if not _is_in_order(stored):
        numbers = Window(_in_order(archive.window(place.file), begin, stored), 0, nbytes)
    return _Part(offsets or (0,), sizes or (1,), numbers, nbytes)


def _is_in_order(stored: StoredTensor) -> bool:
    """Whether the numbers follow each other as they do in the tensor, the last dimension first."""
    steps = [prod(stored.sizes[axis + 1 :]) for axis in range(len(stored.sizes))]
    each = zip(stored.sizes, stored.strides, steps, strict=True)
    return all(size == 1 or stride == step for size, stride, step in each)


def _in_order(file: Bytes, begin: int, stored: StoredTensor) -> io.BytesIO:
    """The numbers of a part that was saved as a view of others, such as a transposed one."""
    import numpy

    item = ITEM_BYTES[stored.storage]
    file.seek(begin)
    kept = numpy.frombuffer(file.read(stored.nbytes), f"V{item}")[stored.offset :]
    strides = [stride * item for stride in stored.strides]
    return io.BytesIO(numpy.lib.stride_tricks.as_strided(kept, stored.sizes, strides).tobytes())


def _start(file: Bytes, place: Place, info: zipfile.ZipInfo) -> int:
    """Where in a file the content of a zip's member begins: zipfile itself reads slowly."""
    header = place.offset + info.header_offset
    file.seek(header)
    lengths: tuple[int, ...] = LENGTHS.unpack(file.read(LENGTHS.size))
    return header + LENGTHS.size + sum(lengths)


def _rows(shape: Sizes, parts: Sequence[_Part], low: int, high: int) -> Iterator[Any]:
    """The bytes of the rows from ``low`` to ``high`` of a tensor: whole, or side by side."""
    import numpy  # here, as most programs know the identities of their models from manifests

    count, inner = high - low, shape[1:]
    fail_if(
        sum(prod(part.sizes[1:]) for part in parts) != prod(inner),
        f"tensors: rows {low} to {high}: some of their parts are missing, or overlap",
    )
    if len(parts) == 1:
        rows = _cut(parts[0], low, high)
        while block := rows.read(COPIED):
            yield block
        return
    width = parts[0].nbytes // prod(parts[0].sizes)
    whole = numpy.zeros((count, *inner, width), numpy.uint8)
    for part in parts:
        own = zip(part.offsets[1:], part.sizes[1:], strict=True)
        place = tuple(slice(start, start + size) for start, size in own)
        numbers = numpy.frombuffer(_cut(part, low, high).read(), numpy.uint8)
        whole[(slice(None), *place)] = numbers.reshape(count, *part.sizes[1:], width)
    yield whole


def _cut(part: _Part, low: int, high: int) -> Window:
    """The numbers of a part's rows, which are counted as the whole tensor's."""
    row = part.nbytes // part.sizes[0]
    return Window(part.numbers, (low - part.offsets[0]) * row, (high - low) * row)
