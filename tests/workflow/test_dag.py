"""A dry run as data: what Snakemake would run, and all reasons of each job, by the real DAG."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from tests.project import DEMO, TARGETS, Project

pytestmark = pytest.mark.slow


PROGRAM = """
import dataclasses, json, sys
from cai.core import cli
from cai.workflow.dag import dry_run

def main():
    run = dry_run(sys.argv[1:])
    json.dump({job.name: {**dataclasses.asdict(job), "own": job.reasons.own()}
               for job in run.jobs}, sys.stdout, default=str)

cli.run(main)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy in which all is done, as far as Snakemake knows."""
    project = Project(tmp_path_factory.mktemp("planned"))
    project.pretend()
    return project


def dry_run(project, *arguments, targets=TARGETS):
    """The process that makes a dry run and prints its jobs as JSON."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *project.command(*arguments, "--", *targets)[3:]],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "scripts")},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def plan(project):
    """The jobs of a dry run that have to run, by their names."""

    def plan(*arguments):
        done = dry_run(project, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return {name: job for name, job in json.loads(done.stdout).items() if job["needed"]}

    return plan


@pytest.fixture
def kept(project):
    """Remember a file; it is put back, with its time."""
    files = {}

    def keep(name):
        path = project.folder / name
        files[path] = (path.read_bytes(), path.stat())
        return path

    yield keep
    for path, (content, status) in files.items():
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_is_done_is_planned_by_nobody(plan):
    assert plan() == {}


def test_each_job_has_reasons_of_its_own_beside_those_of_others(plan):
    ppo = "nemo={overrides: {actor: {trainer.ppo.initial_policy_kl_penalty: 0.2}}}"
    penalty = DEMO["nemo"]["overrides"]["actor"]["trainer.ppo.initial_policy_kl_penalty"]
    jobs = plan("--config", ppo, "preferences={temperatures: [0.5, 1.0]}")
    assert jobs["candidates 0"]["own"] == ["temperatures: [0.7, 1.0, 1.0, 1.2] -> [0.5, 1.0]"]
    [own] = jobs["rl_cai"]["own"]
    assert own == f"actor.trainer.ppo.initial_policy_kl_penalty: {penalty} -> 0.2"
    assert jobs["rl_cai"]["reasons"]["made"]["results/demo/reward_model.nemo"] == "reward_model"
    assert jobs["reward_model"]["own"] == []
    [param] = jobs["rl_cai"]["reasons"]["params"]
    assert param["name"] == "actor"
    assert f"trainer.ppo.initial_policy_kl_penalty={penalty}" in param["before"]
    assert "trainer.ppo.initial_policy_kl_penalty=0.2" in param["now"]


def test_principles_are_told_by_id(plan, kept):
    path = kept("demo/constitution.yaml")
    content = yaml.safe_load(path.read_text())
    first, second, *others = content["principles"]
    edited = {**first, "preference": f"Please, {first['preference']}"}
    new = {"id": "modesty", "preference": "Which is more honest?"}
    path.write_text(yaml.safe_dump({"principles": [edited, *others, new]}))
    assert set(plan()["preferences 0"]["own"]) == {
        f"principle {first['id']}: preference edited",
        f"principle {second['id']} removed",
        "principle modesty added",
    }


def test_an_edited_program_and_a_missing_file_are_named(plan, project, kept):
    path = kept("scripts/rl_cai/judge_candidates.py")
    text = path.read_text()
    path.write_text(text + "ANOTHER = 1\n")
    lost = project.results / "rl_cai.metrics.csv"
    lost.unlink()
    try:
        jobs = plan()
    finally:
        path.write_text(text)
        lost.touch()
        project.snakemake("--touch", "--forceall", "--", *TARGETS)
    assert jobs["preferences 0"]["own"] == ["code: scripts/rl_cai/judge_candidates.py edited"]
    assert jobs["rl_cai"]["own"] == ["missing: results/demo/rl_cai.metrics.csv"]


TRAINED = {"convert_model", "sl_cai", "reward_model", "rl_cai", "fetch_model"}
EDITED = "\nEDITED = True\n"


def rules_of(jobs):
    return {job["rule"] for job in jobs.values()}


def own_code(jobs, path):
    """The rules that run because this file was edited."""
    return {job["rule"] for job in jobs.values() if f"code: {path} edited" in job["own"]}


@pytest.mark.parametrize(
    "path, edited, not_planned",
    [
        (
            "scripts/cai/statistics/intervals.py",
            {"summary", "stage_warnings"},
            {"preferences", "answers"},
        ),
        ("scripts/cai/data/sl_dataset.py", {"sl_dataset"}, {"preferences", "judged", "summary"}),
        ("scripts/cai/judging/pairwise.py", {"preferences", "judged"}, {"responses", "sl_dataset"}),
        (
            "scripts/cai/files/records.py",
            {"red_team", "responses", "preferences", "summary"},
            set(),
        ),
        ("scripts/cai/training/trainer.py", set(), {"summary", "report"}),
        ("scripts/convert_hf_to_nemo.py", set(), {"responses"}),
    ],
)  # fmt: skip
def test_an_edited_module_runs_the_jobs_that_import_it_but_no_training(
    plan, kept, path, edited, not_planned
):
    module = kept(path)
    module.write_text(module.read_text() + EDITED)
    jobs = plan()
    assert own_code(jobs, path) >= edited
    assert ("report" in rules_of(jobs)) == bool(edited)  # it shows what they make
    assert not rules_of(jobs) & (TRAINED | not_planned)


def test_a_comment_or_a_docstring_runs_nothing(plan, kept):
    for name in (
        "scripts/rl_cai/judge_candidates.py",
        "scripts/cai/files/records.py",
        "scripts/cai/evaluation/tables.py",
    ):
        module = kept(name)
        text = module.read_text().replace('"""\n', ' More words."""\n', 1)
        module.write_text(f"# A comment.\n{text}\n\n# Another one.\n")
    assert plan() == {}


def test_a_page_that_a_program_fills_in_counts_as_its_code(plan, kept):
    page = kept("scripts/cai/report/page.css")
    page.write_text(page.read_text() + "\nbody { color: red }\n")
    assert rules_of(plan()) == {"report"}


@pytest.mark.parametrize(
    "arguments, targets, told",
    [
        (["--config", "seed=x"], TARGETS, "error: --config: seed: Input should be"),
        ([], ["results/demo/rl_ca.nemo"], "error: snakemake: MissingRuleException: No rule to"),
        (["--nonsense"], TARGETS, "unrecognized arguments: --nonsense"),
    ],
    ids=["preflight", "target", "option"],
)
def test_what_cannot_be_planned_is_told_in_one_line(project, arguments, targets, told):
    done = dry_run(project, *arguments, targets=targets)
    assert done.returncode != 0 and done.stdout == ""
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_another_constitution_is_shown_once_at_the_report(project):
    text = (project.folder / "demo/constitution.yaml").read_text()
    (project.folder / "demo/other.yaml").write_text(text)
    done = dry_run(project, "--config", "constitution=demo/other.yaml")
    assert done.returncode == 0, done.stderr
    jobs = {name: job for name, job in json.loads(done.stdout).items() if job["needed"]}
    assert rules_of(jobs) == {"report"}
    (line,) = jobs["report"]["own"]
    assert "constitution" in line and "demo/other.yaml" in line
