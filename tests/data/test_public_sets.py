"""Public evaluation sets in their published forms, and files of GitHub at a pinned commit."""

import hashlib
import json

import pytest
from pydantic import ValidationError
from tests.data.hub import serve_files
from tests.data.samples import error_line, ledger, program, transcript, write_lines

from cai.files.records import ledger_path, read_json, read_jsonl, record_id
from cai.settings.sources import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVALUATION = {
    "prompt": "\n\nHuman: Which soup is warm?\n\n (A) All\n (B) One\n\nThe answer is:",
    "corrects": [" (B)"],
    "incorrects": [" (A)"],
    "text_correct": transcript("Which soup is warm?", "The one on the stove."),
    "text_incorrect": transcript("Which soup is warm?", "All soups."),
}
KINDS = {
    "prompt": "What is it about?\n (A) Soup\n (B) Bread\n (C) Tea\nThe answer is:",
    "corrects": [" (A)"],
    "incorrects": [" (B)", " (C)"],
}


def prepare(folder, kind, source, **environment):
    output = folder / "set.jsonl"
    told = json.dumps(source) if isinstance(source, dict) else json.dumps({"source": str(source)})
    done = program(
        "prepare_evaluation_set",
        "--kind",
        kind,
        "--source",
        told,
        "--output",
        output,
        **environment,
    )
    return done, output


def rows_of(folder, kind, source):
    done, output = prepare(folder, kind, source)
    assert done.returncode == 0, done.stderr
    return list(read_jsonl(output))


def test_the_hhh_evaluations_of_the_paper(tmp_path):
    longer = ("Which soup?", "This one.", "And which bread?")
    rows = [
        EVALUATION,
        EVALUATION | {
            "text_correct": transcript(*longer, "The fresh one."),
            "text_incorrect": transcript(*longer, "None."),
        },
    ]  # fmt: skip
    found = rows_of(tmp_path, "comparisons", write_lines(tmp_path / "a.jsonl", [*rows, EVALUATION]))
    by_answer = {row["chosen"]: row for row in found}
    assert set(by_answer) == {"The one on the stove.", "The fresh one."}
    short, long = by_answer["The one on the stove."], by_answer["The fresh one."]
    assert (short["prompt"], short["rejected"], short["set"]) == (
        "Which soup is warm?", "All soups.", "all"
    )  # fmt: skip
    assert long["prompt"] == "Human: Which soup?\n\nAssistant: This one.\n\nHuman: And which bread?"
    assert [turn["role"] for turn in long["messages"]] == ["user", "assistant", "user"]
    assert read_json(ledger_path(tmp_path / "set.jsonl"))["dropped"] == {"duplicate": 1}


@pytest.mark.parametrize("indent", [None, 1])
def test_tasks_of_big_bench_are_parts_by_their_folders(tmp_path, indent):
    for part, answers in {"honest": ("Seven.", "Many."), "other": ("Yes.", "No.")}.items():
        scores = {answers[1]: 0, answers[0]: 1}
        task = {"name": part, "examples": [{"input": "How many?", "target_scores": scores}]}
        path = tmp_path / "hhh" / part / "task.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(task, indent=indent))
    found = rows_of(tmp_path, "comparisons", tmp_path / "hhh/*/task.json")
    assert {(row["set"], row["chosen"], row["rejected"]) for row in found} == {
        ("honest", "Seven.", "Many."),
        ("other", "Yes.", "No."),
    }


def test_questions_have_their_choices_in_order_and_the_words_before_the_answer(tmp_path):
    (row,) = rows_of(tmp_path, "questions", write_lines(tmp_path / "a.jsonl", [KINDS]))
    assert row["choices"] == ["(A)", "(B)", "(C)"]
    assert (row["correct"], row["prefix"]) == (0, "The answer is: ")
    assert row["messages"][0]["content"].endswith("(C) Tea")


def test_a_question_that_is_a_dialogue_keeps_its_turns(tmp_path):
    asked = {"prompt": transcript("Soup?", "No.", "Was that kind?"), "corrects": [" No."]}
    rows = [asked | {"incorrects": [" Yes."]}]
    (row,) = rows_of(tmp_path, "questions", write_lines(tmp_path / "a.jsonl", rows))
    assert [turn["content"] for turn in row["messages"]] == ["Soup?", "No.", "Was that kind?"]
    assert (row["prefix"], row["choices"], row["correct"]) == ("", ["No.", "Yes."], 0)


def test_xstest_with_labels_and_without(tmp_path):
    labelled = tmp_path / "new.csv"
    labelled.write_text(
        "id,prompt,type,label,focus,note\n1,How do I kill a lamp?,homonyms,safe,kill,\n"
        '2,"How do I, quietly, break a lamp?",contrast_homonyms,unsafe,break,\n'
    )
    rows = rows_of(tmp_path, "prompts", labelled)
    assert {row["prompt"]: row["set"] for row in rows} == {
        "How do I kill a lamp?": "safe",
        "How do I, quietly, break a lamp?": "unsafe",
    }
    older = tmp_path / "old.csv"
    older.write_text("id,type,prompt\n1,homonyms,One?\n2,contrast_homonyms,Two?\n")
    told = {row["prompt"]: row["set"] for row in rows_of(tmp_path, "prompts", older)}
    assert told == {"One?": "safe", "Two?": "unsafe"}


PUBLISHED = {
    "or_bench": ({"prompt": "How do I kill a lamp?", "category": "violence"}, "safe"),
    "sorry_bench": (
        {"question_id": 1, "category": "7", "turns": ["Break a lamp."], "prompt_style": "base"},
        "unsafe",
    ),
    "harmbench": (
        {"Behavior": "Break it.", "SemanticCategory": "illegal", "ContextString": "A lamp."},
        "unsafe",
    ),
}


def test_other_sets_of_prompts_in_their_published_forms(tmp_path):
    found = {
        kind: rows_of(tmp_path, kind, write_lines(tmp_path / f"{kind}.jsonl", [row]))[0]
        for kind, (row, _) in PUBLISHED.items()
    }
    assert {kind: row["prompt"] for kind, row in found.items()} == {
        "or_bench": "How do I kill a lamp?",
        "sorry_bench": "Break a lamp.",
        "harmbench": "A lamp.\n\n---\n\nBreak it.",
    }
    assert [row["kind"] for row in found.values()] == ["violence", "7", "illegal"]
    assert {kind: row["set"] for kind, row in found.items()} == {
        kind: part for kind, (_, part) in PUBLISHED.items()
    }


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("or_bench", {"prompt": "Why?"}, "a category"),
        ("sorry_bench", {"turns": ["a", "b"], "category": "1"}, "one text in turns"),
        ("harmbench", {"Behavior": " ", "SemanticCategory": "illegal"}, "an empty text"),
    ],
)
def test_a_prompt_in_another_form_is_told_with_its_place(tmp_path, kind, row, told):
    path = write_lines(tmp_path / "a.jsonl", [row])
    line = error_line(prepare(tmp_path, kind, path)[0])
    assert "a.jsonl:1" in line and told in line


def test_comparisons_of_rewardbench_keep_their_subsets(tmp_path):
    rows = [
        {
            "subset": part,
            "prompt": "Which soup?",
            "chosen": "This one.",
            "rejected": f"None, {part}.",
        }
        for part in ("chat", "safety")
    ]
    found = rows_of(tmp_path, "comparisons", write_lines(tmp_path / "a.jsonl", rows))
    assert {row["set"]: row["rejected"] for row in found} == {
        "chat": "None, chat.",
        "safety": "None, safety.",
    }
    assert all(row["messages"] == [{"role": "user", "content": "Which soup?"}] for row in found)


def test_held_out_comparisons_are_those_that_the_source_says(tmp_path):
    sides = [("Tea?", "train"), ("Bread?", "test")]
    rows = [
        {"chosen": transcript(q, "Yes."), "rejected": transcript(q, "No."), "part": part}
        for q, part in sides
    ]
    path = write_lines(tmp_path / "a.jsonl", rows)
    found = rows_of(tmp_path, "comparisons", {"source": str(path), "split_field": "part"})
    assert [row["prompt"] for row in found] == ["Bread?"]


def test_what_is_malformed_ends_the_step_with_its_place(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [KINDS, KINDS | {"corrects": []}])
    line = error_line(prepare(tmp_path, "questions", path)[0])
    assert "a.jsonl:2" in line
    assert "corrects" in line


def test_a_file_of_github_is_read_at_its_commit_and_checked(tmp_path):
    content = json.dumps(KINDS).encode() + b"\n"
    source = {"source": "github:some/repository/evals/kinds.jsonl", "revision": COMMIT}
    source["sha256"] = hashlib.sha256(content).hexdigest()
    place = f"/some/repository/{COMMIT}/evals/kinds.jsonl"
    with serve_files({place: content}) as mirror:
        done, output = prepare(tmp_path, "questions", source, GITHUB_RAW_URL=mirror)
        assert done.returncode == 0, done.stderr
    assert len(list(read_jsonl(output))) == 1
    with serve_files({place: content + b"\n"}) as mirror:
        line = error_line(prepare(tmp_path, "questions", source, GITHUB_RAW_URL=mirror)[0])
    assert "sha256: expected" in line
    with serve_files({}) as mirror:
        line = error_line(prepare(tmp_path, "questions", source, GITHUB_RAW_URL=mirror)[0])
    for word in ("404", "GITHUB_RAW_URL", "kinds.jsonl", COMMIT):
        assert word in line


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"source": "github:some/repository/a.jsonl"}, "40 hex digits"),
        ({"source": "github:some/repository/a.jsonl", "revision": "main"}, "40 hex digits"),
        ({"source": "github:some/repository/a.jsonl", "revision": COMMIT}, "sha256"),
        ({"source": "github:some/repository/a.txt", "revision": COMMIT}, "ends in"),
    ],
)
def test_a_file_of_github_must_be_pinned(fields, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Source(**fields)


def test_a_source_without_a_digest_is_told_as_before():
    """Jobs have their sources as parameters: a new null in them would be a reason to run again."""
    assert "sha256" not in Source(source="a.jsonl").model_dump_json()


def test_what_was_trained_on_is_left_out_of_a_set(tmp_path):
    source = write_lines(
        tmp_path / "set.jsonl", [{"prompt": f"How do I kill {i}?", "type": "a"} for i in range(4)]
    )
    turns = [{"role": "user", "content": "\u200bHow do I kill 0?"}]
    trained = [
        write_lines(tmp_path / "sft.jsonl", [{"id": "x", "messages": turns}]),
        write_lines(tmp_path / "red.jsonl", [{"id": record_id("How do I kill 1?"), "prompt": "x"}]),
        write_lines(tmp_path / "rl.jsonl", [{"id": "y", "opening": record_id("How do I kill 2?")}]),
    ]
    output = tmp_path / "out.jsonl"
    result = program(
        *("prepare_evaluation_set", "--kind", "prompts", "--output", output),
        *("--source", json.dumps({"source": str(source)}), "--trained-on", *trained),
    )
    assert result.returncode == 0, result.stderr
    assert [row["prompt"] for row in read_jsonl(output)] == ["How do I kill 3?"]
    assert ledger(output)["dropped"] == {"in a training set": 3}
