"""Training with LoRA: NeMo's ``.nemo`` holds adapters alone; what is published is a whole model.

The adapters are merged into the base that they were trained on, by a program of its own under
NeMo's Python, as the environment of jobs has no torch. The base is the model that the command
names.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from cai.core.errors import fail_if
from cai.core.project import SCRIPTS
from cai.files.members import Members
from cai.nemo.composition import read_value
from cai.nemo.keys import LORA_SCHEME
from cai.running.launch import Launch
from cai.running.launcher import Launcher
from cai.training.watching import POLL, failure

PROGRAM = SCRIPTS / "training/merge_adapters.py"
WEIGHTS = "model_weights.ckpt"  # a whole model's are in a folder model_weights
STARTS = ("model.restore_from_path", "pretrained_checkpoint.restore_from_path")


def holds_adapters(archive: Path) -> bool:
    """Whether a ``.nemo`` that a training has written holds adapters and no whole model."""
    with Members(archive) as members:
        return any(Path(name).name == WEIGHTS for name in members)


def trains_adapters(command: Sequence[str]) -> bool:
    """Whether a training program is told to train adapters alone."""
    return f"{LORA_SCHEME}=lora" in (argument.lstrip("+") for argument in command)


def base_of(command: Sequence[str]) -> Path:
    """The model that a training program starts from."""
    named = dict(argument.split("=", 1) for argument in command if "=" in argument)
    return Path(next(str(read_value(named[key])) for key in STARTS if key in named))


def merge(
    command: Sequence[str], adapters: Path, target: Path, launch: Launch, log: Path, what: str
) -> Path:
    """Write a model with the adapters of a training merged into it.

    Args:
        command: of the training program.
        adapters: the archive that it has written.
        target: the archive to write.
        launch: how the training was started; this is one process without a GPU.
        log: where the program's output goes.
        what: name for messages.

    Returns:
        The base.

    Raises:
        UserError: the program fails, with the end of its log.
    """
    base = base_of(command)
    print(f"{what}: merges the adapters into {base}", flush=True)
    line = [command[0], str(PROGRAM), str(base), str(adapters), str(target)]
    own = {"PYTHONPATH": str(SCRIPTS)}
    with Launcher(launch.one_process).start(line, own, log, f"{what}-merge") as program:
        while program.poll() is None:
            time.sleep(POLL)
        if program.poll() != 0:
            raise failure(f"{what}: the adapters could not be merged", program)
    fail_if(not target.exists(), f"{what}: {target} was not written; log: {log}")
    return base
