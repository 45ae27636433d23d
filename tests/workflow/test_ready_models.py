"""The ready files of config/models: each is planned, fits its GPUs, and suits its tokenizer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bpe import write_tokenizer

from cai.lineage.model_card import read_licences
from cai.models.tokens import Tokenizer
from cai.nemo import programs
from cai.settings.configuration import load_settings

FOLDER = Path("config/models")
FILES = {  # with their profiles, and the tokenizer of tests/bpe.py that has the model's marks
    "smollm2-1.7b": (["one_gpu"], "smollm2"),
    "llama-3.1-8b": (["slurm", "node"], "llama3"),
    "qwen2.5-7b": (["slurm", "node"], "qwen2"),
}
RUNS = [(name, profile) for name, (profiles, _) in FILES.items() for profile in profiles]


def settings(name):
    return load_settings(["config/config.yaml", str(FOLDER / f"{name}.yaml")])


def test_each_file_is_tested():
    assert {path.stem for path in FOLDER.iterdir()} == FILES.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile"), RUNS)
def test_a_dry_run_plans_all_and_finds_nothing_that_does_not_fit(name, profile):
    """All last stages of the file, and for PPO the others, too."""
    policies = ",".join(dict.fromkeys([*settings(name).policies, "dpo_cai"]))
    command = ["-m", "snakemake", "--profile", f"profiles/{profile}", "--dry-run", "--nolock"]
    given = ["--configfile", FOLDER / f"{name}.yaml", "--config", f"policies=[{policies}]"]
    done = subprocess.run(
        [sys.executable, *command, *given, "--", "all", "share_models"],
        env={**os.environ, "NVIDIA_API_KEY": "none"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert [line for line in warned if "no such file on this host" not in line] == []
    rows = re.findall(r"^(\w+) +\d.* ([\d.]+) of 80$", done.stderr, re.MULTILINE)
    sizes = {stage: float(size) for stage, size in rows}
    assert {"responses", "sl_cai", "dpo_cai"} <= sizes.keys() and max(sizes.values()) < 72
    assert "model_card" in done.stdout


@pytest.mark.parametrize("name", FILES)
def test_its_marks_are_tokens_of_its_own(name, tmp_path):
    write_tokenizer(tmp_path, FILES[name][1])
    model = settings(name).models.base
    programs.check_template(model.template)
    programs.check_tokenizer(model.template, Tokenizer(tmp_path), model.source)


@pytest.mark.parametrize("name", FILES)
def test_revisions_are_commits_and_licences_are_known(name):
    models, licences = settings(name).models, read_licences(Path("config/licences.yaml"))
    for model in (models.base, models.instruct):
        assert re.fullmatch("[0-9a-f]{40}", model.revision)
        assert any(Path(model.source).match(pattern) for pattern in licences), model.source
