"""LoRA's adapters merged into their base: a ``.nemo`` of a whole model.

W + alpha/dim x B A has the outputs of W beside its adapter. It is computed in 32 bits, a tensor of
a layer at a time, and written in the precision in which the training held its weights, as a
training without adapters writes all of them: in 32 bits by default, in 16 with
``megatron_amp_O2``.
"""

from itertools import product
from math import prod
from pathlib import Path

import torch

from cai.conversion.adapters.adapter_archive import Adapters, read_adapters
from cai.conversion.layout import LAYERS
from cai.conversion.nemo_archive import ArchiveWriter, CheckpointWriter, NemoArchive
from cai.core.errors import UserError, fail_if
from cai.core.progress import Progress
from cai.files.members import CONFIG
from cai.files.records import atomic
from cai.nemo.unpacking import check_room

OVERHEAD = 1.02  # of an archive, beside its tensors


def merge(base: Path | str, adapters: Path | str, target: Path | str) -> Adapters:
    """Write the model ``base`` with its ``adapters`` as the archive ``target``.

    Memory holds one tensor of a layer and the adapters. The archive appears when it is complete;
    the same inputs give the same bytes. Its configuration is the training's, but for the adapters;
    its tokenizer is the base's.

    Returns:
        The adapters.

    Raises:
        UserError: one of the two is not what it should be, or they do not belong together.
    """
    learnt = read_adapters(adapters)
    with NemoArchive(base) as whole:
        _check_fit(whole, learnt, adapters)
        size = sum(prod(whole.shape(key)) for key in whole.names()) * int(learnt.dtype.itemsize)
        check_room(round(size * OVERHEAD), Path(target).parent, Path(target))
        config = {key: value for key, value in learnt.config.items() if key != "peft"}
        with atomic(target, "wb") as stream:
            archive = ArchiveWriter(stream)
            archive.add_config(config | {"tokenizer": whole.config["tokenizer"]})
            for name in whole.others():
                if name != CONFIG:
                    archive.add(name, whole.artifact(name))
            _write(archive, whole, learnt)
            archive.close()
    return learnt


def _check_fit(whole: NemoArchive, learnt: Adapters, where: Path | str) -> None:
    names = set(whole.names())
    for (key, layer), (rows, columns) in learnt.pairs.items():
        fail_if(key not in names, f"{where}: {key}: {whole.path} has no such weights")
        layers, *sizes = whole.shape(key)
        fail_if(
            layer >= layers or sizes != [rows.shape[0], columns.shape[1]],
            f"{where}: layer {layer}: {key}: adapters of {rows.shape[0]} x {columns.shape[1]}; "
            f"{whole.path} has {layers} layers of {sizes}",
        )


def _write(archive: ArchiveWriter, whole: NemoArchive, learnt: Adapters) -> None:
    writer = CheckpointWriter(archive)
    places = [place for key in whole.names() for place in _places(whole, key)]
    with writer.file(), Progress(len(places), "merging", "tensors") as progress:
        for key, layer in places:
            shape = whole.shape(key)
            if layer is None:
                writer.add(
                    key, shape, (0,) * len(shape), whole.read(key).to(learnt.dtype, copy=True)
                )
            else:
                merged = _merged(whole, learnt, key, layer)
                writer.add(key, shape, (layer, *[0] * merged.dim()), merged[None])
            progress.advance()
        writer.copy_states(whole)
    writer.finish()


def _places(whole: NemoArchive, key: str) -> list[tuple[str, int | None]]:
    """A tensor's layers, or the tensor as it is."""
    if not key.startswith(LAYERS):
        return [(key, None)]
    return list(product([key], range(whole.shape(key)[0])))


def _merged(whole: NemoArchive, learnt: Adapters, key: str, layer: int) -> torch.Tensor:
    weights = whole.read_layer(key, layer)
    added = learnt.added(key, layer)
    if added is None:
        return weights.to(learnt.dtype, copy=True)
    merged = weights.float() + added
    if not torch.isfinite(merged).all():
        raise UserError(f"{whole.path}: layer {layer}: {key}: merged, it is not finite")
    return merged.to(learnt.dtype)
