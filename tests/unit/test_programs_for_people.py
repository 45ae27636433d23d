"""What a person's command line meets: closed pipes, another Python, the wrong configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.messages import says

from cai.checks import preflight
from cai.core.errors import UserError
from cai.settings.configuration import load_settings
from cai.workflow import experiments

ROOT = Path(__file__).parents[2]
PRINTING = """
import sys
sys.path.insert(0, "scripts")
from cai.core import cli

def main():
    for number in range(100_000):
        print("line", number)
    sys.exit(1)

cli.run(main)
"""


def run(*command: str) -> subprocess.CompletedProcess:
    """A program of ours under this Python, in the root of the project."""
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


PROGRAMS = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "scripts").rglob("*.py"))
    if not path.is_relative_to(ROOT / "scripts/cai")
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_explains_itself_from_the_root(program, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    done = run(program, "--help")
    assert "usage: " in done.stdout or "TRAINING_PROGRAM" in done.stderr, done.stderr


def test_two_programs_never_have_one_name():
    names = [Path(path).name for path in PROGRAMS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("taken", ["head -1", "true"])
def test_a_pipe_that_nobody_reads_is_no_mistake(taken):
    shell = f"set -o pipefail; {sys.executable} - | {taken}"
    done = subprocess.run(
        ["bash", "-c", shell], input=PRINTING, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "name", ["convert_hf_to_nemo", "convert_nemo_to_hf", "convert_checkpoint_to_nemo"]
)
def test_a_converter_tells_its_options_without_nemo(name):
    done = run(f"scripts/{name}.py", "--help")
    assert done.returncode == 0 and "usage: " in done.stdout, done.stderr


def test_a_converter_that_needs_another_python_says_which(tmp_path):
    done = run("scripts/convert_hf_to_nemo.py", str(tmp_path), str(tmp_path / "x.nemo"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "needs torch" in done.stderr and "nemo.python" in done.stderr


def test_journals_are_found_by_the_profile():
    done = run("scripts/journal.py", "stats", "--profile", "profiles/none")
    assert says(done.stderr, "--profile: profiles/none: … config.yaml")
    done = run("scripts/journal.py", "stats", "--profile", "profiles/demo")
    assert done.returncode == 0 or "results/demo/work/journal: no such folder" in done.stderr


@pytest.mark.parametrize("name", ["a--b", "-a", "a b", "a/b", "ü"])
def test_which_letters_an_experiment_may_have(name):
    with pytest.raises(UserError, match=r"experiment: found .*; accepted: letters, digits"):
        experiments.overlay(name)


def test_dialogues_too_long_for_a_command_are_refused_beforehand():
    settings = load_settings(["config/config.yaml"])
    principles = {"supervised": [], "preference": []}
    preflight.check_lengths(settings, principles, [json.dumps(["x" * 100_000])])
    with pytest.raises(UserError, match=r"^few_shot: config/few_shot.yaml: "):
        preflight.check_lengths(settings, principles, [json.dumps(["x" * 65_000])] * 2)
    with pytest.raises(UserError, match=r"^constitution: "):
        preflight.check_lengths(settings, {**principles, "preference": ["'" * 40_000]}, [])
