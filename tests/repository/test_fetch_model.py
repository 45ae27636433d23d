"""A model's config.json is fetched and checked before its weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.hub import serve_dataset

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = json.loads(Path("demo/models/base/config.json").read_text())
WEIGHTS = "model.safetensors"


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
        ({"model_type": "gpt2"}, "model_type: found 'gpt2'; accepted: 'mistral', 'llama'"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling: found {'type': 'yarn'}"),
    ],
)
def test_a_model_that_cannot_be_converted_is_not_downloaded(tmp_path, change, told):
    files = {"config.json": json.dumps(CONFIG | change).encode(), WEIGHTS: b"large"}
    done, asked = fetch(tmp_path, files)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: some/model@{COMMIT}: config.json: {told}")
    assert asked == {"config.json"}


def test_one_that_can_is(tmp_path):
    files = {"config.json": json.dumps(CONFIG).encode(), WEIGHTS: b"large"}
    done, asked = fetch(tmp_path, files)
    assert done.returncode == 0, done.stderr
    assert asked == {"config.json", WEIGHTS}
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == b"large"
