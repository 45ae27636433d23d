"""Matches between policies: who meets whom, and who won."""

import itertools

import pytest

from cai.core.errors import UserError
from cai.figures import drawing, elo_scores
from cai.figures.policies import dpo_sequences, sequences
from cai.judging.matches import draw_matches, judged_matches, scored_matches, true_matches
from cai.statistics.elo import Match

POLICIES = ["helpful_only", "sl_cai", "4", "rl_cai"]


def answers(prompts=30):
    return {
        policy: {
            f"p{i}": {"id": f"p{i}", "prompt": f"{i}?", "set": "harmful", "answer": f"{policy} {i}"}
            for i in range(prompts)
        }
        for policy in POLICIES
    }


def test_each_pair_of_policies_meets_on_each_prompt_and_both_sides_answer_it():
    matches = draw_matches(answers(), "harmful", 100, seed=1)
    met = {(a["prompt_id"], frozenset((a["policy"], b["policy"]))) for a, b in matches}
    assert len(met) == len(matches) == 30 * 6
    assert all(a["id"] == b["id"] and a["prompt"] == b["prompt"] for a, b in matches)
    assert len({a["id"] for a, _ in matches}) == len(matches)
    assert all(side["answer"].startswith(side["policy"]) for pair in matches for side in pair)


def test_of_few_matches_every_policy_has_its_part_and_stands_on_both_sides():
    matches = draw_matches(answers(60), "harmful", 2, seed=1)
    assert len(matches) == 60 * 2
    for place, policy in itertools.product((0, 1), POLICIES):
        assert sum(match[place]["policy"] == policy for match in matches) > 10


def test_more_matches_hold_the_fewer_ones():
    few, more = (draw_matches(answers(), "harmful", count, seed=1) for count in (2, 4))
    assert [pair for pair in more if pair in few] == few


def test_a_prompt_that_a_policy_did_not_answer_has_no_match():
    some = answers(3)
    del some["4"]["p1"]
    assert {a["prompt_id"] for a, _ in draw_matches(some, "harmful", 9, 1)} == {"p0", "p2"}
    with pytest.raises(UserError, match=r"no prompt .*helpful"):
        draw_matches(some, "helpful", 9, 1)


def test_a_verdict_goes_to_the_policies_of_its_match():
    first, second = zip(*draw_matches(answers(1), "harmful", 9, 1), strict=True)
    judged = [{"id": row["id"], "p_first": 0.9} for row in first[:2]]
    assert judged_matches(first, second, judged) == [
        Match("p0", a["policy"], b["policy"], 0.9)
        for a, b in zip(first[:2], second[:2], strict=True)
    ]


def test_rewards_and_truth_are_matches_of_all_pairs():
    rewards = {"a": {"p": 1.0, "q": 0.0}, "b": {"p": 0.0}}
    [match] = scored_matches(rewards)
    assert match.score == pytest.approx(0.7311, abs=1e-4)
    outcomes = {"a": {"p": True, "q": False}, "b": {"p": False, "q": False}}
    assert [match.score for match in true_matches(outcomes)] == [1.0, 0.5]


def test_sequences_are_the_rollouts_up_to_a_step_without_the_critics_warm_up():
    sizes = [(0, 128.0), (0, 128.0), *((step, 128.0) for step in range(8))]
    metrics = {"train_rollouts/rollout_size": sizes}
    assert sequences(POLICIES, metrics) == {"sl_cai": 0, "4": 512, "rl_cai": 1024}
    with pytest.raises(UserError, match="no step 9"):
        sequences(["9"], metrics)


CONSUMED = {"train/consumed_samples": [(step, 32.0 * (step + 1)) for step in range(6)]}


def test_sequences_of_dpo_are_both_answers_of_its_pairs():
    assert dpo_sequences(["sl_cai", "4", "dpo_2"], CONSUMED) == {"dpo_2": 128, "dpo_cai": 384}
    with pytest.raises(UserError, match="no step 9"):
        dpo_sequences(["dpo_9"], CONSUMED)


@pytest.mark.parametrize("with_dpo", [True, False])
def test_dpo_and_best_of_n_are_drawn_beside_ppo(with_dpo, tmp_path):
    others = ["dpo_2", "dpo_cai", "best_of_n"] if with_dpo else []
    policies = [*POLICIES, *others]
    pairs = itertools.combinations(policies, 2)
    played = [Match(f"p{i}", one, other, i / 3) for one, other in pairs for i in range(4)]
    matches = {
        "harmlessness": {"judge": played},
        "helpfulness": {"judge": played, "classifier": played},
    }
    matches["harmlessness"]["classifier"] = played
    metrics = {"train_rollouts/rollout_size": [(step, 128.0) for step in range(8)]}
    options = {"seed": 1, "elo": {}, "snapshots": [4], "during_run": True}
    dpo = CONSUMED if with_dpo else None
    elo = elo_scores.fit(policies, matches, metrics, "logprob", options, dpo)
    for name, draw in (("2", elo_scores.draw_frontier), ("8", elo_scores.draw_training)):
        artefact = draw(elo)
        artefact.write(tmp_path / f"{name}.svg")
        svg = (tmp_path / f"{name}.svg").read_text()
        assert ("DPO" in svg) == with_dpo and "PPO" in svg
        by_policy = {row[2]: row[3] for row in artefact.drawing.rows}
        assert by_policy.get("dpo_2") == (128 if with_dpo else None)
        assert by_policy["4"] == 512 and by_policy["sl_cai"] == 0
    assert ("Best of n" in (tmp_path / "2.svg").read_text()) == with_dpo


def test_too_few_matches_are_told_with_what_to_change():
    metrics = {"train_rollouts/rollout_size": [(0, 8.0)]}
    matches = {"harmlessness": {"judge": [Match("p", "sl_cai", "rl_cai", 1.0)]}}
    policies = ["helpful_only", "sl_cai", "rl_cai"]
    with pytest.raises(UserError, match="helpful_only"):
        elo_scores.fit(policies, matches, metrics, "logprob", {"seed": 1})


def test_an_interval_that_misses_its_value_by_a_rounding_error_is_drawn():
    found = drawing.reach([(2.0, 1.0, 5.0), (8e-14, -4e-14, 5e-15)])
    assert found[0] == pytest.approx([1.0, 0.0], abs=1e-9) and found[1] == [3.0, 0.0]
