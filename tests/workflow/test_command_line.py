"""Arguments of Snakemake: what is a target, and what takes the place of a profile's files."""

import subprocess
import sys

import pytest
import yaml
from tests.project import Project

from cai.workflow.command_line import as_written, separated, warnings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "given, kept, targets",
    [
        (["--configfile", "x.yaml", "a.nemo"], ["--configfile", "x.yaml"], ["a.nemo"]),
        (
            ["--configfile", "x.yaml", "y.yaml", "a.nemo", "-n", "--", "b"],
            ["--configfile", "x.yaml", "y.yaml", "-n"],
            ["a.nemo", "b"],
        ),
        (["a.nemo", "--configfile", "x"], ["a.nemo", "--configfile", "x"], []),
        (["--configfile=x.yaml", "a.nemo"], ["--configfile=x.yaml", "a.nemo"], []),
        (["-n"], ["-n"], []),
    ],
)  # fmt: skip
def test_a_target_after_a_configuration_file_is_a_target(given, kept, targets):
    assert separated(given) == [*kept, *(["--", *targets] if targets else [])]


@pytest.mark.parametrize(
    "files, told",
    [
        (["my.yaml"], ["--configfile config/demo.yaml my.yaml"]),
        (["config/demo.yaml", "my.yaml"], []),
        ([], []),
    ],
)
def test_a_profiles_own_files_are_not_replaced_unsaid(files, told):
    given = ["--configfile", *files] if files else []
    found = warnings(["--profile", "profiles/demo", *given])
    assert len(found) == len(told)
    assert all(both in line for line, both in zip(found, told, strict=True))
    assert warnings(["--profile", "profiles/slurm", *given]) == []


@pytest.mark.parametrize("name", ["2025_06_01", "007", "01", "1e3", "true", "null", "[a]", "", "x"])
def test_an_experiment_is_called_what_was_written(name):
    """Snakemake's parse_config would read the first four as numbers."""
    from snakemake.cli import parse_config

    given = [f"experiment={name}", f"results={name}", "seed=5", "few_shot=null"]
    found = as_written(parse_config(given), given)
    assert found == {"experiment": name, "results": name, "seed": 5, "few_shot": "null"}
    assert as_written(parse_config(['results="a b"']), ['results="a b"']) == {"results": "a b"}


def test_a_plan_of_an_experiment_with_a_date_for_a_name(tmp_path):
    project = Project(tmp_path)
    own = tmp_path / "config/experiments/2025_06_01.yaml"
    own.write_text("seed: 5\n")
    target = "results/demo/experiments/2025_06_01/data/red_team/train.jsonl"
    config = ["--config", "experiment=2025_06_01"]
    assert target in project.snakemake("-n", "-p", *config, "--", target)


def test_a_plan_takes_a_target_and_a_text_with_dashes(tmp_path):
    """A principle may hold " -- ", quotes and a pipe: its job is planned like any other."""
    Project(tmp_path)
    text = """Which is kinder -- "it's" or 2>&1 | tee $(x) -- {y}?"""
    constitution = {
        "principles": [{"id": "p", "preference": text, "critique": text, "revision": text}]
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(constitution))
    fields = {"constitution": "mine.yaml", "models": {"instruct": {"vocabulary": None}}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(fields))
    command = [sys.executable, "scripts/plan.py", "--profile", "profiles/demo"]
    done = subprocess.run(
        [*command, "--configfile", "config/demo.yaml", "x.yaml", "results/demo/rl_cai.nemo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "revisions" in done.stdout and "preferences" in done.stdout
