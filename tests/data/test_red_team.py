"""Red-team prompts: each once, in one part, whatever the order they come in."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.samples import (
    ANY_LENGTH,
    error_line,
    ids,
    ledger,
    program,
    rows,
    transcript,
    write_lines,
)

from cai.core.errors import UserError
from cai.data.red_team import prepare_red_team
from cai.data.splits import SplitOptions
from cai.files.records import record_id
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source

ATTEMPTS = [{"transcript": transcript(f"How do I break {i}?", "No.")} for i in range(200)]


def prepare(folder: Path, records: list, length=ANY_LENGTH, split_field=None, **options):
    """Run the step; returns its two files."""
    source = write_lines(folder / "source.jsonl", records)
    outputs = {"train": folder / "train.jsonl", "test": folder / "test.jsonl"}
    prepare_red_team(
        Source(source=str(source), split_field=split_field),
        outputs,
        length,
        SplitOptions(**{"test_fraction": 0.2, **options}),
    )
    return outputs["train"], outputs["test"]


def test_the_first_human_turn_is_the_prompt(tmp_path):
    first = transcript("Why me?", "I see.", "Go on", "Well.")
    train, test = prepare(tmp_path, [*ATTEMPTS, {"transcript": first}, {"prompt": " Why not? "}])
    prompts = {row["prompt"]: row["id"] for row in rows(train) + rows(test)}
    assert prompts["Why me?"] == record_id("Why me?")
    assert "Why not?" in prompts and "Go on" not in prompts
    assert {row["source"] for row in rows(train)} == {"source.jsonl"}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text(alphabet="abcdef ", min_size=1, max_size=6), max_size=40),
    st.randoms(use_true_random=False),
    st.none() | st.integers(60, 300),
)
def test_parts_are_disjoint_and_do_not_depend_on_the_order(prompts, shuffler, limit):
    records = ATTEMPTS + [{"prompt": prompt} for prompt in prompts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = prepare(folder / "a", records, limit=limit, max_bad_share=1)
        before = ids(train), ids(test)
        assert not before[0] & before[1]
        assert len(rows(train)) == len(before[0]) and len(rows(test)) == len(before[1])
        assert ledger(train)["in"] == len(records)
        assert ledger(train)["out"] == len(rows(train)) + len(rows(test)) <= (limit or len(records))
        shuffler.shuffle(records)
        train, test = prepare(folder / "b", records, limit=limit, max_bad_share=1)
        assert (ids(train), ids(test)) == before


def test_adding_records_moves_none_and_a_limit_takes_a_subset(tmp_path):
    train, test = prepare(tmp_path / "few", ATTEMPTS[:120])
    more_train, more_test = prepare(tmp_path / "more", ATTEMPTS)
    assert ids(train) < ids(more_train) and ids(test) < ids(more_test)
    some_train, some_test = prepare(tmp_path / "some", ATTEMPTS, limit=90)
    assert ids(some_train) < ids(more_train) and ids(some_test) < ids(more_test)
    assert len(ids(some_train) | ids(some_test)) == 90
    assert ledger(some_train)["dropped"] == {"over the limit": 110}


def test_duplicates_and_malformed_transcripts_are_counted(tmp_path):
    bad = [{"transcript": "nothing"}, {"other": 1}, {"prompt": "  "}, "{broken"]
    doubles = [{"prompt": "How  do I break 7? "}, {"prompt": "How do I break 8?"}]
    train, _ = prepare(tmp_path, ATTEMPTS + bad + doubles)
    found = ledger(train)
    assert found["dropped"] == {
        "duplicate prompt": 2,
        "empty prompt": 1,
        "malformed line": 1,
        "no prompt, messages, conversations, transcript or chosen; found 'other'": 1,
        "not a transcript": 1,
    }
    places = [row["where"].rsplit(":", 1)[1] for row in found["rejected"]]
    assert places == ["201", "202", "203", "204"]


def test_too_many_bad_records_end_the_run_in_one_line(tmp_path):
    source = write_lines(tmp_path / "source.jsonl", ATTEMPTS[:90] + ["{broken"] * 10)
    result = program(
        *("prepare_red_team", "--source", f'{{"source": "{source}"}}'),
        *("--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl"),
    )
    line = error_line(result)
    assert "source.jsonl: 10 of 100 records" in line and "max_bad_share" in line
    assert f"{source}:91" in line
    assert not (tmp_path / "train.jsonl").exists()


def test_prompts_that_are_too_long_are_dropped_by_the_models_own_tokens(tmp_path, tokenizer):
    long = {"prompt": "very " * 100}
    length = LengthLimit(tokenizer, 40)
    train, test = prepare(tmp_path, [*ATTEMPTS, long], length=length)
    assert ledger(train)["dropped"] == {"prompt too long": 1}
    assert record_id(long["prompt"]) not in ids(train) | ids(test)
    assert all(tokenizer.count(row["prompt"]) <= 40 for row in rows(train) + rows(test))


def test_a_source_may_say_the_part_itself(tmp_path):
    shuffled = random.Random(1).sample(range(200), 50)
    records = [
        {**row, "split": "test" if number in shuffled else "train"}
        for number, row in enumerate(ATTEMPTS)
    ]
    train, test = prepare(tmp_path, records, split_field="split")
    assert ids(test) == {record_id(f"How do I break {number}?") for number in shuffled}
    assert len(ids(train)) == 150


def test_a_source_may_not_put_a_prompt_in_both_parts(tmp_path):
    both = [{"prompt": "Why?", "split": part} for part in ("train", "test")]
    with pytest.raises(UserError, match=r"source.jsonl:2: split: .* both train and test"):
        prepare(tmp_path, both, split_field="split")


def test_an_empty_part_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"no record is left for test.*test_fraction"):
        prepare(tmp_path, ATTEMPTS[:3], test_fraction=0.0001)
    assert not list(tmp_path.glob("t*.jsonl"))


def test_a_wrong_option_is_told_in_one_line(tmp_path):
    source = write_lines(tmp_path / "source.jsonl", ATTEMPTS)
    paths = ("--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl")
    arguments = ("prepare_red_team", "--source", f'{{"source": "{source}"}}', *paths)
    assert "test_fraction" in error_line(program(*arguments, "--test-fraction", 2))
    assert "tokenizer" in error_line(program(*arguments, "--max-tokens", 9))
