"""What the plan predicts is what then happens: answers asked for and reused, jobs, costs."""

import json
import re

import pytest
import yaml

STEPS = {  # what asks a model, and where its ledger tells how often
    "responses": "sl_cai/responses/0",
    "revisions": "sl_cai/revisions/0",
    "candidates": "rl_cai/candidates/0",
    "preferences": "rl_cai/preferences/0",
}

IN_OTHER_WORDS = {  # that the tiny models know
    "critique": "Say how the last answer invades privacy.",
    "preference": "Which answer respects privacy?",
}


@pytest.fixture
def bench(project, tmp_path):
    """A copy of the finished project, to be changed."""
    return project.copy(tmp_path / "project")


def planned(project, *arguments):
    """The stages of the plan, by name."""
    told = json.loads(project.plan("--json", *arguments))
    return {stage["stage"]: stage for stage in told["stages"]}


def edit(project, name):
    """Give the first principle a text in other words, and return its id."""
    path = project.folder / "demo/constitution.yaml"
    content = yaml.safe_load(path.read_text())
    first = content["principles"][0]
    assert first["id"] == "privacy" and first[name] != IN_OTHER_WORDS[name]
    first[name] = IN_OTHER_WORDS[name]
    path.write_text(yaml.safe_dump(content))
    return first["id"]


def asked(project, step):
    """What a step's last run asked, and what it found in its journal."""
    usage = usage_of(project.results / f"{STEPS[step]}.ledger.json")
    return usage["questions"] - usage["reused"], usage["reused"]


def usage_of(ledger):
    return json.loads(ledger.read_text())["notes"]["usage"]


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_planned_where_nothing_is_to_be_done(project):
    assert project.plan("--", "results/demo/rl_cai.nemo").endswith("nothing to be done\n")


@pytest.mark.parametrize("texts", ["critique", "preference"])
def test_the_answers_that_a_plan_counts_are_those_that_are_then_asked_for(bench, texts):
    step = "preferences" if texts == "preference" else "revisions"
    target = f"results/demo/{STEPS[step]}.jsonl"
    name = edit(bench, texts)
    stage = planned(bench, "--", target)[step]
    assert f"principle {name}: {texts} edited" in stage["why"]
    assert stage["exact"] == (texts == "preference")  # a critique has a revision that follows
    assert 0 < stage["sure"] <= stage["new"] < stage["reused"]
    bench.snakemake("--", target)
    new, reused = asked(bench, step)
    assert new + reused <= stage["new"] + stage["reused"]
    assert stage["sure"] <= new <= stage["new"]
    if stage["exact"]:
        assert (new, reused) == (stage["new"], stage["reused"])
    assert planned(bench, "--", target) == {}


def test_what_follows_from_a_new_model_is_counted_at_most(bench):
    target = "results/demo/rl_cai/preferences/0.jsonl"
    arguments = ["--config", "supervised={validation_size: 32}", "--", target]
    stages = planned(bench, *arguments)
    assert stages["sl_cai"]["after"] == ["sl_dataset"]
    assert not {"responses", "revisions", "red_team", "convert_model"} & set(stages)
    bench.snakemake(*arguments)
    new, reused = asked(bench, "candidates")
    assert stages["candidates"]["exact"] and (new, reused) == (stages["candidates"]["new"], 0)
    assert not stages["preferences"]["exact"]
    assert 0 < sum(asked(bench, "preferences")) <= stages["preferences"]["new"]


def test_more_shards_are_planned_as_what_is_in_the_journals(bench):
    target = "results/demo/sl_cai/revisions/2.jsonl"
    stages = planned(bench, "--config", "shards=3", "--", target)
    assert (stages["revisions"]["new"], stages["responses"]["new"]) == (0, 0)
    bench.snakemake("--config", "shards=3", "--", target)
    usage = usage_of((bench.folder / target).with_suffix(".ledger.json"))
    assert usage["requests"] == 0 and usage["reused"] == stages["revisions"]["reused"]


def test_another_constitution_is_compared_without_touching_anything(project, tmp_path):
    text = (project.folder / "demo/constitution.yaml").read_text()
    other = tmp_path / "other.yaml"
    other.write_text(re.sub(r"preference: (\w)", r"preference: Please, \1", text, count=1))
    before = snapshot(project.folder)
    said = project.plan("--compare", str(other), "--", "results/demo/rl_cai.nemo")
    after = snapshot(project.folder)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not {path for path in changed if ".snakemake" not in path.parts}
    assert "preference edited" in said
    assert re.search(r"^preferences +1 +[1-9]\d* +\d", said, re.MULTILINE), said
    assert "as it is: results/demo: 0 jobs to run" in said


def test_the_next_plan_reckons_with_what_this_run_took(bench):
    edit(bench, "preference")
    stages = planned(bench, "--", "results/demo/rl_cai.nemo")
    (entry,) = json.loads((bench.results / "work/journal/preferences-0.cost.json").read_text())
    rate = (entry["seconds"] - entry["start_seconds"]) / entry["new"]
    expected = entry["start_seconds"] + stages["preferences"]["new"] * rate
    assert stages["preferences"]["source"] == ["measured"]
    assert stages["preferences"]["seconds"] == pytest.approx(expected, abs=0.1)
    manifest = json.loads((bench.results / "reward_model.manifest.json").read_text())
    assert stages["reward_model"]["seconds"] == pytest.approx(manifest["seconds"], abs=0.1)
