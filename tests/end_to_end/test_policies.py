"""Two last stages in one run: evaluated, reported, and side by side on one page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project import Project

CONFIG = ("--config", "policies=[rl_cai, dpo_cai]")


@pytest.fixture(scope="module")
def both(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the project, run again with a word more in its configuration."""
    with project.copied(tmp_path_factory.mktemp("both") / "project") as both:
        both.snakemake(*CONFIG, "--", "all", "compare_policies")
        yield both


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_report_has_both(both):
    told = json.loads((both.results / "report.json").read_text())
    names = [model["name"] for model in told["summary"]["models"]]
    assert names == ["helpful_only", "sl_cai", "rl_cai", "dpo_cai"]
    made = [manifest["artefact"] for manifest in told["manifests"]]
    assert made == ["sl_cai.nemo", "reward_model.nemo", "rl_cai.nemo", "dpo_cai.nemo"]
    page = (both.results / "report.html").read_text()
    assert "figure-dpo_curves" in page and "figure-ppo_curves" in page
    assert any(step["name"].startswith("dpo_cai comparisons") for step in told["ledgers"])


def test_nothing_is_trained_again_for_a_policy_beside_the_others(project, both):
    for name in ("sl_cai", "reward_model", "rl_cai", "dpo_cai"):
        here, there = ((each.results / f"{name}.nemo").stat() for each in (project, both))
        assert here.st_mtime_ns == there.st_mtime_ns
    assert "Nothing to be done" in both.snakemake(*CONFIG)


def test_the_page_has_each_policys_distance_from_sl_cai_and_its_cost(both):
    told = json.loads((both.results / "policies.json").read_text())
    assert [row["policy"] for row in told["kl"]] == ["rl_cai", "dpo_cai"]
    for row in told["kl"]:
        assert -1 < row["answer"]["value"] < 20 and row["answer"]["low"] <= row["answer"]["high"]
    costs = {row["policy"]: row for row in told["costs"]}
    assert [part["name"] for part in costs["rl_cai"]["parts"]] == ["reward_model", "rl_cai"]
    assert [part["name"] for part in costs["dpo_cai"]["parts"]] == ["dpo_cai"]
    assert all(row["seconds"] > 0 and not row["unknown"] for row in costs.values())
    assert {(t["from"], t["to"]) for t in told["tests"]} >= {("rl_cai", "dpo_cai")}


def test_likelihoods_are_of_the_answer_given_its_prompt(both):
    """An answer of n tokens has n log-probabilities below 0; SL-CAI and the policy count alike."""
    folder = both.results / "policies/likelihoods"
    own, start = (read(folder / f"dpo_cai.by_{name}.jsonl") for name in ("dpo_cai", "sl_cai"))
    answers = read(both.results / "evaluation/answers/dpo_cai.jsonl")
    assert [row["id"] for row in own] == [row["id"] for row in answers]
    assert [row["tokens"] for row in own] == [row["tokens"] for row in start]
    for row in [*own, *start]:
        assert row["log_probability"] < 0 < row["tokens"]
        assert row["log_probability"] / row["tokens"] > -5  # they wrote these answers, or nearly
