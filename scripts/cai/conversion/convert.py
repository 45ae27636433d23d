"""Hugging Face folder to ``.nemo`` and back, tensor by tensor."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from functools import partial as bound
from math import prod
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor

from cai.conversion import mistral_layout as layout
from cai.conversion.chat_files import write_chat_files
from cai.conversion.hf_folder import (
    CONFIG,
    TOKENIZER,
    HfFolder,
    Planned,
    added_tokens,
    check_finite,
    copy_companions,
    read_config,
    write_weights,
)
from cai.conversion.mistral_layout import LayerNames, Shape
from cai.conversion.nemo_archive import CHUNK_OVERHEAD, ArchiveWriter, CheckpointWriter, NemoArchive
from cai.core.errors import UserError, fail_if
from cai.core.progress import Progress
from cai.files.partials import partial
from cai.files.records import atomic, write_json
from cai.models.hf_config import check_hf_config
from cai.models.templates import Template

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PRECISIONS: dict[torch.dtype, int | str] = {
    torch.bfloat16: "bf16",
    torch.float16: 16,
    torch.float32: 32,
}
STATE_BYTES = 2048  # more than the record of an empty state takes


# --------------------------------------------------------------------------- HF to NeMo


def hf_to_nemo(source: Path | str, target: Path | str, dtype: str = "source") -> None:
    """Write the Mistral or Llama model in folder ``source`` as the archive ``target``.

    ``dtype`` is bf16, fp32 or source (unchanged: every weight keeps its bits). Memory holds one
    tensor at a time, the disk one copy. The archive appears when it is complete; the same input
    gives the same bytes. Raises :class:`cai.core.errors.UserError` for a folder it cannot convert
    and for too little space.
    """
    folder, target = HfFolder(source), Path(target)
    where = str(folder.path / CONFIG)
    check_hf_config(folder.config, where)
    shape = Shape.from_hf(folder.config, where)
    for name, sizes in shape.hf_shapes().items():
        folder.entry(name, sizes)
    wanted = DTYPES.get(dtype) or _common_dtype(folder, shape)
    tokenizer = folder.tokenizer.read_bytes()
    artifact = f"{hashlib.md5(tokenizer).hexdigest()}_{TOKENIZER}"
    config = layout.nemo_config(
        folder.config, shape, artifact, _pieces(tokenizer, shape, folder), PRECISIONS[wanted]
    )
    _check_space(target.parent, target, _archive_bytes(shape, wanted) + len(tokenizer))
    with atomic(target, "wb") as stream:
        archive = ArchiveWriter(stream)
        archive.add_config(config)
        archive.add(artifact, tokenizer)
        _write_checkpoint(archive, folder, shape, wanted)
        archive.close()


def _common_dtype(folder: HfFolder, shape: Shape) -> torch.dtype:
    dtypes = {folder.entries[name].dtype for name in shape.hf_shapes()}
    found = " and ".join(sorted(str(dtype) for dtype in dtypes))
    fail_if(len(dtypes) > 1, f"{folder.path}: the weights mix {found}; name one with --dtype")
    return dtypes.pop()


def _pieces(tokenizer: bytes, shape: Shape, folder: HfFolder) -> int:
    processor = _processor(tokenizer, folder.tokenizer)
    _check_added(folder, processor)
    pieces = processor.get_piece_size()
    fail_if(
        pieces > shape.vocab,
        f"{folder.tokenizer}: {pieces} pieces, but vocab_size in {CONFIG} is {shape.vocab}; "
        "accepted: at least as many",
    )
    return pieces


def _processor(tokenizer: bytes, where: Path) -> SentencePieceProcessor:
    try:
        processor = SentencePieceProcessor(model_proto=tokenizer)
    except RuntimeError:
        processor = None
    if processor is None or not processor.get_piece_size():
        raise UserError(f"{where}: not a sentencepiece model, or one without pieces")
    return processor


def _check_added(folder: HfFolder, processor: SentencePieceProcessor) -> None:
    """Refuse tokens beside the sentencepiece model: NeMo has that alone, and would cut them up."""
    for text, number in added_tokens(folder.path).items():
        known = type(number) is int and 0 <= number < processor.get_piece_size()
        fail_if(
            not known or processor.id_to_piece(number) != text,
            f"{folder.path}: the tokenizer adds the token {text[:100]!r} ({number}) to "
            f"{TOKENIZER}, which NeMo would cut into pieces; accepted: tokens of {TOKENIZER} only",
        )


def _archive_bytes(shape: Shape, dtype: torch.dtype) -> int:
    numbers = sum(prod(sizes) for sizes in shape.nemo_shapes().values())
    chunks = 3 + 7 * shape.layers
    states = 1 + len(layout.LAYER_STATES) * shape.layers
    return numbers * int(dtype.itemsize) + chunks * CHUNK_OVERHEAD + states * STATE_BYTES + 2**20


def _write_checkpoint(
    archive: ArchiveWriter, folder: HfFolder, shape: Shape, dtype: torch.dtype
) -> None:
    writer, shapes = CheckpointWriter(archive), shape.nemo_shapes()
    chunks = list(_chunks(folder, shape))
    with writer.file(), Progress(len(chunks), "converting", "tensors") as progress:
        for key, offsets, make in chunks:
            chunk = make().to(dtype)
            leading = (1,) * (len(offsets) - chunk.dim())
            writer.add(key, shapes[key], offsets, chunk.view(*leading, *chunk.shape))
            progress.advance()
        for key in layout.LAYER_STATES:
            writer.add_empty_state(key, shape.layers)
        writer.add_empty_state(layout.FINAL_NORM_STATE, 1)
    writer.finish()


Chunk = tuple[str, tuple[int, ...], Callable[[], torch.Tensor]]


def _chunks(folder: HfFolder, shape: Shape) -> Iterator[Chunk]:
    """Each chunk as (NeMo's name, its offsets in the global tensor, how to read it)."""
    sizes = shape.hf_shapes()

    def read(name: str) -> torch.Tensor:
        return folder.read(name, sizes[name])

    def read_qkv(names: LayerNames) -> torch.Tensor:
        return layout.fuse_qkv(read(names.q), read(names.k), read(names.v), shape.kv_heads)

    yield layout.EMBEDDING, (0, 0), bound(read, "model.embed_tokens.weight")
    for layer in range(shape.layers):
        names = LayerNames.of(layer)
        yield layout.INPUT_NORM, (layer, 0), bound(read, names.input_norm)
        yield layout.QKV, (layer, 0, 0), bound(read_qkv, names)
        yield layout.PROJ, (layer, 0, 0), bound(read, names.o)
        yield layout.POST_NORM, (layer, 0), bound(read, names.post_norm)
        yield layout.FC1, (layer, 0, 0), bound(read, names.gate)
        yield layout.FC1, (layer, shape.ffn, 0), bound(read, names.up)
        yield layout.FC2, (layer, 0, 0), bound(read, names.down)
    yield layout.FINAL_NORM, (0,), bound(read, "model.norm.weight")
    if not shape.tied:
        yield layout.OUTPUT, (0, 0), bound(read, "lm_head.weight")


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
        tokenizer = _read_tokenizer(archive)
        shape = _nemo_shape(archive, _processor(tokenizer, archive.path).get_piece_size())
        wanted = DTYPES.get(dtype) or archive.dtype(layout.EMBEDDING)
        described = _describe(archive, shape, tokenizer, template, wanted)
        weights = sum(prod(sizes) for sizes in shape.hf_shapes().values()) * wanted.itemsize
        _check_space(target.parent, target, weights + len(tokenizer) + 2**20)
        with partial(target) as folder:
            folder.mkdir()
            write_json(folder / CONFIG, described)
            (folder / TOKENIZER).write_bytes(tokenizer)
            _write_tokenizer_files(folder, template, tokenizer)
            if chat is not None:
                write_chat_files(folder, chat, _processor(tokenizer, archive.path))
            tensors = list(_tensors(archive, shape))
            with Progress(len(tensors), "converting", "tensors") as progress:
                write_weights(folder, _counted(tensors, progress), wanted, max_shard_bytes)


def _read_tokenizer(archive: NemoArchive) -> bytes:
    fields = archive.config.get("tokenizer") or {}
    found = fields.get("library")
    fail_if(
        found != "sentencepiece" or not fields.get("model"),
        f"{archive.path}: tokenizer.library: found {found!r}; accepted: 'sentencepiece'",
    )
    return archive.artifact(fields["model"])


def _nemo_shape(archive: NemoArchive, pieces: int) -> Shape:
    """The shape that the config promises, checked against the tensors."""
    config, where = archive.config, str(archive.path)
    fail_if(
        any(".rm_head." in name for name in archive.names()),
        f"{where}: a reward model (it has rm_head); accepted: a language model",
    )
    layout.check_nemo_config(config, where)
    rows = archive.shape(layout.EMBEDDING)[0]
    for key, sizes in Shape.from_nemo(config, rows, where).nemo_shapes().items():
        found = archive.shape(key)
        fail_if(found != sizes, f"{where}: {key}: shape {found}; its config asks for {sizes}")
    return Shape.from_nemo(config, _vocabulary(pieces, rows, config), where)


def _vocabulary(pieces: int, rows: int, config: dict[str, Any]) -> int:
    """Embeddings without the rows of zeros that tensor parallelism added.

    A row of zeros has logit 0, which can be the largest: it must not reach a program that
    samples over all rows.
    """
    divisor = config.get("make_vocab_size_divisible_by") or 1
    return min(rows, -(-pieces // divisor) * divisor)


def _describe(
    archive: NemoArchive,
    shape: Shape,
    tokenizer: bytes,
    template: Path | str | None,
    dtype: torch.dtype,
) -> dict[str, Any]:
    where = str(Path(template or "") / CONFIG)
    model = read_config(Path(where)) if template else None
    config = layout.hf_config(archive.config, shape, model, where)
    name = str(dtype).removeprefix("torch.")
    if model is not None:
        field = "dtype" if "dtype" in model else "torch_dtype"
        return config | {field: name}
    processor = SentencePieceProcessor(model_proto=tokenizer)
    tokens = {"bos_token_id": processor.bos_id(), "eos_token_id": processor.eos_id()}
    return config | tokens | {"torch_dtype": name}


def _write_tokenizer_files(folder: Path, template: Path | str | None, tokenizer: bytes) -> None:
    if template is not None:
        own = Path(template) / TOKENIZER
        fail_if(
            own.is_file() and own.read_bytes() != tokenizer,
            f"{own}: not the tokenizer that the archive holds",
        )
        copy_companions(Path(template), folder)
        return
    processor = SentencePieceProcessor(model_proto=tokenizer)
    ids = {"bos": processor.bos_id(), "eos": processor.eos_id(), "unk": processor.unk_id()}
    tokens = {f"{name}_token": processor.id_to_piece(i) for name, i in ids.items() if i >= 0}
    fixed = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True}
    write_json(folder / "tokenizer_config.json", fixed | {"add_eos_token": False} | tokens)


def _tensors(archive: NemoArchive, shape: Shape) -> Iterator[Planned]:
    makers = dict(_makers(archive, shape))
    for name, sizes in shape.hf_shapes().items():
        yield Planned(name, sizes, makers[name])


def _makers(archive: NemoArchive, shape: Shape) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    def rows(key: str) -> torch.Tensor:
        return archive.read(key)[: shape.vocab]

    @lru_cache(maxsize=1)  # q, k and v of a layer are asked for in turn
    def projections(layer: int) -> tuple[torch.Tensor, ...]:
        return layout.split_qkv(archive.read_layer(layout.QKV, layer), shape)

    def projection(layer: int, index: int) -> torch.Tensor:
        return projections(layer)[index]

    def half(layer: int, index: int) -> torch.Tensor:
        start, sizes = (layer, index * shape.ffn, 0), (1, shape.ffn, shape.hidden)
        return archive.read_part(layout.FC1, start, sizes)[0]

    yield "model.embed_tokens.weight", bound(rows, layout.EMBEDDING)
    for layer in range(shape.layers):
        names = LayerNames.of(layer)
        for index, name in enumerate((names.q, names.k, names.v)):
            yield name, bound(projection, layer, index)
        for index, name in enumerate((names.gate, names.up)):
            yield name, bound(half, layer, index)
        yield names.o, bound(archive.read_layer, layout.PROJ, layer)
        yield names.down, bound(archive.read_layer, layout.FC2, layer)
        yield names.input_norm, bound(archive.read_layer, layout.INPUT_NORM, layer)
        yield names.post_norm, bound(archive.read_layer, layout.POST_NORM, layer)
    yield "model.norm.weight", bound(archive.read, layout.FINAL_NORM)
    if not shape.tied:
        yield "lm_head.weight", bound(rows, layout.OUTPUT)


def _counted(tensors: list[Planned], progress: Progress) -> Iterator[Planned]:
    def make(tensor: Planned) -> torch.Tensor:
        progress.advance()
        made = tensor.make()
        check_finite(made, tensor.name)
        return made

    return (Planned(t.name, t.shape, bound(make, t)) for t in tensors)


# --------------------------------------------------------------------------- the disk


def _check_space(parent: Path, target: Path, needed: int) -> None:
    """Refuse before writing what will not fit (sizes in bytes)."""
    existing = next(path for path in (parent, *parent.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    fail_if(
        needed > free,
        f"{target}: needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free",
    )
