"""Hugging Face folder to ``.nemo`` and back, tensor by tensor."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from functools import partial as bound
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import torch

from cai.conversion import chat_files, layout, model_config, reward_head
from cai.conversion.hf_folder import (
    CONFIG,
    HfFolder,
    Planned,
    check_finite,
    copy_companions,
    read_config,
    write_weights,
)
from cai.conversion.layout import Shape
from cai.conversion.nemo_archive import CHUNK_OVERHEAD, ArchiveWriter, CheckpointWriter, NemoArchive
from cai.core.errors import fail_if
from cai.core.progress import Progress
from cai.files.partials import partial
from cai.files.records import atomic, write_json
from cai.models.families.family import Family, Tensor
from cai.models.families.known import family_of, family_of_nemo
from cai.models.nemo_tokenizer import FIELDS, FOLDER, LIBRARY
from cai.models.own_template import has_template
from cai.models.sizes import need, vocabulary_rows
from cai.models.templates import Template
from cai.models.tokenizer_kinds import (
    FILES,
    TOKENIZER_CONFIG,
    TOKENIZER_JSON,
    HuggingFace,
    Kind,
    SentencePiece,
)
from cai.models.tokens import SENTENCEPIECE, small_files, tokenizer_that_fits

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PRECISIONS: dict[torch.dtype, int | str] = {
    torch.bfloat16: "bf16",
    torch.float16: 16,
    torch.float32: 32,
}
MOST_CHUNKS = 16  # more than a layer has
STATE_BYTES = 2048  # more than the record of an empty state takes


# --------------------------------------------------------------------------- HF to NeMo


def hf_to_nemo(source: Path | str, target: Path | str, dtype: str = "source") -> None:
    """Write the model in folder ``source`` as the archive ``target``.

    ``dtype`` is bf16, fp32 or source (unchanged: every weight keeps its bits). Memory holds one
    tensor at a time, the disk one copy. The archive appears when it is complete; the same input
    gives the same bytes. Raises :class:`cai.core.errors.UserError` for a folder it cannot convert
    and for too little space.
    """
    folder, target = HfFolder(source), Path(target)
    where = str(folder.path / CONFIG)
    family = family_of(folder.config, where)
    model = SourceModel(folder, family, Shape.from_hf(folder.config, where))
    for name, sizes in model.sizes.items():
        folder.entry(name, sizes)
    wanted = DTYPES.get(dtype) or _common_dtype(model)
    fields, files, pieces = _tokenizer(folder.path, model.shape)
    config = model_config.nemo_config(
        folder.config, family, model.written, fields, pieces, PRECISIONS[wanted]
    )
    needed = _archive_bytes(model, wanted) + sum(map(len, files.values()))
    _check_space(target.parent, target, needed)
    with atomic(target, "wb") as stream:
        archive = ArchiveWriter(stream)
        archive.add_config(config)
        for name, content in files.items():
            archive.add(name, content)
        _write_checkpoint(archive, model, wanted)
        archive.close()


@dataclass(frozen=True)
class SourceModel:
    """A model that is converted."""

    folder: HfFolder
    family: Family
    shape: Shape

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each of its tensors."""
        return self.shape.hf_shapes(self.family)

    @property
    def written(self) -> Shape:
        """What is written: the output layer of its own, even where it is the embedding.

        NeMo-Aligner's reward model is never tied, and looks for that layer when it is made from a
        language model.
        """
        return replace(self.shape, tied=False)

    def read(self, name: str) -> torch.Tensor:
        """One of its tensors."""
        return self.folder.read(name, self.sizes[name])


def _common_dtype(model: SourceModel) -> torch.dtype:
    folder = model.folder
    dtypes = {folder.entries[name].dtype for name in model.sizes}
    found = " and ".join(sorted(str(dtype) for dtype in dtypes))
    fail_if(len(dtypes) > 1, f"{folder.path}: the weights mix {found}; name one with --dtype")
    return dtypes.pop()


def _tokenizer(folder: Path, shape: Shape) -> tuple[dict[str, Any], dict[str, bytes], int]:
    """How NeMo loads the tokenizer, the archive's files of it, and the number of its tokens."""
    tokenizer = tokenizer_that_fits(folder, shape.vocab, CONFIG)
    small = small_files(folder)
    files = {f"{FOLDER}/{name}": content for name, content in small.items()}
    if tokenizer.is_huggingface:
        return dict(FIELDS), files, tokenizer.size
    content = (folder / SENTENCEPIECE).read_bytes()
    artifact = f"{hashlib.md5(content).hexdigest()}_{SENTENCEPIECE}"
    files.pop(f"{FOLDER}/{TOKENIZER_JSON}", None)
    chats = files if has_template(small, str(folder)) else {}
    return model_config.sentencepiece(artifact), {artifact: content, **chats}, tokenizer.size


def _archive_bytes(model: SourceModel, dtype: torch.dtype) -> int:
    numbers = sum(map(prod, model.written.nemo_shapes(model.family).values()))
    chunks = 3 + MOST_CHUNKS * model.shape.layers
    states = 1 + len(layout.LAYER_STATES) * model.shape.layers
    return numbers * int(dtype.itemsize) + chunks * CHUNK_OVERHEAD + states * STATE_BYTES + 2**20


def _write_checkpoint(archive: ArchiveWriter, model: SourceModel, dtype: torch.dtype) -> None:
    writer, shapes = CheckpointWriter(archive), model.written.nemo_shapes(model.family)
    chunks = list(_chunks(model))
    with writer.file(), Progress(len(chunks), "converting", "tensors") as progress:
        for key, offsets, make in chunks:
            chunk = make().to(dtype)
            leading = (1,) * (len(offsets) - chunk.dim())
            writer.add(key, shapes[key], offsets, chunk.view(*leading, *chunk.shape))
            progress.advance()
        for key in layout.LAYER_STATES:
            writer.add_empty_state(key, model.shape.layers)
        writer.add_empty_state(layout.FINAL_NORM_STATE, 1)
    writer.finish()


Chunk = tuple[str, tuple[int, ...], Callable[[], torch.Tensor]]


def _chunks(model: SourceModel) -> Iterator[Chunk]:
    """Each chunk as (NeMo's name, its offsets in the global tensor, how to read it)."""
    read = model.read
    yield layout.EMBEDDING, (0, 0), bound(read, layout.HF_EMBEDDING)
    for layer, tensor in product(range(model.shape.layers), model.family.layer):
        yield from _layer_chunks(model, layer, tensor)
    yield layout.FINAL_NORM, (0,), bound(read, layout.HF_FINAL_NORM)
    output = layout.HF_EMBEDDING if model.shape.tied else layout.HF_OUTPUT
    yield layout.OUTPUT, (0, 0), bound(read, output)


def _layer_chunks(model: SourceModel, layer: int, tensor: Tensor) -> Iterator[Chunk]:
    names = [layout.in_layer(layer, part.name) for part in tensor.parts]
    key, across = layout.stacked(tensor), (0,) * (tensor.columns is not None)

    def fused() -> torch.Tensor:
        return layout.by_group([model.read(name) for name in names], model.shape.kv_heads)

    if tensor.by_group:
        yield key, (layer, 0, *across), fused
        return
    row = 0
    for name, part in zip(names, tensor.parts, strict=True):
        yield key, (layer, row, *across), bound(model.read, name)
        row += getattr(model.shape, part.rows)


# --------------------------------------------------------------------------- NeMo to HF


def nemo_to_hf(
    source: Path | str,
    target: Path | str,
    template: Path | str | None = None,
    dtype: str = "source",
    max_shard_bytes: int = 5 * 10**9,
    chat: Template | None = None,
) -> None:
    """Write the archive ``source`` as the Hugging Face folder ``target``.

    ``template`` is a model folder that lends its config.json and tokenizer files (the model that
    training began with); without it the config is made from the archive. ``chat`` is the template
    in which the model was trained: with it, other programs chat as ours do. The folder appears when
    it is complete. Raises :class:`cai.core.errors.UserError` for an archive it cannot convert, a
    template that does not fit, a target that is not empty and too little space.
    """
    target = Path(target)
    fail_if(target.exists() and any(target.iterdir()), f"{target}: exists and is not empty")
    with NemoArchive(source) as archive:
        model = _stored(archive, chat)
        wanted = DTYPES.get(dtype) or archive.dtype(layout.EMBEDDING)
        described = _describe(model, template, wanted)
        tensors = list(_tensors(model, wanted))
        needed = sum(each.nbytes for each in tensors) + sum(map(len, model.files.values())) + 2**20
        _check_space(target.parent, target, needed)
        with partial(target) as folder:
            folder.mkdir()
            write_json(folder / CONFIG, described)
            _write_tokenizer_files(folder, template, model.tokenizer, model.files)
            _write_chat(folder, model)
            with Progress(len(tensors), "converting", "tensors") as progress:
                write_weights(folder, _counted(tensors, progress), max_shard_bytes)


@dataclass(frozen=True)
class StoredModel:
    """A model in an archive.

    Attributes:
        archive: that it is read from.
        family: the model's.
        shape: its sizes.
        tokenizer: its own.
        files: those of the tokenizer, as a Hugging Face folder has them.
        is_reward_model: whether it gives a text a number, and does not go on with it.
        chat: the template in which it was trained.
        pad: what fills up a batch of a reward model.
    """

    archive: NemoArchive
    family: Family
    shape: Shape
    tokenizer: Kind
    files: dict[str, bytes]
    is_reward_model: bool
    chat: Template | None
    pad: int | None


def _stored(archive: NemoArchive, chat: Template | None) -> StoredModel:
    tokenizer, files = _read_tokenizer(archive)
    shape, rewards = _nemo_shape(archive, tokenizer.size), reward_head.is_reward_model(archive)
    family, pad = family_of_nemo(archive.config), None
    if rewards:
        reward_head.check(archive, shape.hidden)
        pad = reward_head.padding(tokenizer, chat)
    else:
        shape = replace(shape, tied=shape.tied or _is_tied(archive, shape.vocab))
    return StoredModel(archive, family, shape, tokenizer, files, rewards, chat, pad)


def _write_chat(folder: Path, model: StoredModel) -> None:
    if model.chat is not None:
        chat_files.write_chat_template(folder, model.chat)
    if model.is_reward_model:
        chat_files.write_padding(folder, model.tokenizer, model.pad)
    elif model.chat is not None:
        chat_files.write_ends(folder, model.chat, model.tokenizer)


def _read_tokenizer(archive: NemoArchive) -> tuple[Kind, dict[str, bytes]]:
    """The tokenizer, and its files as a Hugging Face folder has them."""
    fields, where = archive.config.get("tokenizer") or {}, str(archive.path)
    library = fields.get("library")
    fail_if(
        library not in ("sentencepiece", LIBRARY),
        f"{where}: tokenizer.library: found {library!r:.100}; accepted: 'sentencepiece', "
        f"{LIBRARY!r}",
    )
    if library == "sentencepiece":
        fail_if(not fields.get("model"), f"{where}: tokenizer.model: found nothing")
        content = archive.artifact(fields["model"])
        return SentencePiece(content, where), {SENTENCEPIECE: content}
    own = {name.removeprefix(f"{FOLDER}/"): name for name in archive.others() if FOLDER in name}
    files = {name: archive.artifact(place) for name, place in own.items() if name in FILES}
    fail_if(
        TOKENIZER_JSON not in files,
        f"{where}: tokenizer.type: found {fields.get('type')!r:.100}; accepted: a tokenizer that "
        f"is in the archive, {FOLDER}/{TOKENIZER_JSON}",
    )
    return HuggingFace(files, where), files


def _nemo_shape(archive: NemoArchive, pieces: int) -> Shape:
    """The shape that the config promises, checked against the tensors."""
    config, where = archive.config, str(archive.path)
    model_config.check_nemo_config(config, where)
    rows = archive.shape(layout.EMBEDDING)[0]
    stored = Shape.from_nemo(config, rows, where)
    for key, sizes in stored.nemo_shapes(family_of_nemo(config)).items():
        found = archive.shape(key)
        fail_if(found != sizes, f"{where}: {key}: shape {found}; its config asks for {sizes}")
    return replace(stored, vocab=_vocabulary(pieces, rows, config, where))


def _is_tied(archive: NemoArchive, rows: int) -> bool:
    """Whether the output layer is the embedding, bit for bit: it was tied, and is not trained."""
    first, second = (
        hashlib.sha256(archive.read(key)[:rows].contiguous().view(-1).view(torch.uint8).numpy())
        for key in (layout.EMBEDDING, layout.OUTPUT)
    )
    return first.digest() == second.digest()


def _vocabulary(pieces: int, rows: int, config: dict[str, Any], where: str) -> int:
    """Embeddings without the rows of zeros that tensor parallelism added.

    A row of zeros has logit 0, which can be the largest: it must not reach a program that
    samples over all rows.
    """
    if config.get("override_vocab_size"):  # of upstream's converter
        return min(rows, need(config, "override_vocab_size", where))
    return min(rows, vocabulary_rows(config, pieces, where))


def _describe(
    stored: StoredModel, template: Path | str | None, dtype: torch.dtype
) -> dict[str, Any]:
    where = str(Path(template or "") / CONFIG)
    model = read_config(Path(where)) if template else None
    config = model_config.hf_config(stored.archive.config, stored.shape, model, where)
    if stored.is_reward_model:
        config = reward_head.described(config, stored.archive, stored.pad)
    name = str(dtype).removeprefix("torch.")
    if model is not None:
        field = "dtype" if "dtype" in model else "torch_dtype"
        return config | {field: name}
    ids = {"bos_token_id": stored.tokenizer.bos_id, "eos_token_id": stored.tokenizer.eos_id}
    tokens = {name: number for name, number in ids.items() if number is not None}
    return config | tokens | {"torch_dtype": name}


def _write_tokenizer_files(
    folder: Path, template: Path | str | None, tokenizer: Kind, files: dict[str, bytes]
) -> None:
    """Write the archive's own files, with what a template has beside them."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if template is not None:
        main = TOKENIZER_JSON if tokenizer.is_huggingface else SENTENCEPIECE
        own = Path(template) / main
        fail_if(
            own.is_file() and own.read_bytes() != files[main],
            f"{own}: not the tokenizer that the archive holds",
        )
        copy_companions(Path(template), folder)
    elif isinstance(tokenizer, SentencePiece):
        write_json(folder / TOKENIZER_CONFIG, _described(tokenizer))


def _described(tokenizer: SentencePiece) -> dict[str, Any]:
    ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "unk": tokenizer.unk_id}
    tokens = {f"{name}_token": tokenizer.text_of(i) for name, i in ids.items() if i is not None}
    fixed = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True}
    if not tokenizer.begins_with_space:  # else transformers 4 puts one there
        fixed["add_prefix_space"] = False
    return fixed | {"add_eos_token": False} | tokens


def _tensors(model: StoredModel, dtype: torch.dtype) -> Iterator[Planned]:
    """The tensors to write; those of a reward model end with its head, which keeps its dtype."""
    makers = dict(_makers(model))
    for name, sizes in model.shape.hf_shapes(model.family).items():
        if not (model.is_reward_model and name == layout.HF_OUTPUT):
            yield Planned(name, sizes, dtype, makers[name])
    if model.is_reward_model:
        yield reward_head.tensor(model.archive)


Maker = tuple[str, Callable[[], torch.Tensor]]


def _makers(model: StoredModel) -> Iterator[Maker]:
    archive, family, shape = model.archive, model.family, model.shape

    def rows(key: str) -> torch.Tensor:
        return archive.read(key)[: shape.vocab]

    @lru_cache(maxsize=1)  # q, k and v of a layer are asked for in turn
    def groups(layer: int, tensor: Tensor) -> list[torch.Tensor]:
        fused = archive.read_layer(layout.stacked(tensor), layer)
        return layout.split_groups(fused, shape, tensor)

    def part(layer: int, tensor: Tensor, index: int) -> torch.Tensor:
        if tensor.by_group:
            return groups(layer, tensor)[index]
        counts = [getattr(shape, part.rows) for part in tensor.parts]
        columns = shape.columns(tensor)
        place = (layer, sum(counts[:index]), *[0] * len(columns))
        sizes = (1, counts[index], *columns)
        return archive.read_part(layout.stacked(tensor), place, sizes)[0]

    yield layout.HF_EMBEDDING, bound(rows, layout.EMBEDDING)
    for layer, tensor in product(range(shape.layers), family.layer):
        for index, own in enumerate(tensor.parts):
            yield layout.in_layer(layer, own.name), bound(part, layer, tensor, index)
    yield layout.HF_FINAL_NORM, bound(archive.read, layout.FINAL_NORM)
    if not shape.tied:
        yield layout.HF_OUTPUT, bound(rows, layout.OUTPUT)


def _counted(tensors: list[Planned], progress: Progress) -> Iterator[Planned]:
    def make(tensor: Planned) -> torch.Tensor:
        progress.advance()
        made = tensor.make()
        check_finite(made, tensor.name)
        return made

    return (replace(tensor, make=bound(make, tensor)) for tensor in tensors)


# --------------------------------------------------------------------------- the disk


def _check_space(parent: Path, target: Path, needed: int) -> None:
    """Refuse before writing what will not fit (sizes in bytes)."""
    existing = next(path for path in (parent, *parent.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    fail_if(
        needed > free,
        f"{target}: needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free",
    )
