"""A torch distributed checkpoint as it is stored, in a folder or a ``.nemo``; needs no torch.

Opening one here checks it: it names nothing that a reader, such as NeMo, would run.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from cai.conversion.checkpoint_index import Index, Place, Sizes, Tensor, read_index
from cai.conversion.pickles import BadPickle
from cai.conversion.torch_files import check_state, opened, stored_tensor
from cai.core.errors import UserError, fail_if
from cai.files.members import Bytes, Members, Window

WEIGHTS = "model_weights"
COPIED = 2**24  # bytes that are copied at a time
MOST_INDEX = 2**30  # bytes
STATE_MARK = "_extra_state"  # in the names of modules' states, which NeMo unpickles
OWN = ("nemo.", "nemo_aligner.")  # what the classes that a configuration names begin with
TOKENIZERS = ("sentencepiece", "huggingface", "megatron", "byte-level", "tiktoken")


class Stored:
    """A checkpoint; a subclass says where it is, by :meth:`window`."""

    path: Path
    _index: Index

    def window(self, name: str) -> Bytes:
        """The content of one of the checkpoint's files, to be read and sought in."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names of all tensors."""
        return sorted(self._index.tensors)

    def tensor(self, key: str) -> Tensor:
        """What is known of a tensor."""
        fail_if(key not in self._index.tensors, f"{self.path}: the weights have no tensor {key}")
        return self._index.tensors[key]

    def shape(self, key: str) -> Sizes:
        """The global shape of a tensor."""
        return self.tensor(key).shape

    def is_state(self, key: str) -> bool:
        """Whether a name is that of a module's state."""
        return key not in self._index.tensors

    def place(self, key: str, offsets: Sizes | None) -> Place:
        """Where the part of a tensor that begins at ``offsets``, or a state (None), is stored."""
        place = self._index.places.get((key, offsets))
        if place is None:
            raise UserError(f"{self.path}: {key}: some of its chunks are missing")
        return place

    def items(self, prefix: str = "") -> list[tuple[str, Sizes | None, Place]]:
        """The chunks and states whose names begin so, in the order in which they are stored."""
        places = self._index.places.items()
        chosen = [(*index, place) for index, place in places if index[0].startswith(prefix)]
        return sorted(chosen, key=lambda item: (item[2].file, item[2].offset))

    def blocks(self, place: Place) -> Iterator[bytes]:
        """The content of a place, as it is stored, without ever holding much of it."""
        left = place.length
        with self.window(place.file) as file:
            file.seek(place.offset)
            while left:
                block = file.read(min(left, COPIED))
                fail_if(not block, f"{self.path}: {place.file}: cut short")
                left -= len(block)
                yield block

    @contextmanager
    def opened(self, key: str, place: Place) -> Iterator[zipfile.ZipFile]:
        """The zip that torch has saved at a place."""
        with (
            self.window(place.file) as file,
            self._refusing(f"{place.file}: {key}"),
            opened(Window(file, place.offset, place.length)) as archive,
        ):
            yield archive

    def check(self, prefix: str = "", *, tensors: bool = True) -> None:
        """Refuse parts and states, of names that begin so, that would run something when loaded."""
        for key, _, place in self.items(prefix):
            if self.is_state(key) or STATE_MARK in key:
                with self.opened(key, place) as archive:
                    check_state(archive)
            elif tensors:
                with self.opened(key, place) as archive:
                    stored_tensor(archive)

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except BadPickle as error:
            raise UserError(f"{self.path}: {what}: {error}") from None

    def _all(self, file: Bytes) -> bytes:
        fail_if(file.seek(0, os.SEEK_END) > MOST_INDEX, f"{self.path}: its index is too large")
        file.seek(0)
        return file.read()

    def _read_index(self) -> Index:
        with self.window("metadata.json") as file:
            backend = _backend(self.path, self._all(file))
        fail_if(
            backend != "torch_dist",
            f"{self.path}: sharded_backend: found {backend!r:.100}; accepted: 'torch_dist'",
        )
        with self._refusing(".metadata cannot be read"), self.window(".metadata") as file:
            return read_index(self._all(file))


def _backend(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)["sharded_backend"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UserError(f"{path}: metadata.json: no JSON object with a sharded_backend") from None


class StoredFolder(Stored):
    """A checkpoint of a training run: a folder that holds the optimizer's state, too.

    Raises :class:`cai.core.errors.UserError` if it is none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._index = self._read_index()

    def window(self, name: str) -> Bytes:
        """See :meth:`Stored.window`."""
        try:
            return open(self.path / name, "rb", buffering=0)
        except FileNotFoundError:
            raise UserError(f"{self.path}: the checkpoint has no file {name}") from None


class StoredArchive(Stored):
    """An uncompressed ``.nemo``, in place.

    Use as a context manager. Raises :class:`cai.core.errors.UserError` if it is no such archive,
    and if something in it would be run when it is loaded.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._members = Members(path)
        self.config = self._members.config()
        check_config(self.path, self.config)
        self._index = self._read_index()
        with self._refusing("common.pt"), opened(self.window("common.pt")) as archive:
            check_state(archive)
        self.check(tensors=False)  # those are looked at when they are read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._members.close()

    def artifact(self, reference: str) -> bytes:
        """The content of an artifact, named as in the config: ``nemo:<hash>_tokenizer.model``."""
        return self._members.read(reference.removeprefix("nemo:"))

    def others(self) -> list[str]:
        """The names of all members but the weights: the configuration, the tokenizer ..."""
        return [name for name in self._members if not name.startswith(f"{WEIGHTS}/")]

    def window(self, name: str) -> Bytes:
        """See :meth:`Stored.window`."""
        return self._members.window(f"{WEIGHTS}/{name}")


def check_archive(path: Path | str) -> None:
    """Look through a ``.nemo`` from someone else before a program that unpickles freely loads it.

    Raises:
        UserError: the first thing in it that would be run, or that is damaged.
    """
    with StoredArchive(path) as archive:
        archive.check()


def check_config(path: Path, config: dict[str, Any]) -> None:
    """Refuse a configuration that has NeMo import a class that is not its own."""
    tokenizer = config.get("tokenizer")
    library = tokenizer.get("library", "sentencepiece") if isinstance(tokenizer, dict) else None
    fail_if(
        tokenizer is not None and library not in TOKENIZERS,
        f"{path}: tokenizer.library: found {library!r:.100}; accepted: {', '.join(TOKENIZERS)}",
    )
    trusting = tokenizer.get("trust_remote_code") if isinstance(tokenizer, dict) else False
    fail_if(
        trusting, f"{path}: tokenizer.trust_remote_code: found {trusting!r:.100}; accepted: false"
    )
    work: list[Any] = [config]
    seen: set[int] = set()
    while work:
        value = work.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        work.extend(value.values() if isinstance(value, dict) else value)
        work = [item for item in work if isinstance(item, dict | list)]
        for field in ("target", "_target_") if isinstance(value, dict) else ():
            named = value.get(field)
            fail_if(
                named is not None and not str(named).startswith(OWN),
                f"{path}: {field}: found {named!r:.100}; accepted: a class of NeMo's",
            )
