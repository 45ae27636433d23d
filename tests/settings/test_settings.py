"""The configuration: what is refused and how, and that its documentation is up to date."""

import json

import pytest

from cai.checks import preflight
from cai.core.errors import UserError
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import OF_A_SOURCE, merge
from tools import document_settings, list_families

FILES = ["config/config.yaml", "config/demo.yaml"]


@pytest.fixture(scope="module")
def demo():
    return load_settings(FILES).model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"supervized": {}}, r"supervized: unknown field; did you mean 'supervised'\?"),
        ({"xyz": 1}, r"xyz: unknown field.* results, seed, "),
        (
            {"supervised": {"roundz": 2}},
            r"supervised\.roundz: unknown field; did you mean 'rounds'\?",
        ),
        (
            {"supervised": {"rounds": 0}},
            r"supervised\.rounds: .*1, found 0",
        ),
        ({"supervised": {"rounds": "two"}}, r"supervised\.rounds: .*integer.*found 'two'"),
        ({"preferences": {"temperatures": [1.0]}}, r"preferences\.temperatures: .*at least 2"),
        ({"preferences": {"judge": "mixtral"}}, r"preferences\.judge: .*'logprob', 'chat'"),
        ({"lengths": {"answer": 99}}, r"lengths: answer \(99\) .*rl \(72\)"),
        ({"models": {"base": {"source": "a/b"}}}, r"models\.base: .*revision"),
        ({"shards": None}, r"shards: .*found None"),
    ],
)
def test_a_mistake_is_one_line(demo, change, message):
    with pytest.raises(UserError, match=message) as error:
        parse_settings(merge(demo, change))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_before_any_job(demo):
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file"):
        preflight.check(merge(demo, {"evaluation": {"helpful": {"source": "nowhere.jsonl"}}}))
    with pytest.raises(UserError, match=r"models\.base\.source: nowhere/: no such folder"):
        preflight.check(merge(demo, {"models": {"base": {"source": "nowhere/"}}}))


def test_the_chat_judge_needs_its_settings(demo):
    without = merge(demo, {"preferences": {"judge": "chat", "judges": {"chat": None}}})
    with pytest.raises(UserError, match=r"preferences\.judges\.chat"):
        parse_settings(without)


def test_the_key_is_asked_for_only_when_the_judge_is(monkeypatch):
    settings = load_settings(FILES[:1])
    monkeypatch.delenv("NVIDIA_API_KEY", raising=False)
    preflight.check_surroundings(settings, {"red_team"})
    with pytest.raises(UserError, match="NVIDIA_API_KEY"):
        preflight.check_surroundings(settings, {"preferences"})
    monkeypatch.setenv("NVIDIA_API_KEY", "x")
    preflight.check_surroundings(settings, {"preferences"})


def test_schema_and_documentation_are_up_to_date():
    """Run `make docs` when this fails."""

    for path, schema in document_settings.schemas().items():
        assert json.loads(path.read_text()) == schema, path
    assert document_settings.DOCUMENT.read_text() == document_settings.document()
    for path, text in list_families.pages().items():
        assert path.read_text() == text, path


def test_a_later_file_wins_and_lists_are_replaced():
    assert merge({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}}


HUB = {"source": "some/set", "revision": "0" * 40, "data_dir": "x", "records": 9, "split": "test"}
GITHUB = {"source": "github:a/b/c.csv", "revision": "1" * 40, "sha256": "2" * 64}
SHAPE = load_settings(FILES[:1]).models.base.shape.model_dump()
MODEL = {"source": "some/model", "revision": "3" * 40, "shape": SHAPE}


@pytest.mark.parametrize(
    ("field", "below", "above", "left"),
    [
        ("datasets.red_team", HUB, {"source": "demo/data/red_team.jsonl"}, {"split": "test"}),
        ("datasets.red_team", HUB, {"source": "b/c", "revision": "m"}, {"split": "test"}),
        ("datasets.red_team", HUB, {"records": 3}, {**HUB, "records": 3}),
        ("datasets.red_team", HUB, {"source": "some/set", "records": 3}, {**HUB, "records": 3}),
        ("evaluations.xstest", GITHUB, {"source": "demo/data/xstest.csv"}, {}),
        ("evaluations.xstest", GITHUB, HUB, {}),
        ("models.base", MODEL, {"source": "demo/models/base/"}, {}),
        ("models.base", MODEL, {"source": "b/c", "revision": "4" * 40}, {}),
        ("models.base", MODEL, {"revision": "4" * 40}, {**MODEL, "revision": "4" * 40}),
    ],
)
def test_a_source_that_is_changed_leaves_what_belonged_to_the_old_one(
    demo, field, below, above, left
):
    """Of a file over another one, as of an experiment over its base run."""
    name, part = field.split(".")
    merged = merge(merge(demo, {name: {part: below}}), {name: {part: above}})
    source = getattr(getattr(parse_settings(merged), name), part)
    expected = {**left, **above}
    for key in {*OF_A_SOURCE, "split"} & type(source).model_fields.keys():
        value = getattr(source, key)
        value = value.model_dump() if key == "shape" and value else value
        assert value == expected.get(key, "train" if key == "split" else None), key


@pytest.mark.parametrize(
    ("field", "source", "named"),
    [
        ("datasets.red_team", HUB | {"source": "a.jsonl"}, "revision and data_dir"),
        ("evaluations.xstest", GITHUB | {"source": "a.csv"}, "revision and sha256"),
        ("models.base", MODEL | {"source": "mine/base/"}, "revision"),
    ],
)
def test_a_copy_with_the_fields_of_another_source_is_refused(demo, field, source, named):
    name, part = field.split(".")
    copy = demo | {name: demo[name] | {part: demo[name][part] | source}}
    with pytest.raises(UserError, match=rf"{field}: source: found .*local, with {named} of"):
        parse_settings(copy)


def test_numbers_that_were_read_as_texts_are_numbers_to_nemo(demo):
    """YAML 1.1 takes 1e-3 for a text, and so does --config all that is nested."""
    actor = {"model.optim.lr": "1e-3", "trainer.ppo.max_steps": "9", "a": ["true"], "b": "v1.2"}
    settings = parse_settings(merge(demo, {"nemo": {"overrides": {"actor": actor}}}))
    found = settings.nemo.overrides.actor
    assert {name: found[name] for name in actor} == {
        "model.optim.lr": 0.001,
        "trainer.ppo.max_steps": 9,
        "a": [True],
        "b": "v1.2",
    }
