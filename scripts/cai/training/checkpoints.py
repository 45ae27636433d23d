"""The checkpoints of a training: which can be resumed from, and which belong together.

Names as NeMo 2.1.0 writes them: ``<name>-step=N...-last`` is a folder to resume from, and has a
file ``<folder>-unfinished`` beside it as long as it is being written. With LoRA it is a file
``<name>-step=N...-last.ckpt`` of the adapters, or one a rank of the model, of the same name in the
folders ``mp_rank_00``, ``tp_rank_00_pp_rank_000`` ...; the path of a checkpoint is here that
without such a folder.
"""

import os
import re
import shutil
import tarfile
from collections.abc import Collection
from pathlib import Path

LAST = "-last"
ADAPTERS = ".ckpt"
RANKS = "*_rank_*"
UNFINISHED = "-unfinished"


def step(checkpoint: Path) -> int:
    """The step in a checkpoint's name, -1 if there is none."""
    found = re.search(r"step=(\d+)", checkpoint.name)
    return int(found.group(1)) if found else -1


def newest(run: Path) -> Path | None:
    """The whole checkpoint of a run's folder that NeMo would resume from."""
    return max(_whole(run), key=step, default=None)


def settle(run: Path) -> None:
    """Remove what a kill has left: NeMo refuses to resume from two, or from a half one."""
    chosen = newest(run)
    for marker in run.glob(f"checkpoints/*{UNFINISHED}"):
        half = marker.with_name(marker.name.removesuffix(UNFINISHED))
        for checkpoint in (half, half.with_name(half.name + ADAPTERS)):
            _remove(checkpoint)
        marker.unlink()
    for checkpoint in _last(run):
        if checkpoint != chosen:
            _remove(checkpoint)
    _remove(run / "checkpoints" / "model_weights")  # packed into the .nemo only afterwards


def _last(run: Path) -> set[Path]:
    """The checkpoints to resume from, whole or not."""
    place = run / "checkpoints"
    folders = {path for path in place.glob(f"*{LAST}") if path.is_dir()}
    files = [*place.glob(f"*{LAST}{ADAPTERS}"), *place.glob(f"{RANKS}/*{LAST}{ADAPTERS}")]
    return folders | {place / path.name for path in files}


def _whole(run: Path) -> list[Path]:
    return [path for path in _last(run) if not _marker(path).exists()]


def _marker(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name.removesuffix(ADAPTERS) + UNFINISHED)


def _parts(checkpoint: Path) -> list[Path]:
    """The folder or the files that a checkpoint is, as far as they are there."""
    by_rank = checkpoint.parent.glob(f"{RANKS}/{checkpoint.name}")
    return [path for path in (checkpoint, *by_rank) if path.exists()]


def _remove(checkpoint: Path) -> None:
    for part in _parts(checkpoint):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def is_whole(archive: Path) -> bool:
    """Whether a ``.nemo`` file was written to its end: NeMo writes it in its place, bit by bit."""
    try:
        with tarfile.open(archive, "r:") as tar:
            members = tar.getmembers()
            return bool(members) and archive.stat().st_size >= tar.offset + 2 * tarfile.BLOCKSIZE
    except (FileNotFoundError, tarfile.ReadError):
        return False


class Pairs:
    """Keeps the newest checkpoints of several programs that belong together, as hard links.

    PPO's actor and critic save at the same time, but each deletes its former checkpoint as soon as
    its own new one is whole. Killed in between, they would go on from different steps.

    Args:
        folder: the run's folder; its links go into ``pairs/`` there.
        roles: the programs' folders in it, the one whose steps count first.
    """

    def __init__(self, folder: Path, roles: tuple[str, ...]) -> None:
        self._runs = [folder / role for role in roles]
        self._kept = folder / "pairs"
        self._known: list[Path | None] = [None for _ in roles]

    def look(self) -> None:
        """Keep the checkpoints that are there now, if all of them are newer than those kept."""
        newest_of_all = [newest(run) for run in self._runs]
        found = [folder for folder in newest_of_all if folder is not None]
        saving = any(any(run.glob(f"checkpoints/*{UNFINISHED}")) for run in self._runs)
        if saving or len(found) < len(self._runs):
            return
        if any(a == b for a, b in zip(found, self._known, strict=True)):
            return
        try:
            self._keep(found)
        except OSError:  # deleted meanwhile: the next ones are on their way
            return
        self._known = [*found]

    def restore(self) -> None:
        """Put those kept in the place of all others; without any, training begins anew."""
        kept = max(self._kept.glob("*[0-9]"), key=lambda path: int(path.name), default=None)
        for run in self._runs:
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
            if kept is not None:
                _link(kept / run.name, run / "checkpoints")
        self._known = [newest(run) for run in self._runs]

    def _keep(self, found: list[Path]) -> None:
        target = self._kept / str(step(found[0]))
        partial = target.with_suffix(".partial")
        for folder in (target, partial):
            _remove(folder)
        for run, checkpoint in zip(self._runs, found, strict=True):
            for part in _parts(checkpoint):
                _link(part, partial / run.name / part.relative_to(checkpoint.parent))
        os.replace(partial, target)
        for other in self._kept.iterdir():
            if other != target:
                _remove(other)


class Kept:
    """Keeps a run's checkpoints of chosen steps, as hard links, when NeMo deletes its own.

    Those of adapters are no models, and not kept.

    Args:
        run: the program's folder.
        folder: where they go, each named by its step; a resumed run adds to it.
        steps: which; those at which nothing is saved never come.
    """

    def __init__(self, run: Path, folder: Path, steps: Collection[int]) -> None:
        self._run, self._folder, self._steps = run, folder, steps

    def look(self) -> None:
        """Keep those that are there now and whole."""
        for checkpoint in filter(Path.is_dir, _whole(self._run) if self._steps else []):
            target = self._folder / str(step(checkpoint))
            if step(checkpoint) in self._steps and not target.exists():
                self._keep(checkpoint, target)

    def _keep(self, checkpoint: Path, target: Path) -> None:
        partial = target.with_suffix(".partial")
        _remove(partial)
        try:
            _link(checkpoint, partial)
        except OSError:  # deleted meanwhile
            return
        os.replace(partial, target)


def kept_folder(run: Path) -> Path:
    """Where the checkpoints of chosen steps stay, in a run's own work folder."""
    return run / "kept"


def kept_steps(folder: Path) -> list[int]:
    """The steps whose checkpoints are in such a folder."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=link)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        link(source, target)


def link(source: Path | str, target: Path | str) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
