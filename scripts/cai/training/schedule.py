"""The steps of a training, from its data: the length of the learning rate's schedule.

Left to themselves, NeMo 2.1.0's supervised programs lay the schedule out over samples / (micro
batch x data parallel) steps (``prepare_lr_scheduler``), where the trainer takes samples / global
batch: with one sample a micro batch and 8 GPUs that is 16 times too long for a global batch of 128,
so the rate hardly falls, and it is another one on other numbers of GPUs. The word STEPS in a
command becomes the number that the trainer takes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cai.core.errors import UserError, fail_if
from cai.nemo.composition import read_value
from cai.nemo.own_overrides import STEPS, Program
from cai.nemo.programs import PROGRAMS
from cai.nemo.values import Values
from cai.running.launcher import filled


class _Data(NamedTuple):
    """Where a program's command has what decides its steps.

    Attributes:
        part: the trainer's section.
        files: the key of the data.
        batch: the key of the global batch.
        rows: lines of a record.
    """

    part: str
    files: str
    batch: str
    rows: int


DATA: dict[Program, _Data] = {
    "sft": _Data(
        "trainer.sft", "model.data.train_ds.file_path", "model.data.train_ds.global_batch_size", 1
    ),
    # chosen and rejected have a line each
    "reward_model": _Data("trainer.rm", "model.data.data_prefix", "model.global_batch_size", 2),
    "dpo": _Data("trainer.dpo", "model.data.data_prefix", "model.global_batch_size", 1),
}


def scheduled(command: Sequence[str]) -> list[str]:
    """The command with STEPS filled in, if it has the word.

    Raises:
        UserError: there are not enough records for a single step.
    """
    if not any(argument.partition("=")[2] == STEPS for argument in command):
        return list(command)
    return filled(command, {STEPS: steps(command)})


def steps(command: Sequence[str]) -> int:
    """How many steps a training of SFT, of a reward model or of DPO takes.

    As ``compute_num_steps_per_epoch`` and ``SupervisedTrainer.set_max_steps`` of NeMo-Aligner 0.7.0
    count them.

    Args:
        command: the Python, the program, its overrides.

    Raises:
        UserError: there are not enough records for a single step.
    """
    program = _program(command)
    data = DATA[program]
    values = Values.of(program, command[2:])
    most: Any = values.get(f"{data.part}.max_steps", -1)
    if program == "sft" and values.get("model.data.sample") and most >= 0:
        return int(most)  # records are drawn again until they fill the steps
    batch = values.whole(data.batch) or 1
    files = _files(command, data)
    records = sum(map(_lines, files)) // data.rows
    an_epoch = _limited(records // batch, values.get(f"{data.part}.limit_train_batches", 1.0))
    fail_if(
        not an_epoch,
        f"{', '.join(map(str, files))}: {records} records are no whole batch: {data.batch} is "
        f"{batch}",
    )
    found = an_epoch * (values.whole(f"{data.part}.max_epochs", 1) or 1)
    return min(found, most) if isinstance(most, int) and most >= 0 else found


def _program(command: Sequence[str]) -> Program:
    for name, path in PROGRAMS.items():
        if command[1].endswith(path) and name in DATA:
            return name
    raise UserError(f"{command[1]}: {STEPS} can be worked out for: {', '.join(DATA)}")


def _files(command: Sequence[str], data: _Data) -> list[Path]:
    given = dict(argument.partition("=")[::2] for argument in command[2:])
    value = read_value(given.get(data.files, "null"))
    train = value.get("train") if isinstance(value, dict) else value
    return [Path(path) for path in _listed(train)]


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _lines(path: Path) -> int:
    with open(path, "rb") as stream:
        return sum(1 for line in stream if line.strip())


def _limited(batches: int, limit: Any) -> int:
    """``compute_limit_batches``: a share of the batches, or so many at most."""
    if limit is None or (isinstance(limit, float) and limit > 1.0) or limit < 0:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
