"""Which file, or --config, a field of a merged configuration comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.core.errors import UserError
from cai.settings.configuration import load_settings
from cai.settings.origins import Layer, Origins, merge

LAYERS = Origins(
    [
        Layer("first.yaml", {"seed": 1, "datasets": {"sets": [{"source": "x"}], "limit": 3}}),
        Layer("second.yaml", {"datasets": {"limit": 4}, "nemo": {"sft": {"++a.b": 1}}}),
        Layer("--config", {"seed": 2}),
    ]
)


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("seed: found 2", "--config"),
        ("datasets.limit: found 4", "second.yaml"),
        ("datasets.sets.0.source: found x", "first.yaml"),
        ("datasets.sets.7.source: found x", "first.yaml"),
        ("nemo.sft: a.b: found 1", "second.yaml"),
        ("configuration: datasets.limits: unknown field", "second.yaml"),
        ("profile: rule seed: found 2", None),
        ("other.yaml: seed: found 2", None),
        ("seed of all: found 2", None),
    ],
)
def test_a_line_is_told_with_the_last_file_that_has_the_field(line, source):
    bare = line.removeprefix("configuration: ")
    assert LAYERS.with_source(line) == (f"{source}: {bare}" if source else line)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(st.integers(), lambda inner: st.dictionaries(NAMES, inner, max_size=3))


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1), min_size=1, max_size=4))
def test_the_file_that_is_told_has_the_value_that_counts(fields):
    origins = Origins(Layer(str(number), layer) for number, layer in enumerate(fields))
    merged = {}
    for layer in fields:
        merged = merge(merged, layer)
    for name, value in merged.items():
        while isinstance(value, dict) and value:
            step, value = next(iter(value.items()))
            name = f"{name}.{step}"
        told = fields[int(origins.with_source(f"{name}: x").partition(":")[0])]
        for part in name.split("."):
            told = told[part]
        assert told == value


def test_programs_that_read_files_tell_which_one_is_wrong(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("lengths: {answer: 0}\n")
    with pytest.raises(UserError) as error:
        load_settings(["config/config.yaml", "config/demo.yaml", mine])
    assert str(error.value).startswith(f"{mine}: lengths.answer: ")
