"""Paths as a user writes them into a configuration: filled in once, carried, or refused."""

import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.messages import says
from tests.project import Project

from cai.core.errors import UserError
from cai.files import paths
from cai.settings.configuration import load_settings

ODD = 'my R&D [1] it\'s ü $(touch X) `touch Y` "a"; b|c = d, e'


@pytest.mark.parametrize(
    "written, meant",
    [
        ("~/cai", "/home/me/cai"),
        ("$SCRATCH/cai", "/scratch/me/cai"),
        ("${SCRATCH}2/cai", "/scratch/me2/cai"),
        ("cost$/a$$b/$(x)", "cost$/a$b/$(x)"),
        ("a~b/~", "a~b/~"),
        ("R&D/it's [x]", "R&D/it's [x]"),
    ],
)
def test_a_path_means_what_it_means_in_a_shell(monkeypatch, written, meant):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    assert paths.expanded(written) == meant


@given(st.text(st.characters(exclude_characters="~\0", exclude_categories=["Cs"])))
def test_a_doubled_dollar_sign_is_always_itself(path):
    assert paths.expanded(path.replace("$", "$$")) == path


@pytest.mark.parametrize(
    "config, told",
    [
        ({"results": "$NOWHERE/cai"}, "results: … NOWHERE; accepted"),
        ({"results": "~nobody-here/cai"}, "results: … ~nobody-here"),
        ({"results": "results/{model}"}, "results: '{' … Snakemake"),
        ({"results": "a\nb"}, "results: accepted: … found 'a"),
        ({"results": "-x"}, "results: … '-'"),
        ({"constitution": "$NOWHERE.yaml"}, "constitution: … NOWHERE"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_its_field(tmp_path, config, told):
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError) as error:
        load_settings(["config/config.yaml", path])
    assert says(str(error.value), told) and "\n" not in str(error.value)
    assert "odd.yaml: " in str(error.value)


def test_each_field_that_holds_a_path_is_filled_in(monkeypatch):
    monkeypatch.setenv("HERE", "there")
    config = {
        "results": "$HERE",
        "models": {"base": {"source": "$HERE/"}},
        "datasets": {"helpful_preferences": [{"source": "$HERE/a.jsonl"}]},
        "nemo": {"root": "$HERE", "overrides": {"sft": {"a.source": "$NOT"}}},
        "evaluation": {"classifier": "$HERE.py"},
        "seed": 1,
    }
    filled = paths.with_paths(config, "x")
    assert filled["results"] == filled["nemo"]["root"] == "there"
    assert filled["models"]["base"]["source"] == "there/"
    assert filled["datasets"]["helpful_preferences"][0]["source"] == "there/a.jsonl"
    assert filled["evaluation"]["classifier"] == "there.py"
    assert filled["nemo"]["overrides"] == config["nemo"]["overrides"] and filled["seed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("folder", [f"../{ODD}", "./here//there/", "$PLACE"])
def test_the_same_folder_everywhere(tmp_path, monkeypatch, folder):
    """Every file of the plan is in the one folder, and no shell has run anything."""
    monkeypatch.setenv("PLACE", str(tmp_path / "elsewhere"))
    (tmp_path / "a folder").mkdir()
    project = Project(tmp_path / "a folder")
    config = project.folder / "odd.yaml"
    config.write_text(yaml.safe_dump({"results": folder}, allow_unicode=True))
    place = os.path.normpath(os.path.expandvars(folder))
    plan = project.snakemake(*("-n", "--config", f"results={folder}"), "--", f"{place}/rl_cai.nemo")
    made = [line.strip() for line in plan.splitlines() if line.startswith("    output: ")]
    assert made and all(line.startswith(f"output: {place}/") for line in made)
    assert not list(tmp_path.rglob("X")) and not list(tmp_path.rglob("Y"))


@pytest.mark.slow
def test_null_on_the_command_line_is_null(tmp_path):
    project = Project(tmp_path)
    plan = project.snakemake("-n", "--config", "few_shot=null", "--", "results/demo/sl_cai.nemo")
    assert "rule revisions" in plan
