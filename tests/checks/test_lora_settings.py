"""LoRA: what cannot be trained, or not be merged, is refused before a job."""

import pytest
from tests.checks.test_sizing import launches, overridden, the_line
from tests.messages import says

from cai.checks import sizing

LORA = {"model.peft.peft_scheme": "lora", "model.optim.name": "fused_adam"}
NO_RECOMPUTATION = {
    f"++model.activations_checkpoint_{key}": None for key in ("granularity", "method", "num_layers")
}
OPTIMIZER = {  # keys of the default one, which SFT's has not
    f"~model.optim.{key}": True
    for key in (
        "bucket_cap_mb",
        "overlap_grad_sync",
        "overlap_param_sync",
        "contiguous_grad_buffer",
    )
}
TUNING = "model.peft.lora_tuning"


@pytest.fixture
def given():
    return launches(2, 1) | {"dpo_cai": launches()["sl_cai"]}


@pytest.mark.parametrize("program", ["sft", "dpo", "actor"])
def test_trainings_of_a_policy_take_it(program, given):
    modules = {f"{TUNING}.target_modules": ["attention_qkv", "mlp"], f"++{TUNING}.alpha": 16}
    removed = OPTIMIZER if program != "sft" else {}
    settings = overridden(**{program: LORA | NO_RECOMPUTATION | removed | modules})
    assert sizing.problems(settings, given) == []


@pytest.mark.parametrize("program", ["reward_model", "critic"])
def test_upstream_has_none_for_the_reward_model_and_the_critic(program, given):
    line = the_line(overridden(**{program: {"++model.peft.peft_scheme": "lora"}}), given, "nemo.")
    assert says(line, f"nemo.overrides.{program}: … found lora; accepted: none; NeMo-Aligner")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"model.peft.peft_scheme": "sdlora"}, "peft_scheme: found sdlora; … lora, none"),
        ({"model.peft.restore_from_path": "a.nemo"}, "restore_from_path: found 'a.nemo'; … null"),
        ({"model.optim.name": "distributed_fused_adam"}, "optim.name: … fused_adam"),
        ({f"{TUNING}.target_modules": "all"}, "target_modules: found all; … a list of"),
        ({f"{TUNING}.target_modules": ["qkv"]}, "target_modules: … attention_qkv"),
        ({f"{TUNING}.adapter_dim": 7}, "adapter_dim: found 7; … multiples of … 2"),
        ({f"++{TUNING}.alpha": 0}, "alpha: found 0; … a number"),
        ({f"{TUNING}.layer_selection": [0]}, "layer_selection: found [0]; … counted from 1"),
        ({f"{TUNING}.weight_tying": True}, "weight_tying: found True; … false"),
        ({f"++{TUNING}.variant": "canonical"}, "variant: found canonical; … nemo"),
        ({"++model.activations_checkpoint_granularity": "full",
          "++model.activations_checkpoint_method": "uniform",
          "++model.activations_checkpoint_num_layers": 1}, "granularity: found full; … selective"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_or_merged_is_refused(override, told, given):
    settings = overridden(sft=LORA | {"model.tensor_model_parallel_size": 2} | override)
    lines = [line for line in sizing.problems(settings, given) if "overrides.sft: " in line]
    assert len(lines) == 1 and says(lines[0], f"… {told}"), lines


def test_the_default_optimizers_keys_are_not_for_another(given):
    settings = overridden(dpo=LORA | NO_RECOMPUTATION)
    line = the_line(settings, given, "nemo.overrides.dpo: ")
    assert says(
        line, "… model.optim.bucket_cap_mb: found 200; … ~model.optim.bucket_cap_mb: true, "
    )
    distributed = LORA | NO_RECOMPUTATION | {"model.optim.name": "mcore_distributed_optim"}
    assert sizing.problems(overridden(dpo=distributed), given) == []


def test_tensorrt_would_answer_without_the_adapters(given):
    own = LORA | NO_RECOMPUTATION | OPTIMIZER | {"trainer.ppo.trt_llm.enable": True}
    lines = sizing.problems(overridden(actor=own), given)
    assert any("trt_llm.enable: found true; accepted: false; with LoRA" in line for line in lines)
