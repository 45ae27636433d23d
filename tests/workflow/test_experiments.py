"""Overlays over a base run: what they share with it, and what is refused."""

from pathlib import Path

import pytest
import yaml

from cai.core.errors import UserError
from cai.files.records import write_text
from cai.settings.constitution import read_yaml
from cai.settings.origins import merge
from cai.workflow import experiments, new_experiment
from cai.workflow.experiments import FIRST_READ, PARTS, Places

BASE = merge(read_yaml("config/config.yaml"), read_yaml("config/demo.yaml"))
SHARED, OWN = "results/demo", "results/demo/experiments/x"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check the experiment x with the given fields."""
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)

    def check(fields):
        (tmp_path / "x.yaml").write_text(fields if isinstance(fields, str) else yaml.dump(fields))
        return experiments.check(BASE | {"experiment": "x"})

    return check


def constitution(folder, change):
    """A constitution file with one text of the demo's changed."""
    principles = read_yaml("demo/constitution.yaml")
    change(principles["principles"])
    path = folder / "constitution.yaml"
    path.write_text(yaml.dump(principles))
    return {"constitution": str(path)}


def first_own(run):
    """The first part that an experiment makes itself."""
    return PARTS[list(run.at).index(OWN)]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"models": {"base": {"source": "demo/models/instruct/"}}}, "pretrained"),
        ({"seed": 2}, "source"),
        ({"models": {"instruct": {"template": {"between": "  "}}}}, "source"),
        ({"supervised": {"response": {"temperature": 0.5}}}, "source"),
        ({"nemo": {"overrides": {"server": {"x": 1}}}}, "source"),
        ({"supervised": {"rounds": 4}}, "supervised"),
        ({"nemo": {"overrides": {"sft": {"model.optim.lr": 0.5}}}}, "supervised"),
        ({"nemo": {"overrides": {"sft": {"model.optim.lr": None}}}}, "supervised"),
        ({"preferences": {"temperatures": [1.0, 1.0]}}, "candidates"),
        ({"preferences": {"draws": 3}}, "preference"),
        ({"nemo": {"overrides": {"actor": {"model.ppo.num_rollout_samples": 64}}}}, "preference"),
        ({"nemo": {"overrides": {"actor": {"model.optim.lr": 0.5}}}}, "results"),
        ({"evaluation": {"limit": 10}}, "results"),
        ("", "results"),
    ],
)
def test_the_parts_before_the_first_difference_are_shared(check, fields, part):
    run = check(fields)
    place = PARTS.index(part)
    assert list(run.at) == [SHARED] * place + [OWN] * (len(PARTS) - place) + [SHARED]
    assert run.settings.results == OWN


@pytest.mark.parametrize(
    ("text", "part"),
    [("critique", "supervised"), ("revision", "supervised"), ("preference", "preference")],
)
def test_a_constitution_counts_by_the_texts_of_each_stage(check, tmp_path, text, part):
    def edit(principles):
        principles[0][text] += " Really."

    assert first_own(check(constitution(tmp_path, edit))) == part


def test_a_constitution_with_the_same_texts_shares_all_but_results(check, tmp_path):
    assert first_own(check(constitution(tmp_path, list.reverse))) == "results"


def test_without_an_experiment_everything_is_in_one_folder():
    for config in (BASE, BASE | {"experiment": "base"}):
        assert experiments.check(config).at == Places(*[SHARED] * 7)


def test_a_setting_that_is_not_named_counts_as_read_first():
    assert experiments.first_read("tomorrow.new_setting") == PARTS[0]
    assert experiments.first_read("preferences.candidate.top_k") == "candidates"
    assert experiments.first_read("preferences.candidates") == "preference"
    assert list(FIRST_READ) == list(PARTS[1:])


def test_every_overlay_of_the_project_is_sound():
    assert experiments.names()
    for name in experiments.names():
        experiments.check(BASE | {"experiment": name})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"constitutoin": "x"}, r"x\.yaml: constitutoin: unknown field; did you mean 'const"),
        ({"supervised": {"roundz": 1}}, r"x\.yaml: supervised\.roundz: unknown field"),
        ({"results": "elsewhere"}, r"x\.yaml: results: found 'elsewhere'; accepted: none"),
        ({"models": {"base": {"revision": "1"}}}, r"x\.yaml: models\.base: source: .*revision"),
        ({"constitution": "none.yaml"}, r"none\.yaml: no such file"),
        ("- a", r"x\.yaml: .*fields.*found list"),
        ("a: [", r"x\.yaml:\d+: not YAML"),
    ],
)
def test_a_mistake_in_an_overlay_is_told_in_one_line(check, fields, told):
    with pytest.raises(UserError, match=told) as raised:
        check(fields)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["nope", "../demo", "", 7, "a--b"])
def test_a_name_without_an_overlay_is_told_with_those_that_there_are(name):
    with pytest.raises(UserError, match=r"experiment: found .*: .*without_honesty"):
        experiments.check(BASE | {"experiment": name})


def test_a_comparison_needs_two_runs_of_which_one_is_finished(tmp_path):
    def check(config):
        experiments.check_compared(config, str(tmp_path), ["sl_cai", "rl_cai"])

    with pytest.raises(UserError, match=r"two .*runs.*found 'base' and 'base'"):
        check({})
    config = {"experiment": "demo_without_honesty"}
    for name in (
        "report.json",
        "evaluation/answers/rl_cai.jsonl",
        "evaluation/answers/sl_cai.jsonl",
    ):
        with pytest.raises(UserError, match=r"base is not finished, found no .*json.*: make demo"):
            check(config)
        write_text(tmp_path / name, "{}")
    check(config)
    with pytest.raises(UserError, match=r"experiment: found no .*nope"):
        check(config | {"against": "nope"})


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the files of an experiment x in its folder; a text or a function of principles each."""
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)

    def own(constitution=None, settings=None):
        folder = tmp_path / "x"
        folder.mkdir(exist_ok=True)
        if constitution is not None:
            fields = read_yaml("demo/constitution.yaml")
            constitution(fields["principles"])
            (folder / "constitution.yaml").write_text(yaml.dump(fields))
        if settings is not None:
            (folder / "settings.yaml").write_text(settings)
        return folder

    return own


@pytest.mark.parametrize(
    ("constitution", "settings", "part"),
    [
        (list.pop, None, "supervised"),
        (list.pop, "# nothing yet\n", "supervised"),
        (list.reverse, "preferences: {draws: 3}", "preference"),
        (None, "evaluation: {limit: 10}", "results"),
    ],
)
def test_a_folder_has_a_constitution_settings_or_both(own, constitution, settings, part):
    own(constitution, settings)
    run = experiments.check(BASE | {"experiment": "x"})
    assert first_own(run) == part
    assert run.settings.constitution != run.base.settings.constitution or constitution is None
    assert experiments.names() == ["x"]


@pytest.mark.parametrize(
    ("settings", "single", "told"),
    [
        ("seed: 2", "seed: 3", r"x\.yaml and .*settings\.yaml: two files"),
        ("constitution: y.yaml", None, r"settings\.yaml: constitution: found 'y\.yaml' beside"),
        ("seeds: 2", None, r"settings\.yaml: seeds: unknown field; did you mean 'seed'"),
    ],
)
def test_a_folder_that_says_two_things_is_refused(own, tmp_path, settings, single, told):
    own(list.reverse, settings)
    if single:
        (tmp_path / "x.yaml").write_text(single)
    with pytest.raises(UserError, match=told):
        experiments.check(BASE | {"experiment": "x"})


def test_an_experiment_begins_as_a_copy_and_is_never_overwritten(own, tmp_path):
    path = new_experiment.create("mine", Path("demo/constitution.yaml"), " PROFILE=p")
    assert path == tmp_path / "mine/constitution.yaml"
    told = path.read_text()
    assert "make compare EXPERIMENT=mine PROFILE=p" in told
    run = experiments.check(BASE | {"experiment": "mine"})
    assert run.principles == run.base.principles
    assert run.at.preference == SHARED and run.at.results != SHARED
    path.write_text(told.replace("Which", "Of these, which"))
    edited = path.read_text()
    assert new_experiment.create("mine", Path("demo/constitution.yaml")) == path
    assert path.read_text() == edited
    assert new_experiment.about("mine").startswith("The constitution of the experiment mine")


@pytest.mark.parametrize("name", ["base", "a/b", "a b", "a--b"])
def test_an_experiment_has_a_name_of_its_own(own, tmp_path, name):
    with pytest.raises(UserError, match=r"EXPERIMENT: found .*accepted: letters"):
        new_experiment.create(name, Path("demo/constitution.yaml"))
    assert not list(tmp_path.iterdir())
