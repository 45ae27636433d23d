"""Helpful dialogues and human comparisons of helpfulness."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    comparison,
    ids,
    ledger,
    preference_files,
    program,
    rows,
    transcript,
    write_lines,
)

from cai.core.errors import UserError
from cai.data.comparisons import PreferenceFiles, read_comparisons
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.helpful_sft import prepare_helpful_sft
from cai.data.splits import SplitOptions
from cai.files.records import record_id
from cai.models.tokens import LengthLimit
from cai.settings.sources import ReadOptions, Source

PAIRS = [comparison(f"How do I mend {i}?", f"Glue it {i}.", "No.") for i in range(100)]


def prepare(folder: Path, records: list, length=ANY_LENGTH, **options) -> PreferenceFiles:
    """Run the step on one source."""
    outputs = preference_files(folder)
    prepare_helpful_preferences(
        [Source(source=str(write_lines(folder / "source.jsonl", records)))],
        outputs,
        CHAT,
        length,
        SplitOptions(**{"test_fraction": 0.3, **options}),
    )
    return outputs


def test_three_forms_of_a_helpful_dialogue_become_one(tmp_path):
    turns = [("User", "Why?"), ("Assistant", "So.")]
    source = write_lines(
        tmp_path / "source.jsonl",
        [
            {"messages": [{"role": role.lower(), "content": text} for role, text in turns]},
            {"system": "", "conversations": [{"from": r, "value": t} for r, t in turns]},
            {"chosen": transcript("Why?", "So.")},
            {"chosen": transcript("Why?", "So.", "And?")},
            {"system": "Be kind.", "conversations": [{"from": r, "value": t} for r, t in turns]},
        ],
    )
    output = tmp_path / "helpful.jsonl"
    prepare_helpful_sft(Source(source=str(source)), output, ReadOptions(max_bad_share=0.2))
    assert ledger(output)["dropped"] == {"duplicate dialogue": 2, "no answer at the end": 1}
    plain, kind = sorted(rows(output), key=lambda row: len(row["messages"]))
    assert [turn["content"] for turn in plain["messages"]] == ["Why?", "So."]
    assert kind["messages"][0] == {"role": "system", "content": "Be kind."}
    assert plain["id"] != kind["id"]


def test_comparisons_alternate_and_prompts_end_where_the_answer_begins(tmp_path):
    outputs = prepare(tmp_path, [*PAIRS, comparison("More?", "Yes.", "No.", "Hello", "Hi")])
    lines = rows(outputs.train_comparisons) + rows(outputs.test_comparisons)
    assert len(lines) == 202
    for chosen, rejected in zip(lines[::2], lines[1::2], strict=True):
        assert chosen["id"] == rejected["id"]
        assert rejected["text"].endswith("Assistant\nNo.\n<extra_id_1>")
        assert chosen["text"] != rejected["text"]
    prompts = rows(outputs.train_prompts) + rows(outputs.test_prompts)
    assert {row["id"] for row in prompts} == {row["id"] for row in lines}
    texts = {row["id"]: row["text"] for row in prompts}
    assert all(line["text"].startswith(texts[line["id"]]) for line in lines)
    assert all(text.endswith("<extra_id_1>Assistant\n") for text in texts.values())
    deep = next(row for row in prompts if "More?" in row["text"])
    assert deep["opening"] == record_id("Hello") and "Hi" in deep["text"]


def test_what_cannot_be_compared_is_counted_by_its_reason(tmp_path, tokenizer):
    bad = [
        comparison("Same?", "Yes.", "Yes."),
        {"chosen": transcript("One?", "Yes."), "rejected": transcript("Two?", "Yes.")},
        {"chosen": transcript("One?", "Yes.")},
        {"chosen": "nothing", "rejected": transcript("One?", "Yes.")},
        comparison("Empty?", "Yes.", ""),
        comparison("Mark?", "Yes <extra_id_1>", "No."),
        comparison("Long?", "Yes, " * 200, "No."),
        PAIRS[0],
    ]
    outputs = prepare(tmp_path, PAIRS + bad, LengthLimit(tokenizer, 100), max_bad_share=0.1)
    assert ledger(outputs.train_comparisons)["dropped"] == {
        "chosen and rejected differ before the last answer": 1,
        "comparison too long": 1,
        "duplicate comparison": 1,
        "empty turn": 1,
        "identical answers": 1,
        "no chosen and rejected": 1,
        "not a transcript": 1,
        "text holds a mark of the chat template": 1,
    }


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_a_first_turn_is_in_one_part_whatever_follows(dialogues, shuffler):
    records = PAIRS + [
        comparison(f"Then {then}?", f"{first} {then}", "No.", f"How do I mend {first}?", "Glue.")
        for first, then in dialogues
    ]
    with tempfile.TemporaryDirectory() as name:
        outputs = prepare(Path(name) / "a", records)
        openings = [
            {row["opening"] for row in rows(outputs.prompts(part))} for part in ("train", "test")
        ]
        assert not openings[0] & openings[1]
        assert ids(outputs.train_prompts) == ids(outputs.train_comparisons)
        shuffler.shuffle(records)
        again = prepare(Path(name) / "b", records)
        for part in ("train", "test"):
            for kind in ("prompts", "comparisons"):
                first, second = (getattr(files, kind)(part) for files in (outputs, again))
                assert first.read_bytes() == second.read_bytes()


def test_sources_are_pooled(tmp_path):
    sources = [
        Source(source=str(write_lines(tmp_path / name, PAIRS[slice(*part)])))
        for name, part in (("a.jsonl", (0, 60)), ("b.jsonl", (40, 100)))
    ]
    outputs = preference_files(tmp_path)
    prepare_helpful_preferences(sources, outputs, CHAT, ANY_LENGTH, SplitOptions(test_fraction=0.3))
    assert len(ids(outputs.train_prompts) | ids(outputs.test_prompts)) == 100
    assert ledger(outputs.train_comparisons)["dropped"] == {"duplicate comparison": 20}


def test_an_unpaired_line_is_told_with_its_place(tmp_path):
    lines = [{"id": "a", "opening": "a", "text": "x"}] * 2 + [
        {"id": "b", "opening": "b", "text": ""}
    ]
    path = write_lines(tmp_path / "c.jsonl", lines)
    with pytest.raises(UserError, match=r"c.jsonl:3: .*rejected"):
        list(read_comparisons(path))
    path = write_lines(tmp_path / "c.jsonl", lines[1:])
    with pytest.raises(UserError, match=r"c.jsonl:1: the ids"):
        list(read_comparisons(path))


def test_what_the_evaluation_asks_is_in_no_training_part(tmp_path):
    asked = [f"How do I brew tea {i}?" for i in range(30)]
    pairs = [comparison(f"\ufeff{prompt} ", "So.", "No.") for prompt in asked]
    pairs += [comparison(f"How do I brew coffee {i}?", "So.", "No.") for i in range(30)]
    source = write_lines(tmp_path / "pairs.jsonl", pairs)
    attempts = write_lines(
        tmp_path / "attempts.jsonl",
        [{"prompt": row} for row in (*asked, *(f"How do I break {i}?" for i in range(30)))],
    )
    evaluated = write_lines(
        tmp_path / "asked.jsonl", [*({"prompt": prompt} for prompt in asked[:20]), {"prompt": None}]
    )
    tested = write_lines(
        tmp_path / "tested.jsonl", [{"id": record_id(prompt)} for prompt in asked[20:]]
    )
    held_out = (
        *("--held-out", tested, "--held-out-source", json.dumps({"source": str(evaluated)})),
        *("--test-fraction", 0.3),
    )
    files = preference_files(tmp_path)
    outputs = {f"--{name.replace('_', '-')}": getattr(files, name) for name in files.names()}
    result = program(
        *("prepare_preferences", json.dumps({"source": str(source)}), *held_out),
        *("--template", CHAT.model_dump_json()),
        *(word for pair in outputs.items() for word in pair),
    )
    assert result.returncode == 0, result.stderr
    result = program(
        *("prepare_red_team", "--source", json.dumps({"source": str(attempts)}), *held_out),
        *("--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl"),
    )
    assert result.returncode == 0, result.stderr
    held = {record_id(prompt) for prompt in asked}
    for path in (files.train_prompts, files.train_comparisons):
        openings = {row["opening"] for row in rows(path)}
        assert openings and not openings & held
    assert ids(tmp_path / "train.jsonl") and not ids(tmp_path / "train.jsonl") & held
    for path in (files.train_comparisons, tmp_path / "train.jsonl"):
        assert ledger(path)["dropped"]["held-out prompt"] > 0
