"""Near-duplicates of held-out prompts: all are found, in memory that grows with these alone."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.samples import CHAT, error_line, program, write_lines

from cai.data.near_duplicates import Index, near_duplicates, shingles
from cai.files.records import read_json
from cai.models.templates import single_turn

words = st.lists(st.sampled_from("abcdefg"), max_size=9).map(" ".join)


def jaccard(one: str, other: str) -> float:
    mine, theirs = shingles(one), shingles(other)
    return len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0


@given(st.lists(words, max_size=8), words, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_they_are_those_that_all_comparisons_would_find(held_out, text, threshold):
    index = Index(((str(i), known) for i, known in enumerate(held_out)), threshold)
    wanted = {
        str(i): jaccard(text, known)
        for i, known in enumerate(held_out)
        if known and text and jaccard(text, known) >= threshold - 1e-9
    }
    assert dict(index.matches(text)) == pytest.approx(wanted)


def test_case_and_punctuation_are_not_a_difference_and_the_nearest_is_told():
    index = Index([("a", "How do I bake a good loaf of bread?")])
    train = [
        ("1", "how do i bake a good loaf of BREAD today"),
        ("2", "How do I bake a good loaf, of bread"),
        ("3", "How do I paint a wall?"),
    ]
    found = near_duplicates(index, train)
    assert found["a"].id == "2"
    assert found["a"].similarity == 1.0


def prompts(number: int, seed: int) -> Iterator[tuple[str, str]]:
    draws = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(5000)]
    for i in range(number):
        yield str(i), " ".join(draws.choices(vocabulary, k=20))


def test_changed_words_are_found_among_many():
    """Of 20 words, one changed word keeps at least 15 of 21 sequences: over the threshold."""
    held_out = dict(prompts(500, seed=0))
    draws = random.Random(2)
    train = list(prompts(5000, seed=1))
    for name, text in held_out.items():
        changed = text.split()
        changed[draws.randrange(20)] = "other"
        train.append((f"copy of {name}", " ".join(changed)))
    found = near_duplicates(Index(held_out.items()), train)
    assert {name: match.id for name, match in found.items()} == {
        name: f"copy of {name}" for name in held_out
    }


def test_memory_grows_with_the_held_out_prompts_alone():
    index = Index(prompts(200, seed=0))
    near_duplicates(index, prompts(500, seed=1))
    tracemalloc.start()
    near_duplicates(index, prompts(4000, seed=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_the_program_reads_every_form_of_training_records(tmp_path):
    question = "How do I bake a good loaf of bread?"
    held_out = write_lines(tmp_path / "held_out.jsonl", [{"id": "a", "prompt": question}])
    forms = {
        "prompt": {"prompt": question},
        "text": {"text": CHAT.prompt(single_turn(question))},
        "messages": {"messages": single_turn(question)},
    }
    paths = [write_lines(tmp_path / f"{name}.jsonl", [row]) for name, row in forms.items()]
    arguments = ["--held-out", held_out, "--template", CHAT.model_dump_json()]
    output = tmp_path / "leakage.json"
    done = program("check_leakage", *arguments, "--train", *paths, "--output", output)
    assert done.returncode == 0, done.stderr
    found = read_json(output)["sets"].values()
    assert [(row["near_duplicates"], row["equal"]) for row in found] == [(1, 1)] * 3
    bad = write_lines(tmp_path / "bad.jsonl", [{"answer": 1}])
    line = error_line(program("check_leakage", *arguments, "--train", bad, "--output", output))
    assert "bad.jsonl:1" in line
