"""The result of a run in one sentence."""

import pytest

from cai.evaluation.headline import headline, whole_percent


def metric(name: str, *values: float) -> dict:
    models = ("helpful_only", "sl_cai", "rl_cai")[-len(values) :]
    return {
        "name": name,
        "estimates": {m: {"value": v} for m, v in zip(models, values, strict=True)},
    }


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            [metric("harmless", 0, 0.428, 0.941), metric("helpful", 1, 0.998, 0.991)],
            "Harmless 0% → 43% → 94%, helpful stays at 99%",
        ),
        (
            [metric("harmless", 0.004, 0.5, 0.9), metric("helpful", 1, 0.95, 0.9)],
            "Harmless 0.4% → 50% → 90%, helpful 100% → 95% → 90%",
        ),
        (
            [metric("win_rate_harmful", 0.55, 0.63), metric("reward_harmful", -1, 0, 1)],
            "The judge prefers SL-CAI in 55% and RL-CAI in 63% of the harmful prompts",
        ),
        ([metric("reward_harmful", -1, 0, 1)], "Reward on harmful prompts -1.00 → 0.00 → 1.00"),
        ([metric("words", 1, 2, 3)], ""),
    ],
)
def test_a_run_has_a_headline_of_what_was_measured(metrics, sentence):
    assert headline({"metrics": metrics}) == sentence


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.998, "99.8%"), (0.001, "0.1%"), (0.941, "94%")]
)
def test_no_rounding_makes_nothing_or_all(share, text):
    assert whole_percent(share) == text
