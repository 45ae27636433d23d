"""A user's YAML and JSON: what is ambiguous or no JSON is refused with its line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.core.errors import UserError
from cai.files.documents import dump_json, parse_json, read_json, read_yaml
from cai.settings.configuration import load_settings
from cai.settings.constitution import load_constitution, load_few_shot
from cai.settings.origins import Origins

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refused(path, content, read=read_yaml):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read(path)
    line = str(error.value)
    assert str(path) in line and "\n" not in line
    return line


@given(plain)
def test_what_is_written_is_read(value):
    assert parse_json(dump_json(value)) == value
    assert parse_json(dump_json(value, indent=2)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": {"b": math.nan}}])
def test_what_is_no_number_is_not_written(value):
    with pytest.raises(ValueError):
        dump_json(value)


def test_half_a_surrogate_pair_is_written_as_a_replacement():
    assert json.loads(dump_json(["\ud83d", "\ud83d\ude00"])) == ["\ufffd", "\N{GRINNING FACE}"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{"a": 1,\n "a": 2}', 2, "'a' occurs twice"),
        ('{"x": [1, {"a": "a",\n"b": {"c": 1,\n\n"c": 1}}]}', 4, "'c' occurs twice"),
        ('{"a:": 1, "b": "a:",\n"a\\u003a": 1}', 2, "'a:' occurs twice"),
        ("[1,\nNaN]", 2, "NaN"),
        ("[1,\n\n-Infinity]", 3, "-Infinity"),
        ("[1e999]", 1, "1e999 is out of range"),
        ("[\n" + "9" * 5000 + "]", 2, "a number of 5000 digits"),
        ("[" * 100_000 + "]" * 100_000, 1, "nested deeper"),
        ("[" * 100 + "]" * 100, 1, "nested deeper"),
        ('["a",\n"\\ud83d"]', 2, "half a surrogate pair"),
        ("[1,\n2", 2, "not JSON"),
    ],
)
def test_json_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, line, reason):
    told = refused(tmp_path / "a.json", text, read_json)
    assert f"a.json:{line}: " in told and reason in told


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' occurs twice"),
        ("a:\n  - b: 1\n    c: {d: 1, d: 2}\n", 3, "'d' occurs twice"),
        ("a: &x\n  b: *x\n", 1, "holds itself"),
        ("- &x [*x]\n", 1, "holds itself"),
        ("a: 2024-13-45\n", 1, "month"),
        ("a: 1\nb: " + "9" * 5000, 2, "digits"),
        ("a: !!bool perhaps\n", 1, "no such value"),
        ("a: b: c\n", 1, "not allowed here"),
        ("a: 1\nb: \x00\n", 2, "U+0000"),
        ('a: "\\ud83d"\n', 1, "half a surrogate pair"),
        ("[" * 100_000, None, "nested deeper"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n"
                for i in range(8)
            ),
            None,
            "aliases stand for more",
        ),
        (b"a: \xff\n", None, "not text in UTF-8 (byte 3)"),
    ],
)
def test_yaml_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, line, reason):
    told = refused(tmp_path / "a.yaml", text)
    assert reason in told and (line is None or f"a.yaml:{line}: " in told)


def test_merges_and_aliases_are_no_repetitions(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: &z {<<: *x, a: 4}\nw: [*z, *z]\n")
    found = read_yaml(path)
    assert found["y"] == {"a": 1, "b": 3} and found["w"] == [{"a": 4, "b": 2}] * 2


def test_a_byte_order_mark_and_pairs_of_surrogates_are_read(tmp_path):
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}')
        assert read_yaml(tmp_path / name) == {"a": "\N{GRINNING FACE}"}


PRINCIPLE = "principles:\n  - id: a\n    preference: Which is kinder?\n"


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        (PRINCIPLE + "    id: b\n    preference: Which is wiser?\n", 4, "id"),  # a - was forgotten
        (PRINCIPLE + "    preference: Which is wiser?\n", 4, "preference"),
        (PRINCIPLE + "principles: []\n", 4, "principles"),
    ],
)
def test_a_name_twice_in_a_constitution_is_refused(tmp_path, text, line, name):
    told = refused(tmp_path / "c.yaml", text, load_constitution)
    assert f"c.yaml:{line}: " in told and f"{name!r} occurs twice" in told


def test_a_name_twice_is_refused_in_every_file_of_a_user(tmp_path):
    refused(tmp_path / "few.yaml", "samples: []\nsamples: []\n", load_few_shot)
    refused(tmp_path / "few.json", '{"samples": [], "samples": []}', load_few_shot)
    refused(tmp_path / "over.yaml", "seed: 1\nseed: 2\n", lambda path: load_settings([path]))
    refused(tmp_path / "over.yaml", "seed: 1\nseed: 2\n", lambda path: Origins.of([path]))


@pytest.mark.parametrize("name", ["a+b", "", "a\u202eb", "=a", "x" * 81, "a/b", "a`b"])
def test_the_letters_of_a_principles_id(tmp_path, name):
    path = tmp_path / "c.json"
    rows = [{"id": name, "critique": "x", "revision": "y", "preference": "z"}]
    told = refused(path, json.dumps({"principles": rows}), load_constitution)
    assert "id: " in told


def test_ids_of_other_scripts_are_taken(tmp_path):
    path = tmp_path / "c.json"
    rows = [
        {"id": name, "critique": "x", "revision": "y", "preference": "z"}
        for name in ("harmful0", "self-harm", "no harm", "v1.2", "Güte", "\u5584\u610f")
    ]
    path.write_text(json.dumps({"principles": rows}))
    assert len(load_constitution(path)) == len(rows)
