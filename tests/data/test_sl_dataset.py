"""The SFT set: revisions and helpful dialogues, train and validation."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    dialogue,
    error_line,
    ledger,
    program,
    revision,
    rows,
    write_lines,
)

from cai.core.errors import UserError
from cai.data.sl_dataset import SlOptions, build_sl_dataset
from cai.data.splits import HeldOut
from cai.data.spool import Blend
from cai.files.records import record_id
from cai.models.tokens import LengthLimit

REVISIONS = [revision(f"How do I break {i}?", f"Hm {i}.", f"Rather not {i}.") for i in range(100)]
HELPFUL = [dialogue(f"How do I mend {i}?", "Glue it.") for i in range(150)]


def build(folder, revisions=REVISIONS, helpful=HELPFUL, length=ANY_LENGTH, held_out=(), **options):
    """Run the step on two shards; returns train and validation."""
    half = len(revisions) // 2
    shards = [
        write_lines(folder / "revisions/0.jsonl", revisions[:half]),
        write_lines(folder / "revisions/1.jsonl", revisions[half:]),
    ]
    train, validation = folder / "train.jsonl", folder / "validation.jsonl"
    build_sl_dataset(
        shards,
        write_lines(folder / "helpful.jsonl", helpful),
        train,
        validation,
        template=CHAT,
        length=length,
        options=SlOptions(**{"validation_size": 20, **options}),
        excluded=HeldOut(held_out),
    )
    return train, validation


def prompts(path) -> set[str]:
    return {row["conversations"][0]["value"] for row in rows(path)}


def test_lines_are_in_nemos_chat_format(tmp_path):
    train, validation = build(tmp_path, helpful=[*HELPFUL, dialogue("Who?", "I.", "Be brief.")])
    found = {row["conversations"][0]["value"]: row for row in rows(train) + rows(validation)}
    assert found["How do I break 7?"] == {
        "id": REVISIONS[7]["id"],
        "dataset": "revisions",
        "system": "",
        "mask": "User",
        "conversations": [
            {"from": "User", "value": "How do I break 7?", "label": None},
            {"from": "Assistant", "value": "Rather not 7.", "label": None},
        ],
    }
    with_system = [row for row in found.values() if row["system"]]
    assert all(row["system"] == "Be brief." for row in with_system)
    assert all(row["conversations"][0]["from"] == "User" for row in found.values())


def test_prompts_of_the_evaluation_are_not_trained_on(tmp_path):
    red_team = {"id": record_id("How do I break 3?"), "prompt": "How do I break 3?"}
    preference = {"id": "another", "opening": record_id("How do I mend 5?"), "text": "..."}
    files = [
        write_lines(tmp_path / "a.jsonl", [red_team]),
        write_lines(tmp_path / "b.jsonl", [preference]),
    ]
    train, validation = build(tmp_path, held_out=files, helpful_ratio=2)
    left = prompts(train) | prompts(validation)
    everything = {row["prompt"] for row in REVISIONS} | {f"How do I mend {i}?" for i in range(150)}
    assert left == everything - {"How do I break 3?", "How do I mend 5?"}
    assert ledger(train)["dropped"] == {"held-out prompt": 2}


def test_all_revisions_or_the_final_one(tmp_path):
    train, validation = build(tmp_path / "all", train_on="all", helpful_ratio=0)
    answers = [row["conversations"][1]["value"] for row in rows(train) + rows(validation)]
    assert sorted(answers) == sorted(
        text % i for i in range(100) for text in ("Hm %d.", "Rather not %d.")
    )
    assert len({row["id"] for row in rows(train) + rows(validation)}) == 200
    train, validation = build(tmp_path / "final", helpful_ratio=0)
    assert len(rows(train) + rows(validation)) == 100


@pytest.mark.parametrize(("ratio", "expected"), [(0, 0), (0.5, 50), (1, 100), (1000, 150)])
def test_the_ratio_bounds_the_helpful_dialogues(tmp_path, ratio, expected):
    train, validation = build(tmp_path, helpful_ratio=ratio)
    helpful = [row for row in rows(train) + rows(validation) if row["dataset"] == "helpful"]
    assert len(helpful) == expected
    assert ledger(train)["dropped"].get("helpful beyond the ratio", 0) == 150 - expected


def test_train_and_validation_share_no_prompt(tmp_path):
    same = [dialogue("How do I break 3?", f"With care {i}.") for i in range(50)]
    train, validation = build(tmp_path, helpful=HELPFUL + same, train_on="all", helpful_ratio=1000)
    assert not prompts(train) & prompts(validation)
    assert len(rows(validation)) >= 20
    assert len(rows(train)) + len(rows(validation)) == 400


def test_no_prompt_moves_into_validation_when_records_are_added(tmp_path):
    train, _ = build(tmp_path / "few", REVISIONS[:60], HELPFUL[:60])
    _, validation = build(tmp_path / "more")
    assert not prompts(train) & prompts(validation)


def test_the_order_of_lines_and_shards_changes_no_byte(tmp_path):
    first = build(tmp_path / "a")
    shuffled = [random.Random(2).sample(part, len(part)) for part in (REVISIONS, HELPFUL)]
    second = build(tmp_path / "b", *shuffled)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_what_cannot_be_trained_on_is_counted(tmp_path, tokenizer):
    bad = [
        revision("Empty?", " "),
        revision("Long?", "No, " * 200),
        revision("Mark?", "<extra_id_1>User\nMore"),
        REVISIONS[0],
        "{broken",
    ]
    length = LengthLimit(tokenizer, 120)
    train, validation = build(tmp_path, REVISIONS + bad, length=length, helpful_ratio=0)
    assert ledger(train)["dropped"] == {
        "dialogue too long": 1,
        "duplicate": 1,
        "empty turn": 1,
        "helpful beyond the ratio": 150,
        "malformed line": 1,
        "text holds a mark of the chat template": 1,
    }
    assert len(rows(train)) + len(rows(validation)) == 100


def test_the_limit_is_that_of_the_rendered_dialogue(tmp_path, tokenizer):
    short = [revision(f"{i}?", "No.") for i in range(50)]
    helpful = dialogue("How do I mend the old thing?", "Glue it to the other old thing.")
    exact = tokenizer.count(CHAT.closed(helpful["messages"]))
    for most, kept in ((exact, 1), (exact - 1, 0)):
        length = LengthLimit(tokenizer, most)
        train, _ = build(tmp_path / str(most), short, [helpful], length, validation_size=1)
        assert ledger(train)["dropped"].get("dialogue too long", 0) == 1 - kept
        assert ledger(train)["out"] == 50 + kept


def test_a_set_without_training_data_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"validation_size: .*500 .*200 .*\b0\b"):
        build(tmp_path, validation_size=500)
    with pytest.raises(UserError, match=r"\b1\d\d .*190 "):
        build(tmp_path, validation_size=20, min_train=190)
    assert not (tmp_path / "train.jsonl").exists()
    with pytest.raises(UserError, match="no usable record is left"):
        build(tmp_path, [revision("Empty?", "")], max_bad_share=1)


def test_too_many_bad_revisions_end_the_run_in_one_line(tmp_path):
    path = write_lines(tmp_path / "r.jsonl", REVISIONS[:10] + [revision("Empty?", "")] * 5)
    helpful = write_lines(tmp_path / "helpful.jsonl", HELPFUL)
    result = program(
        *("build_sl_dataset", "--revisions", path, "--helpful", helpful),
        *("--train", tmp_path / "train.jsonl", "--validation", tmp_path / "validation.jsonl"),
        *("--template", CHAT.model_dump_json()),
    )
    line = error_line(result)
    assert "5 of 15" in line and "max_bad_share" in line and f"{path}:11" in line


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0, 2))
def test_every_stretch_of_a_blend_has_the_proportions_of_the_whole(tmp_path_factory, n, m, ratio):
    with Blend(tmp_path_factory.getbasetemp(), ratio) as blend:
        for spool, count, name in ((blend.harmless, n, "a"), (blend.helpful, m, "b")):
            for number in range(count):
                spool.add(
                    random.Random(f"{name}{number}").random(), {"id": str(number), "of": name}
                )
        order = [record["of"] for record in blend.records()]
        taken = min(m, round(ratio * n))
        assert (order.count("a"), order.count("b")) == (n, taken) == (n, len(blend) - n)
        for length in range(len(order)):
            expected = length * n / len(order)
            assert abs(order[:length].count("a") - expected) <= 1.5
