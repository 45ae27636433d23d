"""Records, ledgers and draws."""

import gzip
import json
from typing import Literal, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError, create_model

from cai.core.errors import UserError
from cai.files.field_types import misfit
from cai.files.lazily import ShardRecords
from cai.files.records import (
    Ledger,
    Prompt,
    Unbalanced,
    held_out,
    in_shard,
    read_jsonl,
    read_jsonl_tolerant,
    read_records,
    record_id,
    uniform,
    write_jsonl,
)
from cai.steps.candidates import Candidates

texts = st.text(min_size=1)
ids = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(st.lists(st.text("abc", min_size=1), min_size=1), st.sampled_from([" ", "\n", "  \t"]))
def test_an_id_ignores_white_space(words, space):
    assert record_id(space.join(words)) == record_id(f" {' '.join(words)}\n")


def test_different_prompts_have_different_ids():
    assert record_id("How do I brew tea?") != record_id("How do I brew coffee?")
    assert len(record_id("x")) == 16


@given(ids, st.integers(1, 50))
def test_a_record_is_in_exactly_one_shard(record, shards):
    assert sum(in_shard(record, shard, shards) for shard in range(shards)) == 1


@given(ids, st.integers(0, 9), st.floats(0.01, 0.5))
def test_a_larger_held_out_part_holds_the_smaller_one(record, seed, fraction):
    assert held_out(record, seed, 2 * fraction) or not held_out(record, seed, fraction)


def test_draws_are_uniform():
    draws = [uniform("test", number) for number in range(10_000)]
    assert all(0 <= draw < 1 for draw in draws)
    for decile in range(10):
        share = sum(decile <= 10 * draw < decile + 1 for draw in draws) / len(draws)
        assert abs(share - 0.1) < 0.015


@given(st.lists(st.dictionaries(texts, st.none() | st.booleans() | st.integers() | st.text())))
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert write_jsonl(path, rows) == len(rows)
    assert list(read_jsonl(path)) == rows


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"old": 1}])

    def rows():
        yield {"new": 1}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_jsonl(path, rows())
    assert list(read_jsonl(path)) == [{"old": 1}]
    assert list(tmp_path.iterdir()) == [path]


def test_a_malformed_line_is_named(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(UserError, match=r"bad\.jsonl:2: not JSON"):
        list(read_jsonl(path))


def test_malformed_lines_go_to_the_ledger_and_the_reading_goes_on(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"a": 1}\n[1]\n\xff\n\n{"a": 2}\n')
    ledger = Ledger("test")
    rows = [row for _, row in read_jsonl_tolerant(path, ledger)]
    assert rows == [{"a": 1}, {"a": 2}]
    assert [row["where"] for row in ledger.rejected] == [f"{path}:2", f"{path}:3"]
    assert (ledger.seen, ledger.dropped["malformed line"]) == (4, 2)


def test_a_ledger_that_does_not_balance_is_a_defect():
    ledger = Ledger("test")
    ledger.count_in(2)
    with pytest.raises(Unbalanced, match="in 2, out 0"):
        ledger.as_dict()


def test_too_many_bad_records_end_the_step():
    ledger = Ledger("test")
    ledger.count_in(4)
    ledger.drop("empty", where="data.jsonl:3")
    ledger.check(0.25, "data.jsonl")
    with pytest.raises(UserError, match=r"data\.jsonl: 1 of 4 .*empty: 1.*data\.jsonl:3.*0\.2"):
        ledger.check(0.2, "data.jsonl")


def test_an_empty_dataset_is_a_mistake():
    with pytest.raises(UserError, match=r"data\.jsonl: no records"):
        Ledger("test").check(1.0, "data.jsonl")


def test_a_ledger_is_written_beside_its_output(tmp_path):
    ledger = Ledger("test")
    ledger.count_in(2)
    ledger.drop("empty")
    list(ledger.kept([{}]))
    ledger.write(tmp_path / "out.jsonl")
    content = json.loads((tmp_path / "out.ledger.json").read_text())
    assert (content["in"], content["out"], content["dropped"]) == (2, 1, {"empty": 1})


def test_a_record_without_a_field_of_its_kind_is_refused_with_its_place(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"id": "1", "prompt": "Hi", "more": 1}\n{"id": "2"}\n')
    read = read_records(path, Prompt)
    assert next(read) == {"id": "1", "prompt": "Hi", "more": 1}
    with pytest.raises(UserError, match=r"prompts.jsonl:2: .*prompt.*accepted.*id, prompt"):
        next(read)


ANSWERS = [{"temperature": 1.0, "text": "A."}, {"text": "B."}]
TO_JUDGE = {"id": "1", "prompt": "Hi", "candidates": ANSWERS}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"id": 5}, "id: found 5; accepted: a text"),
        ({"id": [1]}, "id: found [1]; accepted: a text"),
        ({"prompt": None}, "prompt: found null; accepted: a text"),
        ({"prompt": 5}, "prompt: found 5; accepted: a text"),
        ({"candidates": None}, "candidates: found null; accepted: a list"),
        ({"candidates": "x"}, "candidates: found 'x'; accepted: a list"),
        ({"candidates": ["x", "y"]}, "candidates[1]: found 'x'; accepted: a record with text"),
        ({"candidates": [ANSWERS[0], {"temperature": 1}]}, "candidates[2]: found no field text"),
        ({"candidates": [{"text": None}]}, "candidates[1].text: found null; accepted: a text"),
        (
            {"candidates": [{"text": "A.", "temperature": "hot"}]},
            "candidates[1].temperature: found 'hot'; accepted: a number",
        ),
    ],
)
def test_a_field_of_another_type_is_refused_with_its_place(tmp_path, change, complaint):
    path = tmp_path / "candidates.jsonl"
    write_jsonl(path, [TO_JUDGE, {**TO_JUDGE, **change}])
    with pytest.raises(UserError) as error:
        ShardRecords(path, Candidates, (0, 1))
    assert str(error.value).startswith(f"{path}:2: {complaint}")


def test_an_id_twice_is_refused_before_anything_is_asked(tmp_path):
    path = tmp_path / "candidates.jsonl"
    write_jsonl(path, [TO_JUDGE, TO_JUDGE | {"id": "2"}, TO_JUDGE])
    with pytest.raises(UserError, match=r"candidates\.jsonl:3: id: found '1'.*earlier"):
        ShardRecords(path, Candidates, (0, 1))


class Inner(TypedDict):
    text: str
    share: NotRequired[float]


class Outer(TypedDict):
    name: str | None
    kind: Literal["a", "b"]
    inner: list[Inner]
    counts: dict[str, int]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 1) | st.sampled_from("abc"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["text", "share", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)
right = st.fixed_dictionaries(
    {
        "name": st.none() | st.text(max_size=3),
        "kind": st.sampled_from("ab"),
        "inner": st.lists(
            st.fixed_dictionaries(
                {"text": st.text(max_size=3)}, optional={"share": st.integers() | st.floats(0, 1)}
            ),
            max_size=2,
        ),
        "counts": st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    },
    optional={"more": json_values},
)


@given(right)
def test_a_record_of_its_kind_fits(record):
    assert misfit(record, Outer) is None


@given(right, st.sampled_from(["name", "kind", "inner", "counts"]), json_values)
def test_another_value_fits_exactly_where_pydantic_accepts_it(record, field, value):
    changed = {**record, field: value}
    model = create_model(
        "Outer",
        __config__=ConfigDict(strict=True),
        name=(str | None, ...),
        kind=(Literal["a", "b"], ...),
        inner=(list[create_model("Inner", text=(str, ...), share=(float, 0.0))], ...),
        counts=(dict[str, int], ...),
    )
    try:
        model(**{k: v for k, v in changed.items() if k != "more"})
        accepted = True
    except ValidationError:
        accepted = False
    found = misfit(changed, Outer)
    assert (found is None) is accepted
    assert found is None or found.place.startswith(field)


LINES = b'{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (LINES.decode().encode("utf-16"), "text in UTF-16"),
        (LINES.decode().encode("utf-16-le"), "text in UTF-16"),
        (gzip.compress(LINES, mtime=0), r"a gzip file; accepted: .*\.gz"),
        (b'[\n{"a": 1},\n{"a": 2}\n]\n', "a JSON list"),
        (b'[{"a": 1}, {"a": 2}]', "a JSON list"),
        (b"<!DOCTYPE html>\n<html>\n", "an HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"PK\x03\x04...", "a packed or binary file"),
    ],
)
def test_a_file_of_another_kind_is_told_by_what_it_looks_like(tmp_path, content, found):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"data\.jsonl: found {found}") as error:
        list(read_jsonl_tolerant(path, Ledger("test")))
    assert "\n" not in str(error.value)
