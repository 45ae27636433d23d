"""A plan says what a training with LoRA does, and counts no checkpoints of the whole model."""

import pytest
from tests.checks.test_sizing import MISTRAL, overridden

from cai.checks.amounts import Sizes
from cai.plan.costs import LORA, Costs
from cai.plan.disk import disk
from cai.workflow.dag import PlannedJob, Reasons

SCHEME = {"model.peft.peft_scheme": "lora"}
WITH_LORA = overridden(sft=SCHEME, actor=SCHEME)
BYTES = 2 * 7_241_732_096  # of the model


def job(rule: str, *needs: str) -> PlannedJob:
    nowhere = f"nowhere/{rule}.nemo"
    places = tuple(f"nowhere/{name}" for name in needs)
    return PlannedJob(
        rule, {}, places, (nowhere,), (), None, "", {}, {"gres": "gpu:8"}, False, True, Reasons()
    )


@pytest.mark.parametrize(("settings", "checkpoints"), [(MISTRAL, 56), (WITH_LORA, 28)])
def test_only_the_critics_checkpoints_are_large(settings, checkpoints):
    found = disk(job("rl_cai"), None, settings, Sizes(settings))
    assert found == BYTES * (2 + checkpoints) // 2


@pytest.mark.parametrize(("settings", "how"), [(MISTRAL, ""), (WITH_LORA, LORA)])
def test_the_merge_is_told(settings, how):
    assert Costs(settings, Sizes(settings)).of(job("sl_cai", "train.jsonl"), None).how == how
    if how:
        assert disk(job("sl_cai"), None, settings, Sizes(settings)) == BYTES


def test_a_reward_model_of_a_merged_model_is_trained_whole():
    costs = Costs(WITH_LORA, Sizes(WITH_LORA))
    assert costs.of(job("reward_model", "train.comparisons.jsonl"), None).how == ""
