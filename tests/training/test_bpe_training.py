"""Real trainings of a tied model with a Hugging Face tokenizer: what they publish has it, too."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.bpe import write_tokenizer
from tests.training.trained import (
    BATCHES,
    FILES,
    SFT_BATCHES,
    SFT_FILES,
    demo_with,
    few_steps,
    train,
)

from cai.models.tokens import Tokenizer
from cai.nemo import programs
from cai.settings.configuration import Settings

ROOT = Path(__file__).parents[2]
MARK = "<|im_start|>"
OVERLAY = {
    "models": {
        "base": {
            "template": {
                "system": f"{MARK}System\n{{content}}\n",
                "user": f"{MARK}User\n{{content}}\n",
                "assistant": f"{MARK}Assistant\n{{content}}\n",
                "close": MARK,
                "stop": [MARK],
            }
        }
    },
    "nemo": {
        "overrides": {
            "sft": few_steps("sft") | SFT_BATCHES | {"exp_manager.create_wandb_logger": True},
            "reward_model": few_steps("rm") | BATCHES,
        }
    },
}
MODEL = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
folder, size = sys.argv[1], int(sys.argv[2])
LlamaForCausalLM(LlamaConfig(
    vocab_size=size, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    tie_word_embeddings=True)).save_pretrained(folder)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return demo_with(OVERLAY, tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module")
def folder(nemo_python, tmp_path_factory) -> Path:
    """A folder with a tied model, as base.nemo."""
    place = tmp_path_factory.mktemp("trained")
    size = write_tokenizer(place / "hf", "smollm2")
    subprocess.run([nemo_python, "-c", MODEL, place / "hf", str(size + 5)], check=True)
    convert = ROOT / "scripts/convert_hf_to_nemo.py"
    subprocess.run([nemo_python, convert, place / "hf", place / "base.nemo"], check=True)
    return place


@pytest.fixture(scope="module")
def sl_cai(folder, settings) -> Path:
    turns = [("User", "How do I mend it?"), ("Assistant", "With glue, it's (A) 123.")]
    said = [{"from": who, "value": text, "label": None} for who, text in turns]
    line = json.dumps({"system": "", "mask": "User", "conversations": said})
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text(f"{line}\n" * 8)
    files = {name: folder / f"{name}.jsonl" for name in ("train", "validation")}
    files["model"] = folder / "base.nemo"
    command = programs.sft(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        return train(folder, "sl_cai", "megatron_gpt_sft", command, SFT_FILES, files)


def test_sft_publishes_the_tokenizer(folder, sl_cai, nemo_python):
    own = Tokenizer(folder / "hf")
    text = f"{MARK}User\nIt's (A) 123.\n"
    assert Tokenizer(sl_cai).encode(text) == own.encode(text)
    moved = sl_cai.parent / "elsewhere"
    moved.mkdir()
    (moved / "model.nemo").write_bytes(sl_cai.read_bytes())
    export = ROOT / "scripts/convert_nemo_to_hf.py"
    command = [nemo_python, export, moved / "model.nemo", moved / "hf", "--template", folder / "hf"]
    subprocess.run(command, check=True)
    assert json.loads((moved / "hf/config.json").read_text())["tie_word_embeddings"] is False
    name = "tokenizer.json"
    assert (moved / "hf" / name).read_bytes() == (folder / "hf" / name).read_bytes()


def test_weights_and_biases_gets_the_training_offline(folder, sl_cai):
    [run] = (folder / "work").rglob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_a_reward_model_is_made_of_it(folder, sl_cai, settings):
    """NeMo-Aligner unties it, and finds the output layer that the conversion has written."""
    text = f"{MARK}System\n\n{MARK}User\nMend it?\n{MARK}Assistant\n"
    pairs = [json.dumps({"text": f"{text}{answer}\n{MARK}"}) for answer in ("Glue.", "No.")]
    (folder / "pairs.jsonl").write_text("\n".join(pairs * 8) + "\n")
    files = {"model": sl_cai, "train": folder / "pairs.jsonl"}
    command = programs.reward_model(settings)
    made = train(folder, "reward_model", "megatron_gpt", command, FILES, files)
    assert Tokenizer(made).encode(text) == Tokenizer(folder / "hf").encode(text)
