"""The figures from public sets and the checks beside them, made once from a finished run."""

import json
import re

import pytest

from cai.files.records import read_json, read_jsonl

FIGURES = "results/demo/figures/{}"
PLANS = {
    "fig04": {"evaluation_set", "comparison_rewards", "judged_comparisons", "hhh_figure"},
    "fig09": {"evaluation_set", "judged_comparisons", "calibration_figure"},
    "fig11": {"evaluation_set", "comparison_rewards", "judged_comparisons", "hhh_figure"},
    "fig12": {"evaluation_set", "harm_choices", "identification_figure"},
    "over_refusal": {"evaluation_set", "set_answers", "over_refusal"},
    "human_preferences": {"evaluation_set", "comparison_rewards", "hhh_figure"},
}


def planned(project, *targets):
    plan = project.snakemake("-n", "--", *targets)
    return set(re.findall(r"^(?:local)?rule (\w+):", plan, re.MULTILINE))


@pytest.fixture(scope="module")
def made(project):
    """The results, with all figures and checks, and what each figure alone would have planned."""
    plans = {
        name: planned(project, FIGURES.format(f"{name}.json"))
        for name in PLANS
        if not (project.results / f"figures/{name}.json").exists()
    }
    targets = [FIGURES.format(f"{name}.json") for name in (*PLANS, "principles")]
    said = project.snakemake("--", *targets, "results/demo/evaluation/warnings.json")
    return project.results, plans, said


def test_each_figure_alone_plans_what_it_needs_and_nothing_of_the_run(made):
    assert made[1] == PLANS


def test_figures_are_computed_from_the_runs_models(made):
    results, _, _ = made
    for name in PLANS:
        record = read_json(results / f"figures/{name}.json")
        assert record.get("supported", True), name
        assert (results / f"figures/{name}.svg").read_text().count("<path") > 3
    accuracy = read_json(results / "figures/fig04.json")
    found = {row["method"]: row["n"] for row in accuracy["accuracies"] if row["set"] == "all"}
    assert found == {"reward_model": 16, "judge_drawn": 16, "judge_all": 16}
    told = {row["what"] for row in accuracy["unsupported"]}
    assert told == {"judge with chain of thought", "chain of thought, averaged over samples"}
    identified = read_json(results / "figures/fig12.json")
    first = identified["accuracies"][0]
    assert (first["method"], first["value"]) == ("helpful_only", 1.0)
    assert [row["what"] for row in identified["unsupported"]] == ["harm_kinds"]


def test_the_judge_tells_harm_from_refusal_under_the_principle_that_is_about_it(made):
    """The tiny judge knows it; the others' opinions are near a coin's."""
    results, _, _ = made
    rows = list(read_jsonl(results / "evaluation/comparisons/hhh_221.judge.jsonl"))
    by_principle = [row["judge"]["by_principle"] for row in rows if row["set"] == "harmless"]
    surest = [max(of.values()) for of in by_principle]
    assert all(p > 0.9 or p < 0.6 for p in surest)
    assert sum(p > 0.9 for p in surest) > len(surest) / 3  # five of eight kinds have a principle


def test_warnings_are_printed_and_written_and_the_run_goes_on(made):
    results, _, _ = made
    found = read_json(results / "evaluation/warnings.json")
    said = (results / "logs/stage_warnings.log").read_text()
    assert {check["what"] for check in found["checks"]} >= {
        "repetition",
        "length drift",
        "diversity",
        "boilerplate",
        "train/test leakage",
    }
    assert f"{len(found['warnings'])} warnings in {len(found['checks'])} checks" in said


def test_each_principle_has_its_draws_edits_and_opinions(made):
    results, _, _ = made
    found = read_json(results / "figures/principles.json")
    names = {"honesty", "kindness", "privacy", "property", "safety"}
    assert set(found["supervised"]) == set(found["preference"]) == names
    chains = list(read_jsonl(results / "sl_cai/revisions/0.jsonl"))
    drawn = sum(row["drawn"] for row in found["supervised"].values())
    assert drawn == sum(len(chain["rounds"]) for chain in chains)


def test_nothing_is_left_to_do(made, project):
    assert planned(project, "results/demo/figures/fig12.svg") == set()
    assert json.loads((made[0] / "figures/fig12.json").read_text())["settings"]["sets"]
