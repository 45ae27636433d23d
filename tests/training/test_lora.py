"""Real trainings with LoRA: what they publish is a whole model, the base with what was learnt."""

import csv
import json
import math
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from tests.training.trained import (
    BATCHES,
    FILES,
    SFT_BATCHES,
    SFT_FILES,
    demo_with,
    few_steps,
    train,
)

from cai.nemo import programs
from cai.provenance.manifest import read_manifest
from cai.settings.configuration import Settings

ROOT = Path(__file__).parents[2]
WRAPPER = ROOT / "envs/nemo-cpu/python"
LOGITS = Path(__file__).with_name("lora_logits.py")
LORA = {
    "model.peft.peft_scheme": "lora",
    "model.peft.lora_tuning.target_modules": ["all"],
    "++model.peft.lora_tuning.alpha": 48,  # 1.5 times the rank
    "model.optim.lr": 1e-2,
}
OVERLAY = {
    "dpo": {"preference_loss": "dpo"},
    "nemo": {
        "overrides": {
            "sft": few_steps("sft") | LORA | SFT_BATCHES,
            "dpo": few_steps("dpo")
            | LORA
            | BATCHES
            | {"model.optim.lr": 1e-3, "model.dpo.sft_loss_weight": 0},
        }
    },
}
PROMPT = "<extra_id_0>System\n\n<extra_id_1>User\nhow do i bake bread?\n<extra_id_1>Assistant\n"


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return demo_with(OVERLAY, tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module")
def folder(nemo_python, tmp_path_factory) -> Path:
    """A folder with the demo's base model, and data of few lines."""
    place = tmp_path_factory.mktemp("lora")
    convert = ROOT / "scripts/convert_hf_to_nemo.py"
    subprocess.run([nemo_python, convert, "demo/models/base", place / "base.nemo"], check=True)
    turns = [("User", "how do i bake bread?"), ("Assistant", "mix flour and water.")]
    said = [{"from": who, "value": text, "label": None} for who, text in turns]
    chat = {"system": "", "mask": "User", "conversations": said}
    pair = {
        "prompt": PROMPT,
        "chosen_response": "mix flour and water.\n<extra_id_1>",
        "rejected_response": "i do not know.\n<extra_id_1>",
    }
    for name, line in {"chats": chat, "pairs": pair}.items():
        (place / f"{name}.jsonl").write_text(f"{json.dumps(line)}\n" * 8)
    return place


@pytest.fixture(scope="module")
def sl_cai(folder, settings) -> Path:
    files = dict.fromkeys(("train", "validation"), folder / "chats.jsonl")
    files["model"] = folder / "base.nemo"
    command = programs.sft(settings)
    return train(folder, "sl_cai", "megatron_gpt_sft", command, SFT_FILES, files)


def adapters_of(model: Path, name: str) -> Path:
    """What NeMo itself has written."""
    [found] = model.parent.glob(f"work/{model.stem}/*/train/checkpoints/{name}.nemo")
    return found


def differences(base: Path, adapters: Path, merged: Path) -> dict[str, float]:
    command = [WRAPPER, LOGITS, base, adapters, merged]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def metrics(model: Path, name: str) -> list[float]:
    with model.with_suffix(".metrics.csv").open() as stream:
        return [float(row["value"]) for row in csv.DictReader(stream) if row["tag"] == name]


def test_the_merged_model_has_the_logits_of_the_base_with_its_adapters(folder, sl_cai):
    adapters = adapters_of(sl_cai, "megatron_gpt_sft")
    found = differences(folder / "base.nemo", adapters, sl_cai)
    assert found["base"] > 1  # much was learnt
    assert found["merged"] < 1e-4


def test_what_is_published_knows_nothing_of_adapters_but_its_manifest(folder, sl_cai):
    with tarfile.open(sl_cai) as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml"))
        names = archive.getnames()
    assert "peft" not in config and config["encoder_seq_length"] == 96
    assert "./model_weights/metadata.json" in names
    manifest = read_manifest(sl_cai)
    assert manifest["merged"]["base"] == str(folder / "base.nemo")
    assert "model.peft.peft_scheme=lora" in manifest["command"]


def test_dpo_starts_from_it_with_the_base_as_its_reference(folder, sl_cai, settings):
    files = {"model": sl_cai, "train": folder / "pairs.jsonl"}
    command = programs.dpo(settings)
    dpo_cai = train(folder, "dpo_cai", "megatron_gpt_dpo", command, FILES, files)
    first, second = metrics(dpo_cai, "train/loss")
    assert first == pytest.approx(math.log(2), abs=1e-5)  # as yet the policy is the reference
    assert second < first
    found = differences(sl_cai, adapters_of(dpo_cai, "megatron_gpt_dpo"), dpo_cai)
    assert found["merged"] < 1e-4 < 0.1 < found["base"]
