"""Lineages read from manifests: where they are broken, and what differs between two."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import programs

from cai.core.errors import UserError
from cai.lineage import display
from cai.lineage.difference import difference
from cai.lineage.trace import trace
from cai.provenance import software
from cai.provenance.manifest import FORM, identity, manifest_path, write_manifest


class Results:
    """A folder of results: data, a dataset that is made of them, a checkpoint of that."""

    def __init__(self, folder: Path, data: str = "data", **sft: object) -> None:
        self.data, self.dataset = folder / "source.jsonl", folder / "results/sl_cai/train.jsonl"
        self.model = folder / "results/sl_cai.nemo"
        self.dataset.parent.mkdir(parents=True)
        self.data.write_text(data)
        self.texts = {"honesty": {"digest": "1", "critique": "Where does it mislead?"}}
        self.dataset.write_text(f"made of {data}")
        self.write_dataset()
        self.model.write_text("weights")
        self.command = ["python", "sft.py", "lr=1", f"file={self.dataset}"]
        self.write_model(**sft)

    def write_dataset(self) -> None:
        self._write(self.dataset, self.data, principles=self.texts, gpu_hours=1.5)

    def write_model(self, **facts: object) -> None:
        self._write(self.model, self.dataset, **{"command": self.command, "gpu_hours": 2} | facts)

    def _write(self, path: Path, made_of: Path, **facts: object) -> None:
        inputs = {str(made_of): identity(made_of)}
        write_manifest(path, what=path.stem, inputs=inputs, process=path.stem, **facts)

    def diff(self, other: "Results") -> dict[str, list[str]]:
        found = difference(trace(self.model), trace(other.model))
        return {name: list(map(str, changes)) for name, changes in found.files.items()}


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "first")


def test_the_tree_goes_down_to_data_and_principles(results):
    said = display.tree(trace(results.model))
    assert "principle honesty 1: Where does it mislead?" in said
    assert f"source.jsonl  {identity(results.data)[:12]}" in said
    assert "GPU-hours: 3.5 = train 1.5 + sl_cai 2" in said
    assert f"Made by version {software.VERSION}" in said
    assert "broken" not in said


def test_a_model_with_merged_adapters_says_so(results):
    results.write_model(merged={"base": "results/models/base.nemo", "adapters": "0123" * 16})
    said = display.tree(trace(results.model))
    assert "LoRA's adapters 012301230123, merged into results/models/base.nemo" in said


def test_results_of_an_earlier_version_are_followed_and_named(results):
    """Manifests say the version since 0.4.0."""
    path = manifest_path(results.dataset)
    facts = json.loads(path.read_text())
    del facts["code"]["version"]
    path.write_text(json.dumps(facts))
    lineage = trace(results.model)
    assert not lineage.broken
    assert lineage.versions == {"": ["train"], software.VERSION: ["sl_cai"]}
    said = display.tree(lineage)
    assert f"a version before 0.4.0: train; version {software.VERSION}: sl_cai" in said


def told(path) -> subprocess.CompletedProcess:
    return programs.run("scripts/lineage.py", path)


def test_texts_of_others_steer_no_terminal(results):
    results.texts["honesty"]["critique"] = "Red \x1b[31m and \u202e backwards"
    results.write_dataset()
    results.write_model()
    said = told(results.model).stdout
    assert "Red \ufffd[31m and \ufffd backwards" in said
    assert not {"\x1b", "\u202e"} & set(said)


@pytest.mark.parametrize(
    "spoil, where",
    [
        (lambda results: results.data.write_text("other"), "was made of another"),
        (lambda results: results.data.unlink(), "is not there any more"),
        (lambda results: results.dataset.write_text("other"), "has been changed since"),
        (lambda results: results.model.write_text("WEIGHTS"), "has been changed since"),
        (lambda results: manifest_path(results.dataset).unlink(), "its manifest is missing"),
    ],
    ids=["data", "no data", "dataset", "model", "manifest"],
)
def test_a_broken_chain_is_told(results, spoil, where):
    assert told(results.model).returncode == 0
    spoil(results)
    done = told(results.model)
    assert done.returncode == 1
    assert "The chain is broken in" in done.stdout and where in done.stdout


def test_what_has_no_manifest_is_told_in_one_line(results):
    done = told(results.data)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_equal_runs_in_other_folders_do_not_differ(results, tmp_path):
    other = Results(tmp_path / "second")
    other.data = results.data
    other.write_dataset()
    other.write_model()
    assert results.diff(other) == {}
    equal = display.differences(difference(trace(results.model), trace(other.model)))
    assert equal == "equal: made of the same, in the same way"


def test_a_difference_is_told_where_it_arises(results, tmp_path):
    other = Results(tmp_path / "second")
    other.texts = {
        "honesty": {"digest": "2", "critique": "Where does it really mislead?"},
        "kindness": {"digest": "3", "critique": "Where does it hurt?"},
    }
    other.data = results.data
    other.write_dataset()
    other.command[2] = "lr=2"
    other.write_model(software={"python": "3.99"})
    found = difference(trace(results.model), trace(other.model))
    said = display.differences(found)
    assert "principle honesty: critique: Where does it {+really+} mislead?" in said
    assert "principle kindness added" in said
    assert "command.lr: 1 -> 2" in said
    assert "software.python" in said and "-> 3.99" in said
    assert "content" not in said.replace("the same content", "")
    assert json.loads(json.dumps(found.as_dict()))["same_content"] is True


def test_a_difference_without_a_cause_is_told_by_the_content(results, tmp_path):
    other = Results(tmp_path / "second")
    other.data = results.data
    other.write_dataset()
    other.model.write_text("other weights")
    other.write_model()
    assert list(results.diff(other)) == ["the artefact.nemo"]
    assert results.diff(other)["the artefact.nemo"][0].startswith("content: ")


FACTS = st.fixed_dictionaries(
    {
        "settings": st.dictionaries(st.sampled_from(["seed", "lr"]), st.integers(0, 1)),
        "principles": st.dictionaries(
            st.sampled_from(["honesty", "kindness"]),
            st.fixed_dictionaries({"preference": st.sampled_from(["Which?", "Which one?"])}),
        ),
        "software": st.dictionaries(st.just("torch"), st.sampled_from(["1", "2"])),
    }
)


@given(FACTS, FACTS, st.sampled_from(["data", "other data"]))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_difference_is_symmetric_and_that_of_equal_lineages_empty(
    tmp_path_factory, left, right, data
):
    folder = tmp_path_factory.mktemp("pair")
    first = Results(folder / "a", **left)
    second = Results(folder / "b", data, **right)
    second_source = second.data.rename(folder / "b/results/source.jsonl")
    first_source = first.data.rename(folder / "a/results/source.jsonl")
    for each, source in ((first, first_source), (second, second_source)):
        each.data = source
        each.write_dataset()
    first.write_model(**left)
    second.write_model(**right)
    there = difference(trace(first.model), trace(second.model)).files
    back = difference(trace(second.model), trace(first.model)).files
    swapped = {
        name: {repr(c._replace(before=c.now, now=c.before)) for c in found}
        for name, found in back.items()
    }
    assert {name: set(map(repr, found)) for name, found in there.items()} == swapped
    assert bool(there) == ((left, "data") != (right, data))
    assert not difference(trace(first.model), trace(first.model)).files


def test_results_of_another_copy_of_the_project_are_followed_there(tmp_path, monkeypatch):
    copies = [tmp_path / "first", tmp_path / "second"]
    for copy, seed in zip(copies, (1, 2), strict=True):
        (copy / "results").mkdir(parents=True)
        monkeypatch.chdir(copy)
        Path("source.txt").write_text("data")
        Path("results/made.jsonl").write_text("made")
        inputs = {"source.txt": identity(Path("source.txt"))}
        write_manifest("results/made.jsonl", what="step", inputs=inputs, settings={"seed": seed})
    (copies[0] / "source.txt").write_text("other data")
    there = trace(copies[0] / "results/made.jsonl")
    assert there.broken == ["results/made.jsonl: was made of another source.txt than there is now"]
    found = difference(there, trace("results/made.jsonl"))
    assert display.differences(found).startswith(
        "settings:\n  seed: 1 -> 2  (the artefact.jsonl)\n"
    )


class Project:
    """A project whose base run has an experiment that shares the data and drops a principle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._write("results/data.jsonl", "step", [])
        for place, ids in (("results", ["honesty", "privacy"]), (EXPERIMENT, ["privacy"])):
            principles = {name: {"digest": name, "preference": f"Which? {name}"} for name in ids}
            chosen = f"{place}/rl_cai/preferences/0.jsonl"
            self._write(chosen, "judge", ["results/data.jsonl"], principles=principles)
            self._write(f"{place}/rl_cai.nemo", "rl_cai", [chosen], command=["python", "ppo.py"])

    def _write(self, path: str, what: str, inputs: list[str], **facts: object) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"{path} {facts}")
        made_of = {each: identity(Path(each)) for each in inputs}
        write_manifest(path, what=what, inputs=made_of, process=path, **facts)


EXPERIMENT = "results/experiments/less"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return Project(tmp_path / "project")


def said_of(one, other) -> str:
    return display.differences(difference(trace(one), trace(other)))


def test_an_experiments_files_are_held_against_the_base_runs_by_their_role(project):
    said = said_of("results/rl_cai.nemo", f"{EXPERIMENT}/rl_cai.nemo")
    assert said.splitlines()[:2] == [
        "principles:",
        "  principle honesty removed  (rl_cai/preferences/0.jsonl)",
    ]
    assert "only in" not in said


def test_absolute_and_relative_paths_name_the_same_results(project):
    whole = project.folder / "results/rl_cai.nemo"
    assert said_of(whole, "results/rl_cai.nemo").startswith("equal: ")
    assert "privacy" not in said_of(whole, f"{EXPERIMENT}/rl_cai.nemo")


@pytest.mark.parametrize("name", ["copy", "results"])
def test_a_copy_of_the_results_is_compared_with_the_original(project, tmp_path, name):
    copy = tmp_path / "elsewhere" / name
    shutil.copytree("results", copy)
    assert said_of(copy / "rl_cai.nemo", "results/rl_cai.nemo").startswith("equal: ")
    (copy / "data.jsonl").write_text("spoilt")
    [first, second] = trace(copy / "rl_cai.nemo").broken
    assert first.startswith("results/data.jsonl: has been changed")
    assert second.startswith("results/rl_cai/preferences/0.jsonl: was made of another")


NO_MANIFESTS = [
    ([], "not a manifest (no JSON object)"),
    ({}, "not a manifest (no sha256)"),
    ({"inputs": 5}, "inputs: found 5; accepted: paths with their digests"),
    ({"inputs": {"x": 5}}, "inputs: found {'x': 5}"),
    ({"inputs": {"a\0b": "1"}}, "inputs: found"),
    ({"inputs": None}, "inputs: found None"),
    ({"settings": []}, "settings: found []; accepted: an object"),
    ({"principles": {"honesty": "text"}}, "principles: found"),
    ({"sources": [7]}, "sources: found [7]"),
    ({"attempts": [{}]}, "attempts: found [{}]; accepted: objects with seconds and gpus"),
    ({"gpu_hours": "2"}, "gpu_hours: found '2'; accepted: a number"),
    ({"path": 1}, "path: found 1; accepted: a text"),
    ({"sha256": None}, "sha256: found None"),
]


@pytest.mark.parametrize(("content", "told"), NO_MANIFESTS)
def test_what_is_no_manifest_is_told_in_one_line(results, content, told):
    beside = manifest_path(results.model)
    known = json.loads(beside.read_text())
    beside.write_text(json.dumps(known | content if content else content))
    with pytest.raises(UserError) as error:
        trace(results.model)
    assert str(error.value).startswith(f"{beside}: {told}") and "\n" not in str(error.value)


def test_what_is_made_of_itself_is_told_in_one_line(results):
    beside = manifest_path(results.dataset)
    known = json.loads(beside.read_text())
    beside.write_text(json.dumps(known | {"inputs": {str(results.model): "1"}}))
    with pytest.raises(UserError, match=r"inputs: .* is made of itself"):
        trace(results.model)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_folder_is_no_artefact(name):
    with pytest.raises(UserError, match="not an artefact"):
        trace(name)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


NEARLY = st.sampled_from(
    [
        [{"source": "a", "split": "b"}],
        {"x": {"digest": "1"}},
        {"x": {"digest": "1", "revision": "Do."}},
        {"adapters": "1", "base": "2"},
        {"in": 1, "out": None},
        {"version": 5},
        {"source": 1, "revision": []},
        [{"when": "1", "who": "2", "why": "3", "reasons": ["4"]}],
        [{"when": "1", "who": "2", "why": "3"}],
    ]
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FORM)), NEARLY | ANYTHING, max_size=2))
def test_whatever_a_manifest_holds_it_is_read_or_told(tmp_path_factory, change):
    path = tmp_path_factory.mktemp("made") / "x.manifest.json"
    path.write_text(json.dumps({"sha256": "1"} | change))
    try:
        found = trace(path.with_name("x.jsonl"))
        assert display.tree(found) and display.differences(difference(found, found))
    except UserError as error:
        assert "\n" not in str(error)
