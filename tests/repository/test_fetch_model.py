"""A model's config.json is fetched and checked before its weights."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bpe import write_tokenizer
from tests.data.hub import serve_dataset

from cai.models.families.llama import SCALING

pytestmark = pytest.mark.slow  # starts the program once for each model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = json.loads(Path("demo/models/base/config.json").read_text())

WEIGHTS = "model.safetensors"
CAPTURED = {"capture_output": True, "text": True}
WORKS = "models that work: .*Llama 3.1.*Mistral-7B.*Qwen2.5"


def fetch(folder, files):
    """What fetch_model.py says of a hub's model of these files, and which of them it asked for."""
    asked = []
    with serve_dataset("some/model", COMMIT, files, asked) as endpoint:
        done = subprocess.run(
            [
                *(sys.executable, "scripts/models/fetch_model.py", "--source", "some/model"),
                *("--revision", COMMIT, "--output", str(folder / "out")),
            ],
            env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
        )
    return done, set(asked)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "gpt2"}, "model_type: found 'gpt2'; accepted: 'llama', 'mistral'"),
        ({"model_type": "qwen3"}, "model_type: found 'qwen3' (it has norms of queries and keys)"),
        ({"model_type": "olmo2"}, "model_type: found 'olmo2' (it has norms"),
        ({"model_type": "gemma3_text"}, "model_type: found 'gemma3_text' (it has norms"),
        ({"model_type": "smollm3"}, "model_type: found 'smollm3' (it has layers without"),
        (
            {"model_type": "llama", "rope_scaling": SCALING | {"factor": 32.0}},
            "rope_scaling.factor: found 32.0; accepted: 8.0",
        ),
        ({"rope_scaling": SCALING}, "rope_scaling.rope_type: found 'llama3'; accepted: none"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window: found True"),
        (
            {"model_type": "qwen2", "rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
            "rope_parameters.rope_type: found 'yarn'",
        ),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types: found ["),
        ({"quantization_config": {"bits": 4}}, "quantization_config: found {'bits': 4}"),
    ],
)
def test_a_model_that_cannot_be_converted_is_not_downloaded(tmp_path, change, told):
    files = {"config.json": json.dumps(CONFIG | change).encode(), WEIGHTS: b"large"}
    done, asked = fetch(tmp_path, files)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: some/model@{COMMIT}: config.json: {told}")
    assert re.search(WORKS, line)
    assert asked == {"config.json"}


@pytest.mark.parametrize("text", [b"[]", b'{"model_type": "mistral"}', b"{"])
def test_a_config_that_is_none_is_told_in_one_line(tmp_path, text):
    done, asked = fetch(tmp_path, {"config.json": text, WEIGHTS: b"large"})
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "config.json:" in line
    assert asked == {"config.json"}


def test_a_tokenizer_larger_than_the_embedding_stops_before_the_weights(tmp_path):
    small = {"tokenizer.model": Path("demo/models/base/tokenizer.model").read_bytes()}
    small |= {"config.json": json.dumps(CONFIG | {"vocab_size": 100}).encode()}
    done, asked = fetch(tmp_path, small | {WEIGHTS: b"large"})
    assert done.returncode == 2 and "tokens, but vocab_size in some/model@" in done.stderr
    assert asked == set(small)


def test_one_without_a_tokenizer_is_not_downloaded(tmp_path):
    files = {"config.json": json.dumps(CONFIG).encode(), WEIGHTS: b"large"}
    done, asked = fetch(tmp_path, files)
    assert done.returncode == 2 and "found no tokenizer; accepted: tokenizer.model" in done.stderr
    assert asked == {"config.json"}


@pytest.mark.parametrize("kind", ["sentencepiece", "smollm2"])
def test_one_that_can_is(tmp_path, kind):
    if kind == "sentencepiece":
        small = {"tokenizer.model": Path("demo/models/base/tokenizer.model").read_bytes()}
    else:
        write_tokenizer(tmp_path / "small", kind)
        small = {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()}
    small |= {"config.json": json.dumps(CONFIG).encode()}
    done, asked = fetch(tmp_path, small | {WEIGHTS: b"large"})
    assert done.returncode == 0, done.stderr
    assert asked == {*small, WEIGHTS}
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == b"large"


def test_a_local_folder_is_checked_as_well(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(CONFIG | {"model_type": "qwen3"}))
    program = (sys.executable, "scripts/models/fetch_model.py", "--source", f"{tmp_path}/model/")
    done = subprocess.run([*program, "--output", str(tmp_path / "out")], **CAPTURED)
    assert done.returncode == 2 and "model_type: found 'qwen3'" in done.stderr
    assert not (tmp_path / "out").exists()
