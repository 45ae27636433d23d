"""The learning rate falls over the steps that a training takes, on any number of GPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.core.errors import UserError
from cai.nemo import programs
from cai.nemo.values import Values
from cai.running.launch import Launch
from cai.running.launcher import Launcher
from cai.settings import overrides
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge
from cai.training.schedule import scheduled, steps

CONFIG = load_settings(["config/config.yaml"]).model_dump(exclude_none=True)
COMMANDS = {"sft": programs.sft, "reward_model": programs.reward_model, "dpo": programs.dpo}
PART = {"sft": "trainer.sft", "reward_model": "trainer.rm", "dpo": "trainer.dpo"}


def settings_with(program, given):
    return parse_settings(merge(CONFIG, {"nemo": {"overrides": {program: given}}}))


def command(program, data, records, **given):
    """A training's command, with a file of so many records in a folder of an awkward name."""
    folder = data / "o'clock {a}, b"
    folder.mkdir(exist_ok=True)
    file = folder / "train.jsonl"
    file.write_text("{}\n" * records * (2 if program == "reward_model" else 1))
    named = {key.replace("__", "."): value for key, value in given.items()}
    known = {f"{PART[program]}.{key}" if "." not in key else key: v for key, v in named.items()}
    files = (
        {"model.data.train_ds.file_path": str(file)}
        if program == "sft"
        else {"model.data.data_prefix": {"train": [str(file)], "validation": [], "test": []}}
    )
    return [*COMMANDS[program](settings_with(program, known)), *overrides.overrides(files)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@given(
    records=st.integers(1, 3000),
    epochs=st.integers(1, 4),
    most=st.sampled_from([-1, 1, 7, 10**6]),
    program=st.sampled_from(sorted(COMMANDS)),
)
def test_the_schedule_is_as_long_as_the_training(folder, records, epochs, most, program):
    told = command(program, folder, records, max_epochs=epochs, max_steps=most)
    batch = {"sft": 128, "reward_model": 512, "dpo": 128}[program]
    expected = records // batch * epochs
    if not expected:
        with pytest.raises(UserError, match=f"{records} .*batch.*{batch}$"):
            steps(told)
        return
    expected = min(expected, most) if most >= 0 else expected
    for gpus in ("gpu:1", "gpu:8"):
        sized = Launcher(Launch(launcher="srun", nodes=2, gres=gpus)).sized(scheduled(told))
        assert f"trainer.max_steps={expected}" in sized
        assert "model.optim.sched.constant_steps=0" in sized
    # the trainer's own number of steps is what it was
    part = Values.of(program, scheduled(told)[2:])
    assert part.get(f"{PART[program]}.max_steps") == most


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 10), (0.5, 5), (4, 4), (99, 10), (None, 10)])
def test_a_limit_of_the_training_batches_counts(folder, limit, expected):
    told = command("sft", folder, 1280, limit_train_batches="null" if limit is None else limit)
    assert steps(told) == expected


def test_the_tutorials_schedule_is_an_option(folder):
    back = {"trainer.max_steps": None, "model.optim.sched.constant_steps": 1000}
    told = command("sft", folder, 1280, **{key.replace(".", "__"): v for key, v in back.items()})
    assert scheduled(told) == told
    assert not any(word.startswith("trainer.max_steps=") for word in told)
    assert "model.optim.sched.constant_steps=1000" in told
