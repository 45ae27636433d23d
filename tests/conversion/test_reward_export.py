"""A reward model as a classifier of transformers: its head, its bias, and where it reads a text."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.bpe import write_tokenizer
from tests.conversion.support import SCRIPTS
from tests.conversion.test_round_trip import PUBLISHED, read

from cai.models.templates import Template
from cai.models.tokens import Tokenizer

BIAS = 0.7265625596046448  # a number of fp32, and of nothing shorter
TEXTS = [[5, 9, 30, 31, 7], [6, 7], [8, 30, 12, 13, 14, 15, 6, 5, 20]]
CHAT = Template(user="Q: {content}\n", assistant="A: {content}\n", stop=["Q:"], add_bos=False)
CHATML = Template(
    user="<|im_start|>user\n{content}<|im_end|>\n",
    assistant="<|im_start|>assistant\n{content}",
    close="<|im_end|>",
    stop=["<|im_end|>"],
    add_bos=False,
)


@pytest.fixture(params=["Llama 3.1", "Mistral v0.1", "Qwen2.5-7B"])
def made(request, call, make_model, pieces, tmp_path) -> tuple[Path, Path, list[float]]:
    """A language model in bf16, the reward model made of it, and the weights of its head."""
    fields = PUBLISHED[request.param] | {"vocab_size": pieces + 3}
    source = make_model(tmp_path / "source", "bfloat16", **fields)
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    weight = call("add_head", tmp_path / "there.nemo", tmp_path / "reward.nemo", BIAS)
    return source, tmp_path / "reward.nemo", weight


def export(nemo_python: str, archive: Path, folder: Path, chat: Template) -> Path:
    program = [nemo_python, SCRIPTS / "convert_nemo_to_hf.py", archive, folder]
    subprocess.run([*program, "--chat", chat.model_dump_json()], check=True)
    return folder


def test_rewards_are_the_head_of_the_last_state(made, call, nemo_python):
    source, archive, weight = made
    folder = export(nemo_python, archive, archive.parent / "hf", CHAT)
    config = read(folder / "config.json")
    assert config["score_bias"] == BIAS and config["torch_dtype"] == "bfloat16"
    assert config["architectures"][0].endswith("ForSequenceClassification")
    assert not config.get("rope_scaling"), "NeMo-Aligner's reward model scales no positions"
    plain = read(source / "config.json") | {"rope_scaling": None}
    (source / "config.json").write_text(json.dumps(plain))
    states = call("last_states", source, TEXTS)
    expected = [sum(w * h for w, h in zip(weight, state, strict=True)) + BIAS for state in states]
    found = call("rewards", folder, TEXTS, config["pad_token_id"])
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(found) - min(found) > 0.1


def test_texts_are_read_as_in_training(made, nemo_python):
    _, archive, _ = made
    folder = export(nemo_python, archive, archive.parent / "hf", CHAT)
    told = read(folder / "tokenizer_config.json")
    assert told["add_bos_token"] is False and told["padding_side"] == "right"
    assert "Q: " in told["chat_template"] and not (folder / "generation_config.json").exists()


def test_what_fills_up_a_batch_is_no_mark_of_the_template(call, make_model, tmp_path, nemo_python):
    """SmolLM2's padding is the mark that ends a turn: the reward would be read before it."""
    folder = tmp_path / "source"
    size = write_tokenizer(folder, "smollm2")
    make_model(folder, vocab_size=size, **PUBLISHED["Llama 3"])
    (folder / "tokenizer.model").unlink()
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(read(config) | {"pad_token": "<|im_end|>"}))
    call("hf_to_nemo", folder, tmp_path / "there.nemo")
    call("add_head", tmp_path / "there.nemo", tmp_path / "reward.nemo", BIAS)
    out = export(nemo_python, tmp_path / "reward.nemo", tmp_path / "hf", CHATML)
    pad, own = read(out / "config.json")["pad_token_id"], Tokenizer(out)
    marks = {token for text in ("<|im_start|>", "<|im_end|>") for token in own.encode(text)}
    assert pad is not None and pad not in marks
    assert own.encode(read(out / "tokenizer_config.json")["pad_token"]) == [pad]
