"""A real training of a few steps, as a rule starts it."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.project import program

from cai.nemo import programs
from cai.settings.configuration import Settings, load_settings

SFT_FILES = {
    "model.restore_from_path": "model",
    "model.data.train_ds.file_path": "train",
    "model.data.validation_ds.file_path": "validation",
}
FILES = {
    "pretrained_checkpoint.restore_from_path": "model",
    "model.data.data_prefix": {name: ["train"] for name in ("train", "validation", "test")},
}


SFT_BATCHES = {  # of four
    f"model.data.{part}.{size}_batch_size": 4
    for part in ("train_ds", "validation_ds")
    for size in ("micro", "global")
}
BATCHES = {f"model.{size}_batch_size": 4 for size in ("micro", "global")}


def demo_with(overlay: Mapping[str, Any], folder: Path) -> Settings:
    """The demo's settings with others over them, which are written into a folder."""
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(overlay))
    return load_settings(["config/config.yaml", "config/demo.yaml", str(path)])


def few_steps(part: str) -> dict[str, int]:
    """Overrides of a program: two steps, and one validation with a checkpoint at their end."""
    sizes = {"save_interval": 2, "val_check_interval": 2, "max_steps": 2, "limit_val_batches": 1}
    return {f"trainer.{part}.{key}": value for key, value in sizes.items()} | {
        "model.optim.sched.warmup_steps": 0
    }


def train(
    folder: Path,
    what: str,
    name: str,
    command: Sequence[str],
    places: Mapping[str, Any],
    files: Mapping[str, Path],
) -> Path:
    """Run train.py; returns what it publishes."""
    output = folder / f"{what}.nemo"
    paths = {key: str(path) for key, path in files.items()}
    done = subprocess.run(
        [
            *(sys.executable, program("train"), "--what", what, "--name", name),
            *("--work", str(folder / "work" / what), "--output", str(output)),
            *("--log", str(folder / f"{what}.log"), "--inputs", *paths.values()),
            *("--", *command, *programs.naming(places, paths)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output
