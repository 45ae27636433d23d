"""A training's checkpoint as a ``.nemo``: the weights without the optimizer's state."""

from pathlib import Path

from cai.conversion.nemo_archive import (
    ArchiveWriter,
    CheckpointFolder,
    CheckpointWriter,
    NemoArchive,
)
from cai.core.errors import fail_if
from cai.files.records import atomic

MODEL = "model."  # what names of weights begin with; those of the optimizer: "optimizer."


def checkpoint_to_nemo(checkpoint: Path, like: Path, target: Path) -> None:
    """Write the weights of a checkpoint folder as a ``.nemo``.

    Neither memory nor disk holds the weights a second time: they are copied bit for bit, as they
    are stored, whichever ranks wrote them.

    Args:
        checkpoint: a folder that one of NeMo-Aligner's programs has saved.
        like: a ``.nemo`` of the same model, which lends its configuration and its tokenizer.
        target: the archive to write.

    Raises:
        UserError: if one of the two is not what it should be, or their tensors differ.
    """
    folder = CheckpointFolder(checkpoint)
    with NemoArchive(like) as lender:
        _check_alike(folder, lender)
        with atomic(target, "wb") as stream:
            archive = ArchiveWriter(stream)
            for name in lender.others():
                archive.add(name, lender.artifact(name))
            weights = CheckpointWriter(archive)
            with weights.file():
                weights.copy(folder, MODEL)
            weights.finish()
            archive.close()


def _check_alike(folder: CheckpointFolder, lender: NemoArchive) -> None:
    found = {name: folder.shape(name) for name in folder.names() if name.startswith(MODEL)}
    wanted = {name: lender.shape(name) for name in lender.names()}
    different = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    fail_if(
        different,
        f"{folder.path}: {different and different[0]}: not a checkpoint of the model in "
        f"{lender.path}",
    )
