"""A run is made again into another folder, by the real Snakemake, and both are compared."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.messages import says

pytestmark = pytest.mark.slow


PROGRAM = Path(__file__).parents[2] / "scripts/reproduce.py"
SNAKEFILE = """
rule all:
    input:
        f"{config['results']}/evaluation/summary.json",

rule dataset:
    output:
        f"{config['results']}/data/train.jsonl",
        touch(f"{config['results']}/data/train.manifest.json"),
    params:
        row=config.get("row", "{}"),
    shell:
        "echo {params.row:q} > {output[0]:q}"

rule summary:
    input:
        rules.dataset.output,
    output:
        f"{config['results']}/evaluation/summary.json",
    shell:
        "cp {input[0]:q} {output:q}"
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def snakemake(project, results, *settings):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", f"results={results}"]
    subprocess.run([*command, *settings], cwd=project, check=True, capture_output=True)


def reproduce(project, *arguments):
    command = [sys.executable, PROGRAM, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def test_equal_runs(project):
    snakemake(project, "one")
    (project / "one/extra.jsonl").write_text("{}\n")  # more may have been made in the first
    done = reproduce(project, "one", "the second", "--cores", "1")
    assert done.returncode == 0, done.stderr
    header, train, summary, count = done.stdout.splitlines()
    assert header.split("  ")[0] == "artefact"
    assert train.split()[0] == "data/train.jsonl" and train.split()[1] == train.split()[2]
    assert summary.startswith("evaluation/summary.json ")
    assert train.index("equal") == summary.index("equal")
    assert count == "2 of 2 equal"


def test_what_differs_is_told_and_the_exit_code_says_so(project):
    snakemake(project, "one")
    (project / "one/evaluation/summary.json").unlink()
    row = json.dumps({"id": "1"})
    done = reproduce(project, "one", "two", "--cores", "1", "--config", f"row={row!r}", "--", "all")
    assert done.returncode == 1, done.stderr
    _, train, summary, count = done.stdout.splitlines()
    assert train.endswith("DIFFERENT")
    assert summary.split()[1] == "missing" and summary.endswith("DIFFERENT")
    assert count == "0 of 2 equal"


def test_no_run_from_nothing_into_a_folder_that_has_something(project):
    (project / "one").mkdir()
    (project / "two").mkdir()
    (project / "two/mine").touch()
    done = reproduce(project, "one", "two", "--cores", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says(done.stderr, "two: … not empty")
    assert (project / "two/mine").exists()


def test_a_run_that_fails_is_no_comparison(project):
    (project / "one").mkdir()
    done = reproduce(project, "one", "two", "--cores", "1", "--", "nothing_of_this_name")
    assert done.returncode == 2
    assert says(done.stderr, "error: … second run … code 1")
