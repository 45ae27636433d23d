"""Adoption: a change is accepted, by the real DAG; nothing runs again, and all is recorded."""

import json
import subprocess
import sys

import pytest
from tests.messages import says
from tests.project import DEMO, Project

pytestmark = pytest.mark.slow


PPO = "nemo={overrides: {actor: {trainer.ppo.initial_policy_kl_penalty: 0.2}}}"
RED_TEAM = "results/demo/data/red_team/train.jsonl"
PREFERENCES = "results/demo/rl_cai/preferences/0.jsonl"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy in which all is done, as far as Snakemake knows."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.pretend()
    return project


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def adopt(project, artefact, *arguments, why="it is the same"):
    """The process that adopts an artefact."""
    reason = ["--why", why] if why else []
    command = [sys.executable, "scripts/lineage.py", "--adopt", artefact, *reason]
    return subprocess.run(
        [*command, *project.command(*arguments)[3:]],
        cwd=project.folder,
        capture_output=True,
        text=True,
    )


def edit(path, old, new):
    """Edit a file, which is then newer than what was made of it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def adopted(project, name):
    return json.loads((project.results / f"{name}.manifest.json").read_text())["adopted"]


def test_a_setting(project):
    arguments = ["--config", PPO]
    assert "rl_cai" in project.planned(*arguments)
    done = adopt(project, "results/demo/rl_cai.nemo", *arguments)
    assert done.returncode == 0, done.stderr
    penalty = DEMO["nemo"]["overrides"]["actor"]["trainer.ppo.initial_policy_kl_penalty"]
    reason = f"actor.trainer.ppo.initial_policy_kl_penalty: {penalty} -> 0.2"
    assert f"adopted: rl_cai\n  {reason}\n" in done.stdout
    assert "left alone: report\n  settings.nemo.overrides" in done.stdout
    assert project.planned(*arguments) == {"report"}  # it shows the settings
    (entry,) = adopted(project, "rl_cai")
    assert entry["why"] == "it is the same" and entry["reasons"] == [reason]
    assert entry.keys() == {"when", "why", "who", "reasons"}
    assert adopted(project, "evaluation/answers/rl_cai")[0]["reasons"] == ["follows rl_cai"]

    back = adopt(project, "results/demo/rl_cai.nemo", why="and back")
    assert back.returncode == 0, back.stderr
    assert [entry["why"] for entry in adopted(project, "rl_cai")] == ["it is the same", "and back"]
    assert project.planned() == {"report"}  # it is older than what it shows


def test_an_edited_program(project):
    program = "scripts/rl_cai/judge_candidates.py"
    edit(project.folder / program, "import argparse\n", "import argparse\nimport os\n")
    assert project.planned() >= {"preferences", "rl_dataset"}
    done = adopt(project, PREFERENCES)
    assert f"adopted: preferences 0\n  code: {program} edited\n" in done.stdout, done.stderr
    assert project.planned() == set()


def test_an_edited_input(project):
    edit(project.folder / "demo/data/red_team.jsonl", "\n", "\n\n")
    assert project.planned() >= {"red_team", "responses", "sl_cai", "rl_cai"}
    done = adopt(project, RED_TEAM)
    assert "adopted: red_team\n  updated: demo/data/red_team.jsonl\n" in done.stdout, done.stderr
    assert project.planned() == set()


def test_what_has_a_reason_of_its_own_is_left_alone(project):
    edit(project.folder / "demo/constitution.yaml", "preference: ", "preference: Please, ")
    edit(project.folder / "demo/data/red_team.jsonl", "\n", "\n\n")
    done = adopt(project, RED_TEAM)
    assert "left alone: preferences 0\n  principle privacy: preference edited\n" in done.stdout, (
        done.stderr
    )
    planned = project.planned()
    assert planned >= {"preferences", "rl_dataset", "reward_model", "rl_cai"}
    assert not planned & {"red_team", "responses", "sl_cai", "candidates"}


def test_refused_where_a_job_before_it_has_to_run(project):
    edit(project.folder / "demo/constitution.yaml", "preference: ", "preference: Please, ")
    done = adopt(project, "results/demo/rl_cai.nemo")
    assert done.returncode == 2
    assert says(done.stderr, "run: reward_model … rl_dataset")
    assert "rl_cai" in project.planned()


def test_refused_where_a_file_is_missing(project):
    (project.results / "rl_cai.metrics.csv").unlink()
    done = adopt(project, "results/demo/rl_cai.nemo", "--config", PPO)
    assert done.returncode == 2
    assert says(done.stderr, "missing … results/demo/rl_cai.metrics.csv")


@pytest.mark.parametrize(
    "artefact, why, told",
    [
        ("results/demo/rl_cai.nemo", "", "--adopt needs --why"),
        ("results/demo/rl_cai.nemo", "why", "up to date"),
        ("results/demo/rl_ca.nemo", "why", "MissingRuleException"),
    ],
)
def test_what_cannot_be_adopted_is_told_in_one_line(project, artefact, why, told):
    done = adopt(project, artefact, why=why)
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
