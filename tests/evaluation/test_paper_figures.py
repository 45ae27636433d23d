"""Figures 4, 9, 11 and 12: what is drawn is what was judged, and what is missing is told."""

import csv
import json

import pytest
from running import complaint, run_program

from cai.files.records import read_json, write_jsonl

MISSING = {"judge with chain of thought": "the judge never learnt it"}


def draw(kind, output, *arguments):
    told = ("--title", "A figure", "--output", output, "--seed", 1)
    run_program("plot_public_sets", kind, *arguments, *told)
    with open(output.with_suffix(".csv")) as stream:
        rows = list(csv.DictReader(stream))
    return read_json(output.with_suffix(".json")), rows, output.read_text()


@pytest.fixture
def comparisons(tmp_path):
    """The reward model is right about 27 of 30 comparisons, the judge's principles differ."""
    ids = [(str(i), "harmless" if i < 10 else "helpful") for i in range(30)]
    rewards = [
        {"id": name, "set": part, "chosen": 1.0 if int(name) >= 3 else -1.0, "rejected": 0.0}
        for name, part in ids
    ]
    judged = [
        {"id": name, "set": part, "principle": "b+a", "p_chosen": 0.7,
         "judge": {"kind": "logprob", "by_principle": {"b": 0.45, "a": 0.95}}}
        for name, part in ids
    ]  # fmt: skip
    write_jsonl(tmp_path / "hhh_221.rewards.jsonl", rewards)
    write_jsonl(tmp_path / "hhh_221.judge.jsonl", judged)
    return tmp_path


def test_the_reward_models_accuracy_by_subset(comparisons):
    rewards = comparisons / "hhh_221.rewards.jsonl"
    output = comparisons / "reward_bench.svg"
    record, rows, svg = draw("subsets", output, "--rewards", rewards)
    values = {r["method"]: (int(r["n"]), float(r["value"]), float(r["low"])) for r in rows}
    assert values["all"][:2] == (30, 0.9) and values["harmless"][:2] == (10, 0.7)
    assert values["harmless"][2] == pytest.approx(0.397, abs=1e-3)  # Wilson's
    assert "helpful (n = 20)" in svg
    assert [row["set"] for row in record["accuracies"]] == ["all", "harmless", "helpful"]
    record, rows, _ = draw("subsets", output, "--missing", '{"reward_bench": "no file"}')
    assert not record["supported"] and rows[0]["why"] == "no file"


def test_accuracies_by_method_and_part_with_what_is_missing(comparisons):
    record, rows, svg = draw(
        *("hhh", comparisons / "fig11.svg", "--rewards", comparisons / "hhh_221.rewards.jsonl"),
        *("--judged", comparisons / "hhh_221.judge.jsonl", "--missing", json.dumps(MISSING)),
    )
    values = {(r["method"], r["set"]): (int(r["n"]), float(r["value"])) for r in rows if r["n"]}
    assert values["reward_model", "harmless"] == (10, 0.7)
    assert values["reward_model", "all"] == (30, 0.9)
    assert values["judge_drawn", "all"] == (30, 0.0)
    assert values["judge_all", "all"] == (30, 1.0)
    changes = {row["method"]: row for row in record["differences"]}
    assert changes["judge_drawn"]["differs"]
    assert not changes["judge_all"]["differs"]
    assert record["supported"] and record["seed"] == 1
    for what, why in MISSING.items():
        assert f"{what}: not supported: {why}" in svg
        assert {"what": what, "why": why} in record["unsupported"]
        assert [row["note"] for row in rows if row["method"] == what] == [
            f"{what}: not supported: {why}"
        ]


def test_every_part_is_drawn_however_many_there_are(tmp_path):
    parts = [f"part {letter}" for letter in "abcdefgh"]
    rows = [
        {"id": f"{part}{i}", "set": part, "chosen": 1.0, "rejected": 0.0}
        for part in parts
        for i in range(3)
    ]
    write_jsonl(tmp_path / "hhh_438.rewards.jsonl", rows)
    rewards = ("--rewards", tmp_path / "hhh_438.rewards.jsonl")
    _, _, svg = draw("hhh", tmp_path / "fig04.svg", *rewards)
    assert [part for part in parts if f"{part} (n = 3)" in svg] == parts


def test_calibration_shows_the_bins_and_the_error(comparisons):
    record, rows, _ = draw(
        "calibration", comparisons / "fig09.svg", "--judged", comparisons / "hhh_221.judge.jsonl"
    )
    found = record["judges"]["judge_all"]
    assert found["ece"] == pytest.approx(0.3)
    assert found["ece_interval"]["low"] > 0.2
    assert [row["comparisons"] for row in rows if row["method"] == "judge_all"] == ["30"]


def test_identification_is_compared_with_the_first_model(tmp_path):
    for model, right in (("helpful_only", 30), ("sl_cai", 15)):
        rows = [
            {"id": str(i), "correct": 0, "probabilities": [0.6, 0.4], "right": i < right}
            for i in range(30)
        ]
        write_jsonl(tmp_path / f"harm_binary.{model}.jsonl", rows)
    files = sorted(tmp_path.glob("*.jsonl"))
    record, rows, _ = draw("identification", tmp_path / "fig12.svg", "--answers", *files)
    assert {row["method"]: row["value"] for row in rows} == {"helpful_only": "1.0", "sl_cai": "0.5"}
    assert record["accuracies"][0]["chance"] == 0.5
    assert [row["method"] for row in record["differences"] if row["differs"]] == ["sl_cai"]


@pytest.mark.parametrize("kind", ["hhh", "calibration", "identification"])
def test_what_cannot_be_computed_says_why_in_all_three_files_and_has_no_number(tmp_path, kind):
    why = {"hhh_438": "evaluations.hhh_438 is not set"}
    record, rows, svg = draw(kind, tmp_path / "a.svg", "--missing", json.dumps(why))
    assert not record["supported"]
    assert not {"accuracies", "judges"} & record.keys()
    assert rows == [{"not_supported": "hhh_438", "why": why["hhh_438"]}]
    assert why["hhh_438"] in " ".join(svg.split())


def test_a_mistake_on_the_command_line_is_one_line(tmp_path):
    arguments = ("hhh", "--title", "A", "--output", tmp_path / "a.svg", "--missing", "[1]")
    assert "JSON object" in complaint("plot_public_sets", *arguments)
