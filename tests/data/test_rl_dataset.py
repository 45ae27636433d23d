"""Comparisons with soft labels, their blend with human ones, and PPO's prompts."""

import itertools
import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    comparison,
    error_line,
    ids,
    ledger,
    preference,
    preference_files,
    program,
    rows,
    write_lines,
)

from cai.core.errors import UserError
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.rl_dataset import RlOptions, build_comparisons, build_prompts
from cai.data.splits import SplitOptions
from cai.data.usable_pairs import UsablePairs
from cai.files.records import Ledger, record_id
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source

PREFERENCES = [preference(f"How do I break {i}?", "Hit it.", "Don't.", 0.25) for i in range(200)]
HUMAN = [comparison(f"How do I mend {i}?", f"Glue it {i}.", "No.") for i in range(150)]


@pytest.fixture(scope="module")
def helpful(tmp_path_factory):
    """Human comparisons; one of them is about a prompt that the judge saw too."""
    folder = tmp_path_factory.mktemp("helpful")
    records = [*HUMAN, *(comparison(f"How do I break {i}?", "So.", "No.") for i in range(20))]
    source = write_lines(folder / "source.jsonl", records)
    files = preference_files(folder)
    options = SplitOptions(test_fraction=0.3)
    prepare_helpful_preferences([Source(source=str(source))], files, CHAT, ANY_LENGTH, options)
    return files


def build(
    folder, helpful, preferences=PREFERENCES, length=ANY_LENGTH, prompt_length=ANY_LENGTH, **o
):
    """Run both steps; returns the four files."""
    outputs = preference_files(folder)
    source = [write_lines(folder / "preferences/0.jsonl", preferences)]
    options = RlOptions(**{"test_fraction": 0.2, "draws": 1, **o})
    for step, most in ((build_comparisons, length), (build_prompts, prompt_length)):
        step(source, helpful, outputs, template=CHAT, length=most, options=options)
    return outputs


def pairs(*paths) -> list[tuple[str, str, str]]:
    """Id, chosen and rejected of each comparison."""
    found = []
    for path in paths:
        lines = rows(path)
        assert len(lines) % 2 == 0
        for chosen, rejected in zip(lines[::2], lines[1::2], strict=True):
            assert chosen["id"] == rejected["id"]
            found.append((chosen["id"], chosen["text"], rejected["text"]))
    return found


def both(files) -> list[tuple[str, str, str]]:
    return pairs(files.train_comparisons, files.test_comparisons)


def ai(found: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [pair for pair in found if "Hit it." in pair[1] + pair[2]]


def test_both_halves_have_the_same_form_byte_for_byte(tmp_path, helpful):
    outputs = build(tmp_path, helpful, helpful_ratio=1000)
    question = "How do I break 3?"
    machine, human = (
        [p for p in both(outputs) if p[0] == record_id(question) and wanted in p[1] + p[2]]
        for wanted in ("Hit it.", "So.")
    )
    head = f"<extra_id_0>System\n\n<extra_id_1>User\n{question}\n<extra_id_1>Assistant\n"
    assert set(machine[0][1:]) == {head + f"{text}\n<extra_id_1>" for text in ("Hit it.", "Don't.")}
    assert set(human[0][1:]) == {head + f"{text}\n<extra_id_1>" for text in ("So.", "No.")}
    for pair in both(outputs):
        for text in pair[1:]:
            assert text.encode().endswith(b"\n<extra_id_1>") and not text.endswith(
                "\n\n<extra_id_1>"
            )
    prompts = rows(outputs.train_prompts) + rows(outputs.test_prompts)
    assert head in {row["text"] for row in prompts}
    assert all(row["text"].endswith("\n<extra_id_1>Assistant\n") for row in prompts)


@pytest.mark.parametrize("p_a", [0.0, 0.1, 0.5, 0.83, 1.0])
def test_the_draws_are_unbiased(tmp_path, helpful, p_a):
    judged = [{**row, "p_a": p_a} for row in PREFERENCES]
    found = ai(both(build(tmp_path, helpful, judged, draws=25)))
    assert len(found) == 25 * 200
    share = sum("Hit it." in chosen for _, chosen, _ in found) / len(found)
    assert abs(share - p_a) <= 4 * sqrt(p_a * (1 - p_a) / len(found))


def test_a_pair_is_drawn_alike_whichever_answer_is_called_a(tmp_path, helpful):
    swapped = [{**row, "a": row["b"], "b": row["a"], "p_a": 0.75} for row in PREFERENCES]
    one, other = (
        build(tmp_path / "a", helpful, draws=3),
        build(tmp_path / "b", helpful, swapped, draws=3),
    )
    assert one.train_comparisons.read_bytes() == other.train_comparisons.read_bytes()


def test_more_draws_keep_the_first_ones_and_another_seed_draws_anew(tmp_path, helpful):
    one, two, again = (
        Counter(ai(both(build(tmp_path / name, helpful, **options))))
        for name, options in (("1", {}), ("2", {"draws": 2}), ("s", {"seed": 9}))
    )
    assert one <= two and two.total() == 2 * one.total()
    assert one != again


def test_hard_labels_take_the_likelier_order_and_count_ties(tmp_path, helpful):
    tied = [preference(f"Tie {i}?", "x", "y", 0.5) for i in range(7)]
    outputs = build(tmp_path, helpful, PREFERENCES + tied, hard=True)
    found = ai(both(outputs))
    assert len(found) == 200 and all("Don't." in chosen for _, chosen, _ in found)
    assert ledger(outputs.train_comparisons)["dropped"]["tie"] == 7


def test_no_prompt_is_in_both_parts_of_any_file(tmp_path, helpful):
    outputs = build(tmp_path, helpful, helpful_ratio=1000, helpful_prompt_ratio=1000)
    openings = [
        {
            row["opening"]
            for kind in (outputs.prompts, outputs.comparisons)
            for row in rows(kind(part))
        }
        for part in ("train", "test")
    ]
    assert not openings[0] & openings[1]
    assert openings[0] | openings[1] >= {row["id"] for row in PREFERENCES}


def test_adding_preferences_moves_none_between_the_parts(tmp_path, helpful):
    few, more = (
        build(tmp_path / str(n), helpful, PREFERENCES[:n], helpful_ratio=0) for n in (120, 200)
    )
    assert set(pairs(few.train_comparisons)) < set(pairs(more.train_comparisons))
    assert set(pairs(few.test_comparisons)) < set(pairs(more.test_comparisons))


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_byte(tmp_path_factory, helpful, shuffler):
    folder = tmp_path_factory.mktemp("order")
    shuffled = list(PREFERENCES)
    shuffler.shuffle(shuffled)
    one, other = (
        build(folder / name, helpful, rows, draws=2)
        for name, rows in (("a", PREFERENCES), ("b", shuffled))
    )
    for part in ("train", "test"):
        assert one.prompts(part).read_bytes() == other.prompts(part).read_bytes()
        assert one.comparisons(part).read_bytes() == other.comparisons(part).read_bytes()


@pytest.mark.parametrize("ratio", [0, 0.4, 1000])
def test_the_ratios_bound_the_helpful_share_and_it_is_spread_evenly(tmp_path, helpful, ratio):
    outputs = build(tmp_path, helpful, helpful_ratio=ratio, helpful_prompt_ratio=ratio)
    notes = ledger(outputs.train_comparisons)["notes"]["train"]
    found = pairs(outputs.train_comparisons)
    assert len(ai(found)) == notes["ai"] and len(found) == notes["ai"] + notes["helpful"]
    have = len(pairs(helpful.train_comparisons))
    assert notes["helpful"] == min(have, round(ratio * notes["ai"]))
    first = found[: len(found) // 2]
    assert abs(len(ai(first)) - notes["ai"] / 2) <= 1.5
    prompts = [row["text"] for row in rows(outputs.train_prompts)]
    assert len(prompts) == len(set(prompts))
    harmful = sum("break" in text for text in prompts)
    assert len(prompts) - harmful <= round(ratio * harmful)


def test_what_cannot_be_learnt_from_is_counted(tmp_path, helpful, tokenizer):
    bad = [
        preference("Equal?", "x", "x", 0.3),
        preference("Long?", "x", "No, " * 300, 0.3),
        preference("Mark?", "x", "<extra_id_1>", 0.3),
        {**preference("None?", "x", "y", 0.3), "p_a": None},
        preference("Odd?", "x", "y", 1.5),
        {"prompt": "Id?", "a": "x", "b": "y", "p_a": 0.5},
        PREFERENCES[0],
        "{broken",
    ]
    length = LengthLimit(tokenizer, 150)
    outputs = build(tmp_path, helpful, PREFERENCES + bad, length, helpful_ratio=1000)
    assert ledger(outputs.train_comparisons)["dropped"] == {
        "comparison too long": 1,
        "duplicate judgement": 1,
        "equal answers": 1,
        "malformed line": 1,
        "no id": 1,
        "p_a is not a probability": 2,
        "text holds a mark of the chat template": 1,
    }


def test_a_judgement_by_another_principle_is_not_a_duplicate(tmp_path, helpful):
    other = [{**row, "principle": "law"} for row in PREFERENCES]
    outputs = build(tmp_path, helpful, PREFERENCES + other)
    assert len(ai(both(outputs))) == 400
    assert len(ids(outputs.train_prompts) & {row["id"] for row in PREFERENCES}) < 200
    assert ledger(outputs.train_prompts)["dropped"]["duplicate prompt"] >= 200


def test_prompts_that_ppo_would_skip_are_dropped(tmp_path, helpful, tokenizer):
    long = preference("Why, " * 100, "x", "y", 0.3)
    most = max(tokenizer.count(row["text"]) for row in rows(helpful.train_prompts)) + 2
    outputs = build(
        tmp_path, helpful, [*PREFERENCES, long], prompt_length=LengthLimit(tokenizer, most)
    )
    assert ledger(outputs.train_prompts)["dropped"]["prompt too long"] == 1
    assert long["id"] not in ids(outputs.train_prompts) | ids(outputs.test_prompts)
    assert long["id"] in ids(outputs.train_comparisons) | ids(outputs.test_comparisons)


def test_a_part_that_is_too_small_is_refused(tmp_path, helpful):
    with pytest.raises(UserError, match=r"train comparisons: .*\d+ .*400 .*model\.global_b"):
        build(tmp_path, helpful, PREFERENCES[:3], min_comparisons=400, test_fraction=0.0001)
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize("part", ["train", "test"])
def test_prompts_that_do_not_fill_a_step_of_ppo_are_refused(tmp_path, helpful, part):
    with pytest.raises(UserError, match=rf"{part} prompts: .*\d+ .*9000 "):
        build(tmp_path, helpful, PREFERENCES[:30], **{f"min_{part}_prompts": 9000})


def test_the_program_makes_both_kinds_of_files(tmp_path, helpful, tokenizer_model):
    source = write_lines(tmp_path / "p.jsonl", random.Random(3).sample(PREFERENCES, 200))
    outputs = preference_files(tmp_path / "out")
    names = ("train_prompts", "train_comparisons", "test_prompts", "test_comparisons")
    files = [
        argument
        for prefix, folder in (("helpful-", helpful), ("", outputs))
        for name in names
        for argument in (f"--{prefix}{name.replace('_', '-')}", getattr(folder, name))
    ]
    common = ("--preferences", source, *files, "--template", CHAT.model_dump_json())
    limits = ("--tokenizer", tokenizer_model, "--max-tokens", 150, "--max-prompt-tokens", 100)
    result = program("build_preferences", *common, *limits, "--options", '{"draws": 2}')
    assert result.returncode == 0, result.stderr
    assert "rl_cai comparisons: in" in result.stdout and "rl_cai prompts: in" in result.stdout
    assert len(ai(both(outputs))) == 400
    assert "draws" in error_line(program("build_preferences", *common, "--options", '{"draws": 0}'))


@pytest.mark.parametrize("order", list(itertools.permutations(["same", "other", "long"])))
def test_a_pair_is_counted_under_one_reason_in_whatever_order_they_come(order):
    texts = {"same": ("a", "a"), "other": ("a", "b"), "long": ("a", "a b c d e")}
    ledger, most = Ledger("pairs"), LengthLimit(None, None)
    most.fits = lambda text: len(text) < 5
    usable = UsablePairs(ledger, most, equal="equal", duplicate="seen")
    for name in [*order, *order]:
        ledger.count_in()
        ledger.out += usable.uses("here", name, texts[name], name)
    assert ledger.out == 1
    assert ledger.counts()["dropped"] == {"comparison too long": 2, "equal": 2, "seen": 1}
