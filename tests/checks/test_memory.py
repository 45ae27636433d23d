"""How much of a GPU a stage takes: what is exact is refused, what is estimated is a warning."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.messages import says

from cai.checks import memory, sizing, stage_sizes
from cai.checks.memory import GB
from cai.models.shape import ModelShape, read_hf
from cai.running.launch import launch_of, split
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge

MISTRAL = load_settings(["config/config.yaml"])
CONFIG = MISTRAL.model_dump(exclude_none=True)
SHAPE = MISTRAL.models.base.shape
PATIENT = hypothesis_settings(deadline=None)  # many tests share a small machine
STAGE = {"sft": "sl_cai", "reward_model": "reward_model", "critic": "critic", "actor": "actor"}
STAGE["dpo"] = "dpo_cai"


def sized(program, overrides=None, nodes=1, gpus=8, **resources):
    """A program on nodes of so many GPUs, and its settings."""
    told = {"nemo": {"overrides": {program: overrides or {}}}}
    settings = parse_settings(merge(CONFIG, told))
    launch = launch_of({"launcher": "srun", "nodes": nodes, "gres": f"gpu:{gpus}", **resources})
    stage = STAGE.get(program, "responses")
    (found, *_) = stage_sizes.sizings(settings, {stage: launch})
    return found, settings


def estimate(program, overrides=None, shape=SHAPE, stage="", **launch):
    found, settings = sized(program, overrides, **launch)
    return memory.estimate(settings, found, shape, stage)


def test_the_parameters_are_those_of_the_models():
    whole, _ = sized("sft")
    assert memory.parameters(whole, SHAPE) == 7_241_732_096  # of the published safetensors
    tiny = read_hf(Path("demo/models/base/config.json"))
    assert memory.parameters(whole, tiny) == 1_631_872  # of the demo's


def test_a_reward_model_has_a_scalar_in_place_of_the_output_layer():
    whole, reward = sized("sft")[0], sized("reward_model")[0]
    difference = memory.parameters(whole, SHAPE) - memory.parameters(reward, SHAPE)
    assert difference == 32000 * 4096 - (4096 + 1)


def test_weights_gradients_and_a_sharded_optimizer_of_16_bits():
    found = estimate("sft", nodes=2)
    n = 7_241_732_096
    # two moments of 4 bytes, and the 2 bytes that a bf16 weight lacks to 32 bits, over 16 ranks
    assert found.exact == {"weights": 2 * n, "gradients": 4 * n, "optimizer": 10 * n // 16}


@pytest.mark.parametrize(
    ("overrides", "each"),
    [
        ({"trainer.precision": 32}, (4, 4, 8 / 8)),
        ({"model.megatron_amp_O2": False}, (4, 4, 8 / 8)),
        ({"model.optim.name": "fused_adam"}, (2, 6, 12)),
        ({"model.optim.name": "mcore_distributed_optim"}, (2, 4, 12 / 8)),
        ({"++model.optim.grad_sync_dtype": "bf16"}, (2, 2, 10 / 8)),
        ({"trainer.precision": 16}, (2, 4, 12 / 8)),
        ({"model.peft.peft_scheme": "lora"}, (2, 0, 0)),
    ],
)
def test_bytes_of_a_parameter_by_precision_and_optimizer(overrides, each):
    exact = estimate("sft", overrides).exact
    n = memory.parameters(sized("sft")[0], SHAPE)
    assert tuple(size / n for size in exact.values()) == pytest.approx(each)


def test_activations_of_a_plain_transformer_are_those_of_the_paper():
    """Korthikanti et al. 2022, equation 1: 34 s b h, of which 2 are masks of dropout, which is 0;
    the term of s x s falls away. A gated layer of 8/3 h is as large as theirs of 4 h."""
    plain = ModelShape(
        hidden=768, layers=12, heads=12, kv_heads=12, ffn=2048, vocab=50304, context=2048
    )
    found = estimate("sft", shape=plain)
    tokens = MISTRAL.lengths.sft
    assert found.phases["training"]["activations"] == 12 * tokens * 32 * 768


def test_full_recomputation_keeps_the_inputs_of_its_chunks():
    name = "model.activations_checkpoint_"
    full = {f"{name}granularity": "full", f"{name}method": "uniform", f"{name}num_layers": 1}
    kept = estimate("sft", full).phases["training"]["activations"]
    none = estimate("sft").phases["training"]["activations"]
    assert kept == 32 * 4096 * 2 * 4096 + none // 32


def test_the_state_of_adam_is_off_the_gpu_while_the_actor_generates():
    away = estimate("actor").phases["rollouts"]
    stays = estimate("actor", {"model.ppo.offload_adam_states": False}).phases["rollouts"]
    assert "optimizer" not in away
    assert stays.items() - away.items() == {("optimizer", estimate("actor").exact["optimizer"])}


def test_dpo_keeps_its_reference_in_the_nodes_memory_and_has_both_texts_on_the_gpu():
    found, settings = sized("dpo")
    told = memory.estimate(settings, found, SHAPE, "dpo_cai")
    assert told.host == {"copies of weights": 2 * 8 * told.exact["weights"]}
    sft = estimate("sft").phases["training"]["logits"]
    assert told.phases["training"]["logits"] == 2 * sft * 10 // 6
    assert told.peak[0] == "training" and told.total < 0.9 * 80 * GB
    assert estimate("dpo", {"model.peft.peft_scheme": "lora"}).host == {"copies of weights": 0}


def test_the_cache_of_a_served_batch():
    # 2 (keys, values) x 2 bytes x 32 layers x 8 heads of 128, over 8 GPUs; 128 prompts of 4096
    found = estimate("instruct_server", stage="responses").phases["serving"]
    assert found["cache"] == 2 * 2 * 32 * 8 * 128 // 8 * 128 * 4096


def test_a_judge_by_log_probabilities_takes_the_logits_of_whole_prompts():
    asked = estimate("instruct_server", stage="preferences").phases["serving"]
    plain = estimate("instruct_server", stage="responses").phases["serving"]
    assert asked["logits"] - plain["logits"] == 4 * 128 * 4096 * 32000


@PATIENT
@given(
    program=st.sampled_from(["sft", "reward_model", "critic", "actor", "dpo", "instruct_server"]),
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.sampled_from([1, 2]),
    micro=st.sampled_from([1, 2, 4]),
)
def test_more_tensor_parallelism_takes_no_more_of_a_gpu(program, tensor, pipeline, micro):
    def total(size):
        prefix = "" if program == "instruct_server" else "++model."
        overrides = {
            f"{prefix}tensor_model_parallel_size": size,
            f"{prefix}pipeline_model_parallel_size": pipeline,
        }
        if program != "instruct_server":
            overrides["++model.micro_batch_size"] = micro
        found, settings = sized(program, overrides, nodes=4)
        estimated = memory.estimate(settings, found, SHAPE, "")
        return estimated.exact["weights"], estimated.total

    smaller, larger = total(2 * tensor), total(tensor)
    assert smaller[0] < larger[0]
    # the optimizer's shards are as large: tensor and data parallelism divide it alike
    assert smaller[1] < larger[1]


@PATIENT
@given(nodes=st.integers(1, 16), micro=st.integers(1, 8))
def test_more_nodes_take_no_more_and_larger_micro_batches_no_less(nodes, micro):
    def total(nodes, micro):
        key = "model.data.train_ds.micro_batch_size"
        return estimate("sft", {key: micro}, nodes=nodes).total

    assert total(nodes + 1, micro) <= total(nodes, micro) < total(nodes, micro + 1)


# --------------------------------------------------------------------------- what a user is told


def ppo(**resources):
    given = {"launcher": "srun", "nodes": 2, "critic_nodes": 1, "gres": "gpu:8", **resources}
    critic, actor = split(given)
    return {"critic": critic, "actor": actor}


def test_a_gpu_that_is_too_small_for_what_is_exact_is_refused():
    lines = sizing.problems(MISTRAL, ppo(gpu_memory_gb=40))
    assert len(lines) == 2
    assert says(lines[0], "profile: rule rl_cai: 1 x 8 GPUs: … 48.0 GB a GPU")
    accepted = "accepted: nemo.overrides.critic: ++model.tensor_model_parallel"
    assert says(lines[0], f"gpu_memory_gb … 40; {accepted}")
    settings = parse_settings(
        merge(CONFIG, {"nemo": {"overrides": {"sft": {"model.tensor_model_parallel_size": 4}}}})
    )
    assert sizing.problems(settings, ppo(gpu_memory_gb=40)) == []


def test_a_gpu_that_may_be_too_small_is_a_warning():
    assert sizing.problems(MISTRAL, ppo(gpu_memory_gb=60)) == []
    lines = sizing.warnings(MISTRAL, ppo(gpu_memory_gb=60))
    assert [line.split(":")[0] for line in lines] == ["actor"]
    assert says(lines[0], "62.6 GB a GPU … training (weights 13.5, gradients 27.0, ")


def test_copies_in_a_nodes_memory_are_counted_against_mem_mb():
    small, large = (ppo(nodes=1, critic_gpus=4, mem_mb=size) for size in (300_000, 1_000_000))
    critic, actor = sizing.warnings(MISTRAL, small)
    assert says(critic, "critic: … 172.2 GB … memory (copies of weights 106.0,")
    assert says(critic, "mem_mb … 146.5")
    assert actor.startswith("actor: ")
    assert sizing.warnings(MISTRAL, large) == []


def test_what_is_shown_is_what_is_summed():
    found = estimate("actor")
    phase, parts = found.peak
    assert (
        found.total
        == sum(parts.values())
        == max(sum(parts.values()) for parts in found.phases.values())
    )
    assert phase in found.phases and found.given == 80 * GB
