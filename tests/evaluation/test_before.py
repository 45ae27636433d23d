"""The finished run before an edit is kept: when, what, and that an interruption loses nothing."""

import shutil
from pathlib import Path

import pytest
import yaml

from cai.core.errors import UserError
from cai.files.documents import read_yaml
from cai.files.records import read_json, write_json, write_text
from cai.report import before
from cai.settings.configuration import parse_settings
from cai.settings.constitution import load_constitution
from cai.settings.origins import Origins, merge

DEMO = Origins.of(["config/config.yaml", "config/demo.yaml"]).merged()
ANSWERS = "evaluation/answers/rl_cai.jsonl"
EDIT = "Which answer is kinder?"


def run(folder, edit=None, **fields):
    """The settings of a run into a folder, with another preference text in the constitution."""
    principles = read_yaml("demo/constitution.yaml")
    if edit is not None:
        principles["principles"][0]["preference"] = edit
    path = folder / "constitution.yaml"
    path.write_text(yaml.dump(principles))
    fields = fields | {"results": str(folder / "results"), "constitution": str(path)}
    return parse_settings(merge(DEMO, fields))


def finish(settings, words):
    """Write the report and the evaluation of a finished run."""
    results, summary = Path(settings.results), {"metrics": [words]}
    principles = [each.model_dump() for each in load_constitution(settings.constitution)]
    report = {"summary": summary, "principles": principles}
    write_json(results / "report.json", report | {"settings": settings.model_dump(mode="json")})
    write_text(results / "report.html", words)
    write_json(results / "evaluation/summary.json", summary)
    write_text(results / ANSWERS, words)
    return settings


def start(settings, *names):
    """What is kept as a run starts that makes these files, by default answers and the report."""
    names = names or (ANSWERS, "report.html", "report.json")
    return before.keep(settings, [f"{settings.results}/{name}" for name in names])


@pytest.mark.parametrize(
    ("edit", "fields", "names", "is_kept"),
    [
        (EDIT, {}, (), True),
        (EDIT, {}, (ANSWERS,), True),
        (EDIT, {}, ("rl_cai.nemo", "figures/harmlessness.svg"), False),
        (None, {}, (), False),
        (None, {"seed": 5}, (), True),
        (None, {"evaluation": {"limit": 3}}, (), True),
        (None, {"nemo": {"overrides": {"actor": {"model.optim.lr": 0.5}}}}, (), True),
        (None, {"estimates": {"judge_seconds": 9}}, (), False),
    ],
)
def test_what_an_edit_is_about_to_replace_is_kept(tmp_path, edit, fields, names, is_kept):
    settings = finish(run(tmp_path), "first")
    kept = start(run(tmp_path, edit, **fields), *names)
    folder = Path(settings.results, "before")
    assert kept == (folder if is_kept else None)
    assert folder.exists() == is_kept
    if is_kept:
        assert (folder / "report.html").read_text() == (folder / ANSWERS).read_text() == "first"
        assert (Path(settings.results) / ANSWERS).read_text() == "first"  # a copy


def test_an_interrupted_run_loses_nothing(tmp_path):
    settings = finish(run(tmp_path), "first")
    results = Path(settings.results)
    start(run(tmp_path, EDIT))
    (results / ANSWERS).write_text("half of the second")
    for edit in (EDIT, "Which answer is longer?", EDIT):
        assert start(run(tmp_path, edit)) == results / "before"
        assert (results / "before" / ANSWERS).read_text() == "first"
    finish(run(tmp_path, EDIT), "second")
    assert start(run(tmp_path, EDIT)) is None
    assert (results / "before" / ANSWERS).read_text() == "first"
    start(run(tmp_path))
    assert (results / "before" / ANSWERS).read_text() == "second"


def test_a_report_of_another_evaluation_is_no_finished_run(tmp_path):
    results = Path(finish(run(tmp_path), "first").results)
    write_json(results / "evaluation/summary.json", {"metrics": ["of an interrupted run"]})
    assert start(run(tmp_path, EDIT)) is None
    (results / "report.json").write_text("{")
    assert start(run(tmp_path, EDIT)) is None


def test_a_report_of_an_older_version_is_edited_only_where_its_fields_are(tmp_path):
    results = Path(finish(run(tmp_path), "first").results)
    report = read_json(results / "report.json")
    del report["settings"]["evaluation"]["expected"], report["settings"]["estimates"]
    write_json(results / "report.json", report)
    assert start(run(tmp_path, evaluation={"expected": []})) is None
    assert start(run(tmp_path, EDIT, evaluation={"expected": []})) is not None


def test_what_cannot_be_kept_is_told_before_anything_is_replaced(tmp_path, monkeypatch):
    settings = finish(run(tmp_path), "first")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(UserError, match=r"before: .*kept: No space left on device; make room"):
        start(run(tmp_path, EDIT))
    assert not Path(settings.results, "before").exists()
