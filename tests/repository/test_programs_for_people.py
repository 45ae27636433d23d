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

pytestmark = pytest.mark.slow  # starts each program of a person

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
    if not path.is_relative_to(ROOT / "scripts/cai") and "\nif __name__ ==" in path.read_text()
]
HELP = """
import os, runpy, sys
import cai.settings.configuration, matplotlib.figure  # take long to import: once for all programs

for program in sys.argv[1:]:
    if os.fork() == 0:
        sys.argv, sys.path[0] = [program, "--help"], os.path.dirname(program)
        runpy.run_path(program, run_name="__main__")
    if os.wait()[1]:
        print("fails:", program, flush=True)
"""


def test_each_program_explains_itself_from_the_root():
    programs = [path for path in PROGRAMS if not path.endswith("finish_training.py")]  # NeMo's
    done = run("-c", HELP, *programs)
    assert "fails:" not in done.stdout, done.stdout[:300] + done.stderr
    assert done.stdout.count("usage: ") == len(programs) > 40


@pytest.mark.parametrize("folder", sorted({str(Path(path).parent) for path in PROGRAMS}))
def test_the_programs_of_each_folder_find_the_library(folder, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    program = next(path for path in PROGRAMS if str(Path(path).parent) == folder)
    done = run(program, "--help")
    assert "usage: " in done.stdout or "TRAINING_PROGRAM" in done.stderr, done.stderr


def test_the_root_has_a_persons_commands_and_each_folder_the_name_of_a_file_of_rules():
    root = {path for path in PROGRAMS if path.count("/") == 1}
    assert len(root) <= 13
    folders = {path.split("/")[1] for path in set(PROGRAMS) - root}
    rules = {path.stem for path in (ROOT / "rules").iterdir()}
    assert folders - rules == {"tools"}


@pytest.mark.parametrize(
    "start, told",
    [
        ("sys.modules['cai'] = None", "does not find the library scripts/cai; `make controller`"),
        ("sys.path.insert(0, 'OTHER')", "finds OTHER/cai, not the library of this folder"),
    ],
)
def test_a_workflow_without_its_own_library_says_what_to_do(start, told, tmp_path):
    (tmp_path / "cai").mkdir()
    (tmp_path / "cai/__init__.py").touch()
    code = (
        f"import sys; {start}; from snakemake.cli import main; "
        "sys.argv[:] = ['snakemake', '-n', '--cores', '1']; main()"
    )
    done = run("-c", code.replace("OTHER", str(tmp_path)))
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(lines) == 1 and told.replace("OTHER", str(tmp_path)) in lines[0]


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
    preflight.check_argument_sizes(settings, principles, [json.dumps(["x" * 100_000])])
    with pytest.raises(UserError, match=r"^few_shot: config/few_shot.yaml: "):
        preflight.check_argument_sizes(settings, principles, [json.dumps(["x" * 65_000])] * 2)
    with pytest.raises(UserError, match=r"^constitution: "):
        preflight.check_argument_sizes(settings, {**principles, "preference": ["'" * 40_000]}, [])
