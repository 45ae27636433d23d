"""The last stages side by side, where the truth is known."""

import csv
import json
import math

import pytest
from running import complaint, run_program
from synthetic import GAP, POLICIES

from cai.evaluation.headline import headline
from cai.evaluation.summary import read_model, summarise
from cai.files.records import read_json, read_jsonl, write_jsonl
from cai.report.policy_report.frontier import draw_frontier

pytestmark = pytest.mark.slow  # programs of the evaluation, several times


@pytest.fixture(scope="module")
def made(policies):
    return policies.parent


@pytest.fixture(scope="module")
def told(policies):
    return read_json(policies.with_suffix(".json")) | {"page": policies.read_text()}


def test_a_difference_between_the_policies_is_found_and_others_are_not(told):
    between = {t["name"]: t for t in told["tests"] if (t["from"], t["to"]) == POLICIES}
    assert between["harmless.honesty"]["verdict"] == "worse"
    assert between["harmless.honesty"]["change"]["adjusted_p"] < 0.001
    assert between["helpful"]["verdict"] == "" and between["harmless.property"]["verdict"] == ""
    pairs = {(t["from"], t["to"]) for t in told["tests"]}
    assert pairs == {("sl_cai", "rl_cai"), ("sl_cai", "dpo_cai"), POLICIES}
    for test in told["tests"]:
        assert test["change"]["p"] <= test["change"]["adjusted_p"] <= 1


def test_each_policy_has_its_divergence_from_sl_cai(told):
    for row in told["kl"]:
        assert row["answer"]["value"] == pytest.approx(GAP[row["policy"]])
        assert row["token"] == pytest.approx(GAP[row["policy"]] / 10)


def test_costs_are_measured_or_marked_as_estimated(told):
    costs = {row["policy"]: row for row in told["costs"]}
    assert costs["rl_cai"]["gpu_hours"] == pytest.approx(16.0 + 90 * 8 / 3600)
    assert costs["rl_cai"]["seconds"] == 3690 and not costs["rl_cai"]["estimated"]
    assert costs["dpo_cai"]["estimated"] and costs["dpo_cai"]["seconds"] == 60
    assert "60*" in told["page"] and "3,690<" in told["page"]


def test_what_was_not_measured_is_no_nothing(made, tmp_path):
    missing = {"dpo_cai": [{"name": "dpo_cai", "manifest": str(made / "none.json")}]}
    answers = (made / "answers/sl_cai.jsonl", made / "answers/dpo_cai.jsonl")
    output = tmp_path / "p.html"
    words = ("--answers", *answers, "--parts", json.dumps(missing), "--output", output)
    run_program("compare_policies", *words)
    found = read_json(output.with_suffix(".json"))
    assert found["costs"][0]["unknown"] == ["dpo_cai"] and found["kl"][0]["answer"] is None
    assert "unknown in part" in output.read_text() and "not measured" in output.read_text()


def test_the_page_shows_answers_that_differ(told):
    page = told["page"]
    for label in ("SL-CAI", "RL-CAI", "DPO-CAI"):
        assert page.count(f"<h4>{label}</h4>") >= 8
    assert page.count("<svg") == 2


def test_the_frontier_has_a_point_for_each_policy_that_was_measured(told, policies):
    drawn = policies.with_suffix(".frontier.svg")
    with open(drawn.with_suffix(".csv"), newline="") as stream:
        found = {(row["model"], row["measure"]): row for row in csv.DictReader(stream)}
    metrics = {row["name"]: row["estimates"] for row in told["metrics"]}
    assert set(found) == {
        (name, measure) for name in ("sl_cai", *POLICIES) for measure in ("helpful", "harmless")
    }
    for (name, measure), row in found.items():
        assert float(row["value"]) == metrics[measure][name]["value"]
    assert all(label in drawn.read_text() for label in ("SL-CAI", "RL-CAI", "DPO-CAI"))


def test_without_the_truth_the_frontier_is_of_win_rates_or_is_not_drawn(told):
    judged = [row for row in told["metrics"] if row["name"].startswith("win_rate")]
    drawn = draw_frontier(told | {"metrics": judged})
    assert {row[1] for row in drawn.rows} == {"win_rate_helpful", "win_rate_harmful"}
    assert draw_frontier(told | {"metrics": judged[:1]}) is None


def test_the_table_of_numbers_has_all_of_it(told, policies):
    with open(policies.with_suffix(".csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    kl = {row["model"]: float(row["value"]) for row in rows if row["metric"] == "kl"}
    assert kl == pytest.approx(GAP)
    changes = [row for row in rows if row["against"] and row["metric"] != "kl"]
    assert len(changes) == len(told["tests"])
    assert all(math.isfinite(float(row["p"])) for row in changes)


def test_a_policy_that_collapsed_is_a_warning_and_the_others_are_none(told, made, tmp_path):
    assert told["warnings"] == [] and 'id="warnings"' not in told["page"]
    rows = read_jsonl(made / "answers/dpo_cai.jsonl")
    spoilt = [row | {"answer": "and so " * 20, "finish": "length"} for row in rows]
    write_jsonl(tmp_path / "dpo_cai.jsonl", spoilt)
    answers = (made / "answers/sl_cai.jsonl", made / "answers/rl_cai.jsonl")
    words = ("--answers", *answers, tmp_path / "dpo_cai.jsonl", "--output", tmp_path / "p.html")
    said = run_program("compare_policies", *words)
    found = read_json(tmp_path / "p.json")["warnings"]
    assert {one["what"] for one in found} >= {"repetition", "diversity", "unfinished answers"}
    assert all(one["about"].startswith("DPO-CAI") and one["weight"] == "high" for one in found)
    assert 'id="warnings"' in (tmp_path / "p.html").read_text()
    assert "DPO-CAI: 100.0% unfinished" in said


def test_a_file_of_an_unknown_model_is_a_mistake(made, tmp_path):
    words = ("--answers", made / "answers/sl_cai.jsonl", made / "answers/rl_cai.jsonl")
    told = complaint(
        "compare_policies", *words, "--rewards", made / "rewards/dpo_cai.jsonl",
        "--output", tmp_path / "x.html",
    )  # fmt: skip
    assert "dpo_cai.jsonl" in told and "sl_cai, rl_cai" in told


def test_a_last_stage_is_compared_with_sl_cai_whatever_stands_before_it(made):
    names = ("helpful_only", "sl_cai", *POLICIES)
    models = {
        name: read_model(made / f"answers/{name}.jsonl", {"truth": made / f"truth/{name}.jsonl"})
        for name in names
    }
    summary = summarise(models, seed=0)
    against = {
        model: change["to"]
        for metric in summary["metrics"]
        if metric["name"] == "harmless"
        for model, change in metric["differences"].items()
    }
    assert against == {"sl_cai": "helpful_only", "rl_cai": "sl_cai", "dpo_cai": "sl_cai"}
    sentence = headline(summary)
    course, _, _ = sentence.partition(",")
    assert course.count("→") == 2 and "(RL-CAI) / " in course and "(DPO-CAI)" in course
