"""What an edit of the constitution, the configuration or a program reruns, by the real DAG."""

import os
import re

import pytest
import yaml
from tests.project import TARGETS, answers

BEFORE_PRINCIPLES = {
    "fetch_model",
    "convert_model",
    "red_team",
    "helpful_sft",
    "helpful_preferences",
    "responses",
    "evaluation_prompts",
}
RL_STAGE = {"preferences", "rl_dataset", "reward_model", "rl_cai", "rewards", "judged", "summary"}
BEHIND_STATISTICS = {"calibration", "summary", "stage_warnings", "harmlessness", "report", "all"}
SL_STAGE = {"revisions", "sl_dataset", "sl_cai", "candidates"} | RL_STAGE


@pytest.fixture
def edit(project):
    """Edit a file of the project; it is put back afterwards."""
    kept = {}

    def edit(name, pattern, replacement):
        path = project.folder / name
        text = path.read_text()
        kept.setdefault(path, (text, path.stat()))
        changed = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
        assert changed != text
        path.write_text(changed)

    yield edit
    for path, (text, status) in kept.items():
        path.write_text(text)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CONSTITUTION = "demo/constitution.yaml"


def test_an_edited_preference_reruns_judging_and_what_follows(project, edit):
    edit(CONSTITUTION, r"preference: (\w)", r"preference: Please, \1")
    planned = project.planned()
    assert planned >= RL_STAGE
    assert not planned & (BEFORE_PRINCIPLES | {"revisions", "sl_dataset", "sl_cai", "candidates"})


@pytest.mark.parametrize("text", ["critique", "revision"])
def test_an_edited_critique_or_revision_reruns_revisions_and_what_follows(project, edit, text):
    edit(CONSTITUTION, rf"{text}: (\w)", rf"{text}: Please, \1")
    planned = project.planned()
    assert planned >= SL_STAGE
    assert not planned & BEFORE_PRINCIPLES


def test_a_removed_principle_reruns_both_stages(project, edit):
    edit(CONSTITUTION, r"  - id: honesty.*", "")
    planned = project.planned()
    assert planned >= SL_STAGE
    assert not planned & BEFORE_PRINCIPLES


def test_comments_order_and_line_breaks_rerun_nothing(project, edit):
    path = project.folder / CONSTITUTION
    principles = yaml.safe_load(path.read_text())["principles"]
    reordered = [dict(sorted(p.items(), reverse=True)) for p in reversed(principles)]
    text = "# a comment\n\n" + yaml.safe_dump({"principles": reordered}, width=30, sort_keys=False)
    edit(CONSTITUTION, r".*", lambda match: text)
    assert project.planned() == set()


def test_the_plan_shows_the_edited_principle_before_and_now(project, edit):
    edit(CONSTITUTION, r"(id: honesty.*?preference: )", r"\1Overall, ")
    plan = project.snakemake("-n", "--", "results/demo/rl_cai/preferences/0.jsonl")
    changed = re.search(r"Params have changed.* before: (.*) now: (.*)", plan)
    assert changed, plan
    before, now = changed.groups()
    assert "Overall," in now
    assert "Overall," not in before


def test_a_touched_program_reruns_nothing(project):
    for path in (project.folder / "scripts").rglob("*.py"):
        path.touch()
    assert project.planned() == set()


def test_another_ppo_setting_reruns_ppo_alone(project):
    setting = "nemo={overrides: {actor: {trainer.ppo.initial_policy_kl_penalty: 0.2}}}"
    planned = project.planned("--config", setting)
    assert "rl_cai" in planned
    assert not planned & {"reward_model", "rl_dataset", "sl_cai", "preferences"}


def test_a_mended_statistic_changes_the_report_and_trains_nothing(project, tmp_path):
    """The report's intervals are made anew; no model is asked or trained."""
    copy = project.copy(tmp_path / "copy")
    before = (copy.results / "report.html").read_text()
    module = copy.folder / "scripts/cai/statistics/intervals.py"
    text = module.read_text()
    assert "LEVEL = 0.95" in text
    module.write_text(text.replace("LEVEL = 0.95", "LEVEL = 0.80"))
    said = copy.snakemake("--", *TARGETS)
    assert set(re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE)) <= BEHIND_STATISTICS
    assert (copy.results / "report.html").read_text() != before
    assert copy.planned() == set()


def test_an_edit_of_a_data_step_that_changes_nothing_trains_nothing(project, tmp_path):
    copy = project.copy(tmp_path / "copy")
    model = (copy.results / "sl_cai.nemo").stat()
    module = copy.folder / "scripts/cai/data/sl_dataset.py"
    module.write_text(module.read_text() + "\nEDITED = True\n")
    said = copy.snakemake("--", *TARGETS)
    ran = set(re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE))
    assert "sl_dataset" in ran and not ran & {"sl_cai", "candidates", "preferences", "rl_cai"}
    assert (copy.results / "sl_cai.nemo").stat().st_mtime == model.st_mtime
    assert copy.planned() == set()


def test_an_edit_of_a_step_that_asks_models_starts_no_server(project, tmp_path):
    copy = project.copy(tmp_path / "copy")
    module = copy.folder / "scripts/cai/asking/run.py"
    module.write_text(module.read_text() + "\nEDITED = True\n")
    before = {path: answers(path) for path in copy.results.glob("work/journal/*.jsonl")}
    asked = [f"results/demo/evaluation/{name}/rl_cai.jsonl" for name in ("answers", "rewards")]
    said = copy.snakemake("--", "results/demo/rl_cai.nemo", *asked)
    ran = set(re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE))
    assert ran >= {"responses", "revisions", "candidates", "preferences", "answers", "rewards"}
    assert not ran & {"sl_cai", "reward_model", "rl_cai", "convert_model"}
    assert {path: answers(path) for path in before} == before
    for rule in ("responses", "revisions", "candidates", "preferences"):  # a server's output
        assert (copy.results / f"logs/{rule}/0.nemo.log").stat().st_size == 0
