"""The disk that a job will need: as its results took last time, else by what it will write."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from cai.checks.amounts import Sizes
from cai.checks.lora import trains_adapters
from cai.checks.rule_kinds import kind_of
from cai.nemo.values import Values
from cai.plan.rehearsal import Count
from cai.settings.configuration import Settings
from cai.workflow.dag import PlannedJob

WEIGHT = 2  # bytes a parameter of a .nemo file
CHECKPOINT = 14  # bytes a parameter: weights in 16 bits, master weights and two moments in 32
TOKEN = 5  # bytes of text, at most
TWICE = 2  # an answer is in the output and in the journal
PPO_CHECKPOINTS = 4  # two of the actor, two of the critic
TOP_K = "exp_manager.checkpoint_callback_params.save_top_k"


def disk(job: PlannedJob, count: Count | None, settings: Settings, sizes: Sizes) -> int:
    """Bytes that a job writes, or keeps while it runs; 0 for small files that were never made."""
    outputs = [Path(path) for path in job.output]
    if all(path.exists() for path in outputs):
        work = [Path(job.params["work"])] if "work" in job.params else []
        return size([*outputs, *work])
    if count is not None:
        return count.tokens * TOKEN * TWICE
    if not any(path.suffix == ".nemo" for path in outputs):
        return 0
    checkpoints = _checkpoints(job.rule, settings)
    return sizes.parameters() * (WEIGHT + CHECKPOINT * checkpoints)


def size(paths: Iterable[Path]) -> int:
    """Bytes of files, and of all files of folders; what is linked several times counts once."""
    files = {
        (status.st_dev, status.st_ino): status.st_size
        for path in paths
        for status in (file.stat() for file in _files(path))
    }
    return sum(files.values())


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    yield from (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def _checkpoints(rule: str, settings: Settings) -> int:
    """How many a training keeps at a time: the best ones and the last; of PPO two pairs.

    Those of adapters are small, and not counted.
    """
    kind = kind_of(rule)
    if kind.what not in ("training", "ppo"):
        return 0
    values = Values(settings, kind.programs[-1])
    adapters = trains_adapters(values)
    if kind.what == "ppo":
        return PPO_CHECKPOINTS // (2 if adapters else 1)
    return 0 if adapters else 1 + (values.whole(TOP_K) or 1)
