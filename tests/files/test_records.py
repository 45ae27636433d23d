"""Records, ledgers and draws."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.core.errors import UserError
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
