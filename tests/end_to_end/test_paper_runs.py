"""The paper's figures from runs, made for real at a small size: what is in them."""

import csv
import json

import pytest
import yaml
from tests.project import weights

FIGURES = ["fig02", "fig05", "fig06", "fig07", "fig08", "fig10"]
TABLES = ["appendix_samples", "appendix_chains"]
POLICIES = ["helpful_only", "sl_cai", "1", "rl_cai"]
STATED = {"figure", "title", "method", "departures", "settings", "samples", "seed", "intervals"}


def targets(names):
    return [f"results/demo/figures/{name}.svg" for name in names]


@pytest.fixture(scope="module")
def paper(project, tmp_path_factory):
    """A copy of the finished project in which the figures have been made."""
    with project.copied(tmp_path_factory.mktemp("paper") / "project") as made:
        made.snakemake("--", *targets([*FIGURES, *TABLES]))
        yield made


def facts(paper, name):
    return json.loads((paper.results / f"figures/{name}.json").read_text())


@pytest.mark.parametrize("name", FIGURES + TABLES)
def test_a_figure_states_how_it_was_made_and_shows_sizes_and_seed(paper, name):
    stated = facts(paper, name)
    assert stated["supported"] and all(stated[field] for field in STATED)
    drawn = (paper.results / f"figures/{name}.svg").read_text()
    assert "n = " in drawn and f"seed {stated['seed']}" in drawn
    with open(paper.results / f"figures/{name}.csv") as stream:
        assert list(csv.DictReader(stream))


def test_a_snapshot_is_a_policy_between_start_and_end(paper):
    first, last = (paper.results / f"snapshots/{name}.nemo" for name in ("rl_cai/1", "rl_cai"))
    start = paper.results / "sl_cai.nemo"
    assert weights(first) != weights(last)
    assert sum(map(len, weights(first).values())) < 1.1 * sum(map(len, weights(start).values()))
    assert (paper.results / "paper/elo/answers/1.jsonl").read_text()


def test_elo_is_anchored_at_sl_cai_and_has_every_policy(paper):
    results = facts(paper, "fig08")["results"]
    sequences = results["sequences"]
    assert 0 == sequences["sl_cai"] < sequences["1"] < sequences["rl_cai"]
    for compared, measure in (("judge", "harmlessness"), ("reward_model", "helpfulness")):
        for by in (compared, "classifier"):
            series = results["series"][measure][by]
            assert list(series["ratings"]) == POLICIES and series["prompts"] == 6
            assert series["ratings"]["sl_cai"]["value"] == 0
            assert all(r["low"] <= r["value"] <= r["high"] for r in series["ratings"].values())
    assert facts(paper, "fig02")["results"]["series"] == results["series"]


def test_each_reward_model_scores_every_round_of_the_same_prompts(paper):
    by_round = facts(paper, "fig05")["results"]["by_round"]
    scores = [name for name in by_round if name.endswith("score")]
    assert len(scores) == 3
    rewards = [tuple(e["value"] for e in by_round[name]) for name in scores]
    assert len(set(rewards)) == 3
    for name in by_round:
        assert len(by_round[name]) == 5
        assert len({estimate["n"] for estimate in by_round[name]}) == 1


def test_fewer_principles_are_fewer_and_the_first_responses_are_the_same(paper):
    results = facts(paper, "fig06")["results"]
    every = len(yaml.safe_load((paper.folder / "demo/constitution.yaml").read_text())["principles"])
    assert list(results["by_round"]) == ["1", "4", str(every)]
    assert len(results["principles_of"]["principles-1-0"]) == 1
    assert len(results["principles_of"]["critiqued"]) > 1
    assert results["diversity"].keys() == {"revisions", "critiques"}
    for found in results["diversity"].values():
        assert found.keys() == results["by_round"].keys()


def test_direct_revisions_have_no_critique(paper):
    rows = (paper.results / "paper/chains/direct.jsonl").read_text().splitlines()
    steps = [step for row in rows for step in json.loads(row)["rounds"]]
    assert steps and all(step["critique"] is None for step in steps)
    gaps = facts(paper, "fig07")["results"]["critiqued_less_direct"]
    assert len(gaps) == 5 and gaps[0]["value"] == 0


def test_the_score_of_harm_is_of_every_sample_at_both_temperatures(paper):
    stated = facts(paper, "fig10")
    for by_policy in stated["results"]["scores"].values():
        assert list(by_policy) == POLICIES
        assert all(found.keys() == {"1", "0"} for found in by_policy.values())
    samples = (paper.results / "paper/harmfulness/samples/sl_cai.jsonl").read_text().splitlines()
    assert len(samples) == 4 * (2 + 1)
    assert stated["results"]["regression"]["n"] > 0


def test_a_chain_is_told_with_its_critiques(paper):
    rows = facts(paper, "appendix_chains")["results"]["rows"]
    assert [row["what"].split()[0] for row in rows[:3]] == ["Response", "Critique", "Revision"]
    models = {row["model"] for row in facts(paper, "appendix_samples")["results"]["rows"]}
    assert models == {"Helpful-only", "SL-CAI", "RL-CAI"}


def test_made_once_nothing_is_made_again_and_a_lost_drawing_costs_no_model(paper):
    assert "Nothing to be done" in paper.snakemake("-n", "--", *targets(FIGURES))
    (paper.results / "figures/fig08.json").unlink()
    plan = paper.snakemake("-n", "--quiet", "rules", "--", "results/demo/figures/fig08.json")
    assert "fig_elo" in plan and "matches_judged" not in plan and "rl_snapshots" not in plan
