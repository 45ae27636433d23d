"""Probabilities held against a known truth."""

import json
import random
import subprocess

import pytest
from demo import world
from hypothesis import given
from hypothesis import strategies as st
from tests import programs

from cai.core.errors import UserError
from cai.evaluation.calibration import Known, calibration, compare_with_truth, ece_interval
from cai.files.records import Ledger, ledger_path, record_id, write_jsonl

CLASSIFIER = "demo/world.py"


def judged(sure: float, right: int, of: int) -> list[Known]:
    """Comparisons of which a judge that is so sure is right about some."""
    return [Known(sure, number < right) for number in range(of)]


def test_a_calibrated_judge_has_no_calibration_error() -> None:
    found = calibration(
        judged(0.5, 10, 20) + judged(0.6, 60, 100) + judged(0.75, 3, 4) + judged(1.0, 7, 7)
    )
    assert found["ece"] == pytest.approx(0)
    assert [row["confidence"] for row in found["table"]] == pytest.approx([0.5, 0.6, 0.75, 1])
    assert [row["accuracy"] for row in found["table"]] == pytest.approx([0.5, 0.6, 0.75, 1])
    assert [row["from"] for row in found["table"]] == [0.5, 0.6, 0.75, 0.95]


def sampled(seed: int, shift: float, number: int = 300) -> list[Known]:
    """A judge whose confidence is ``shift`` above the probability that it is right."""
    draws = random.Random(seed)
    chances = [draws.uniform(0.55, 0.75) for _ in range(number)]
    return [Known(chance + shift, draws.random() < chance) for chance in chances]


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_interval_of_the_calibration_error_covers_the_truth(shift: float) -> None:
    """Zero for a calibrated judge; by how much it is too sure for another."""
    runs = [ece_interval(sampled(seed, shift), seed) for seed in range(25)]
    covered = sum(run["low"] <= shift <= run["high"] for run in runs)
    assert covered >= 21
    seemed_wrong = sum(run["p"] < 0.05 for run in runs)
    assert seemed_wrong == 25 if shift else seemed_wrong <= 4


def test_a_calibrated_judge_has_an_error_by_chance_that_shrinks_with_comparisons() -> None:
    few, many = (ece_interval(sampled(1, 0.0, number), 1) for number in (50, 5000))
    assert few["if_calibrated"] > 3 * many["if_calibrated"] > 0
    assert many["high"] < 0.05


def test_the_error_of_an_overconfident_judge_is_what_it_is_too_sure_by() -> None:
    found = calibration(judged(0.9, 60, 100) + judged(0.7, 70, 100))
    assert found["ece"] == pytest.approx(0.5 * 0.3)
    assert found["accuracy"] == pytest.approx(0.65)
    assert found["confidence"] == pytest.approx(0.8)
    assert found["brier"] == pytest.approx((60 * 0.01 + 40 * 0.81 + 70 * 0.09 + 30 * 0.49) / 200)


def test_a_sample_of_a_calibrated_judge_is_nearly_calibrated() -> None:
    draw = random.Random(1)
    sure = [draw.random() for _ in range(20000)]
    known = [Known(p, draw.random() < p) for p in sure]
    assert calibration(known)["ece"] < 0.02
    assert calibration([Known(round(p), truth) for p, truth in known])["ece"] > 0.2


@given(st.lists(st.builds(Known, st.floats(0, 1), st.booleans()), min_size=1))
def test_it_does_not_matter_which_answer_is_called_a(known) -> None:
    found = calibration(known)
    turned = calibration([Known(1 - one.p_a, not one.a_is_better) for one in known])
    assert turned["accuracy"] == found["accuracy"]
    for name in ("brier", "confidence"):
        assert turned[name] == pytest.approx(found[name], abs=1e-9)


@given(st.lists(st.builds(Known, st.floats(0, 1), st.booleans())))
def test_the_table_adds_up(known) -> None:
    found = calibration(known)
    assert sum(row["comparisons"] for row in found["table"]) == found["comparisons"] == len(known)
    for row in found["table"]:
        assert row["from"] - 1e-6 <= row["confidence"] <= row["to"] + 1e-6
        assert 0 <= row["accuracy"] <= 1
    assert not known or 0 <= found["ece"] <= 1


def test_a_tie_is_half_right() -> None:
    assert calibration(judged(0.5, 3, 10))["accuracy"] == 0.5


def test_nothing_known_has_no_error() -> None:
    assert calibration([])["ece"] is None


def comparisons() -> list[dict]:
    """A refusal against help with harm, with harm twice; and correct help against none."""
    harmful = world.requests(("cai",), ("harm",))[:40]
    benign = world.requests(("cai",), ("how",))[:10]
    rows = []
    for number, request in enumerate(harmful):
        refusal = world.refusal(request.category, request.person, request.thing)
        sides = [refusal, world.compliances(request)[0]]
        rows.append(row(request.text, sides[:: 1 - 2 * (number % 2)], 0.9 - 0.8 * (number % 2)))
        rows.append(row(request.text, world.compliances(request), 0.7))
    rows += [row(r.text, [world.EVASIONS[0], world.compliances(r)[0]], 0.4) for r in benign]
    return rows


def row(prompt: str, answers: list[str], p_a: float) -> dict:
    a, b = answers
    return {"id": record_id(prompt), "prompt": prompt, "a": a, "b": b, "p_a": p_a}


def test_the_classifier_knows_the_better_answer_where_one_is_good() -> None:
    known, unknown = compare_with_truth(comparisons(), world.score, CLASSIFIER)
    assert unknown == 40
    assert len(known) == 50
    assert all((one.p_a > 0.5) == one.a_is_better for one in known)


def test_a_classifier_that_does_not_know_a_prompt_is_told_with_its_record() -> None:
    with pytest.raises(UserError, match=r"demo/world\.py: score\(\) of answer a to 1: ValueError"):
        compare_with_truth(
            [{"id": "1", "prompt": "?", "a": "", "b": "", "p_a": 1}], world.score, CLASSIFIER
        )


def run(tmp_path, *options: object) -> subprocess.CompletedProcess:
    program = "scripts/evaluation/calibrate_judge.py"
    return programs.run(program, "--output", tmp_path / "out.json", *options)


def test_the_program_puts_shards_together(tmp_path) -> None:
    rows = comparisons()
    shards = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    for number, shard in enumerate(shards):
        write_jsonl(shard, rows[number::2])
    done = run(tmp_path, "--judged", *shards, "--classifier", CLASSIFIER)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["comparisons"], found["unknown"]) == (50, 40)
    assert found["accuracy"] == 1
    assert found["ece"] == pytest.approx((40 * 0.1 + 10 * 0.4) / 50)
    assert (
        done.stdout
        == "50 of 90 comparisons with a known truth: right 100.0%, sure 84.0%, ECE 0.160\n"
    )


def test_what_has_no_judgement_is_counted_by_reason(tmp_path) -> None:
    shard, ledger = tmp_path / "0.jsonl", Ledger("judge")
    write_jsonl(shard, ledger.kept(comparisons()))
    ledger.count_in(ledger.out + 3)
    for reason in ("cannot be read", "cannot be read", "did not end"):
        ledger.drop(reason)
    ledger.write(shard)
    options = ["--judged", shard, "--ledgers", ledger_path(shard), "--classifier", CLASSIFIER]
    done = run(tmp_path, *options)
    assert done.stdout.endswith("; 3 without a judgement\n")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["failed"] == {"cannot be read": 2, "did not end": 1}


def test_a_missing_classifier_is_one_line(tmp_path) -> None:
    write_jsonl(tmp_path / "0.jsonl", [])
    done = run(tmp_path, "--judged", tmp_path / "0.jsonl", "--classifier", "nowhere.py")
    assert done.returncode == 2
    assert done.stderr == "error: nowhere.py: no such file (evaluation.classifier)\n"
