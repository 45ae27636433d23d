"""Arithmetic on which a job would stop after hours in a queue is refused before it is submitted."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.messages import says

from cai.checks import arithmetic, sizing, stage_sizes
from cai.running.launch import launch_of, split
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge

MISTRAL = load_settings(["config/config.yaml"])
DEMO = load_settings(["config/config.yaml", "config/demo.yaml"])
CONFIG = MISTRAL.model_dump(exclude_none=True)
SERVED = ("responses", "revisions", "candidates", "answers", "rewards")


def configured(**change):
    return parse_settings(merge(CONFIG, change))


def overridden(**programs):
    return configured(nemo={"overrides": programs})


def launches(nodes=1, critic=None, gpus=8, served=1, **stages):
    """The stages of a profile with so many nodes for training, all of 8 GPUs."""
    one = launch_of({"launcher": "srun", "nodes": served, "gres": f"gpu:{gpus}"})
    training = {"launcher": "srun", "nodes": nodes, "gres": f"gpu:{gpus}"}
    found = dict.fromkeys(SERVED, one)
    found["sl_cai"] = found["reward_model"] = launch_of(training)
    share = {"critic_nodes" if nodes > 1 else "critic_gpus": critic}
    found["critic"], found["actor"] = split(training | share)
    return found | stages


def the_line(settings, given, start):
    """The only line, which begins so."""
    lines = sizing.problems(settings, given)
    assert [line for line in lines if line.startswith(start)] == lines and len(lines) == 1, lines
    assert "\n" not in lines[0] and "found" in lines[0] and "accepted" in lines[0]
    return lines[0]


# --------------------------------------------------------------------------- what runs, passes


@pytest.mark.parametrize(("nodes", "critic"), [(1, None), (1, 4), (2, 1), (3, 1), (4, 2), (8, 4)])
def test_the_mistral_configuration_fits_the_nodes_that_it_is_meant_for(nodes, critic):
    given = launches(nodes, critic)
    if nodes == 3:  # three nodes are for PPO only: SFT's batch of 128 is not for 24 GPUs
        given |= {"sl_cai": launches(2)["sl_cai"], "reward_model": launches(2)["reward_model"]}
    assert sizing.problems(MISTRAL, given) == []
    assert sizing.warnings(MISTRAL, given) == []


@pytest.mark.parametrize("program", ["sft", "reward_model", "critic", "actor", "dpo"])
def test_on_a_cpu_ppos_programs_compute_in_32_bits(program):
    """The others ran with bf16-mixed; these two ended at their first rollouts."""
    change = {"nemo": {"overrides": {program: {"trainer.precision": "bf16-mixed"}}}}
    settings = parse_settings(merge(DEMO.model_dump(exclude_none=True), change))
    given = dict.fromkeys([*stage_sizes.STAGES, "critic", "actor"], launch_of({}))
    if program in ("critic", "actor"):
        line = the_line(settings, given, f"nemo.overrides.{program}: ")
        assert says(line, "trainer.precision: found 'bf16-mixed'; … 32 on a CPU")
    else:
        assert sizing.problems(settings, given) == []


def test_the_demo_on_one_process_without_gpus_passes_and_has_no_memory_to_check():
    given = dict.fromkeys(stage_sizes.STAGES, launch_of({}))
    assert sizing.problems(DEMO, given) == []
    assert sizing.warnings(DEMO, given) == []
    assert all(row.endswith("-") for row in sizing.table(DEMO, given).splitlines()[1:])


def test_the_table_has_a_row_a_stage_with_memory_needed_and_given():
    table = sizing.table(MISTRAL, launches(2, 1)).splitlines()
    assert table[0].split() == [
        "stage",
        "GPUs",
        "tensor",
        "pipeline",
        "data",
        "batch",
        "GB",
        "a",
        "GPU",
    ]
    rows = {row.split()[0]: row for row in table[1:]}
    assert set(rows) == {*SERVED, "sl_cai", "reward_model", "critic", "actor"}
    assert len(table) == len(rows) + 1
    assert " ".join(rows["actor"].split()).startswith("actor 8 1 1 8 1 / 64 / 512 ")
    assert all(row.endswith(" of 80") for row in table[1:])


# --------------------------------------------------------------------------- ranks and shape


def test_a_server_holds_one_copy_of_the_model_on_all_of_its_gpus():
    four = {"tensor_model_parallel_size": 4}
    lines = sizing.problems(overridden(server=four), launches())
    product = "tensor_model_parallel_size 4 x pipeline_model_parallel_size 1 = 4"
    assert [line.partition(",")[0] for line in lines] == [
        f"nemo.overrides.server: {product}; accepted: 8"
    ] * 2  # of the instruct model and of those that are trained
    assert lines[0].endswith("(profile: rule responses, revisions, answers: 1 x 8 GPUs)")
    assert lines[1].endswith("(profile: rule candidates, answers: 1 x 8 GPUs)")
    two = {"pipeline_model_parallel_size": 2}
    assert sizing.problems(overridden(server=four | two), launches()) == []


def test_a_training_divides_its_ranks_and_those_after_it_inherit_how():
    settings = overridden(sft={"model.tensor_model_parallel_size": 4})
    assert sizing.problems(settings, launches()) == []
    told = "model.tensor_model_parallel_size 4 x model.pipeline_model_parallel_size 1 = 4"
    lines = sizing.problems(settings, launches(1, 2))
    assert [line for line in lines if told in line] == [
        f"nemo.overrides.{name}: {told}; accepted: a divisor of {n} "
        f"(profile: rule rl_cai: 1 x {n} GPUs)"
        for name, n in (("critic", 2), ("actor", 6))
    ]


def test_heads_and_layers_are_divided_without_remainder():
    sixteen = launches(2, 1, served=2)
    lines = sizing.problems(MISTRAL, sixteen)
    servers = [line for line in lines if line.startswith("nemo.overrides.server")]
    assert says(servers[0], "tensor_model_parallel_size: found 16; accepted: … divisor of 8")
    assert says(servers[0], "models.instruct … kv_heads 8")
    uneven = {"model.pipeline_model_parallel_size": 3}
    given = launches(gpus=6, critic=3) | dict.fromkeys(SERVED[:-1], launches()["responses"])
    lines = sizing.problems(overridden(sft=uneven), given)
    assert any(
        "sft: model.pipeline_model_parallel_size: found 3; accepted: a divisor of 32" in line
        for line in lines
    )


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model.virtual_pipeline_model_parallel_size", 2, "accepted: null"),
        ("model.expert_model_parallel_size", 2, "accepted: 1"),
        ("model.activations_checkpoint_granularity", "some", "accepted: full, selective, null"),
        ("model.activations_checkpoint_granularity", "full", "method: found None"),
        ("model.data.train_ds.micro_batch_size", "few", "found 'few'; accepted: … whole number"),
        ("model.data.train_ds.micro_batch_size", 0, "found 0; accepted: … whole number"),
        ("model.tensor_model_parallel_size", -1, "found -1; accepted: … whole number"),
        ("model.global_batch_size", 64, "found 64; accepted: 128"),
        ("model.data.train_ds.drop_last", False, "found False; accepted: true"),
        ("trainer.sft.save_interval", 75, "multiples of trainer.sft.val_check_interval 50"),
        ("model.data.train_ds.max_seq_length", 8192, "found 8192; accepted: … lengths.sft"),
    ],
)
def test_what_sft_is_told_wrong(key, value, told):
    lines = sizing.problems(overridden(sft={f"++{key}": value}), launches())
    assert any(says(line, f"nemo.overrides.sft: … {told}") for line in lines), lines


def test_full_recomputation_inherited_with_a_number_of_layers_is_not_selective():
    sft = {
        "model.activations_checkpoint_granularity": "full",
        "model.activations_checkpoint_method": "uniform",
        "model.activations_checkpoint_num_layers": 1,
    }
    line = the_line(overridden(sft=sft), launches(), "nemo.overrides.actor: ")
    assert "activations_checkpoint_num_layers: found 1; accepted: null" in line


# --------------------------------------------------------------------------- PPO


def test_rollouts_that_the_actors_gpus_cannot_share_are_told_with_a_share_that_does():
    lines = sizing.problems(MISTRAL, launches(8, 2))
    assert len(lines) == 2  # the batch of training, and that of rollouts; validation has the same
    assert "model.ppo.num_rollout_samples: found 512; accepted: multiples of 384 = " in lines[1]
    assert "rollout_micro_batch_size 8 x data parallel 48 (profile: rule rl_cai: 6 x 8" in lines[1]
    assert lines[1].endswith("; or critic_nodes 4")
    assert arithmetic.fitting_shares(MISTRAL, launches(8, 2)) == [4]


def test_on_one_node_the_share_is_of_gpus():
    lines = sizing.problems(MISTRAL, launches(1, 2))
    assert lines[-1].endswith("; or critic_gpus 4")
    assert sizing.problems(MISTRAL, launches(1, 4)) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"model.ppo.num_val_samples": 100}, "model.ppo.num_val_samples: found 100"),
        ({"model.ppo.forward_micro_batch_size": 3}, "multiples of 24 = model.ppo.forward_micro"),
        ({"model.global_batch_size": 384}, "multiples of model.global_batch_size 384"),
        ({"model.data.seq_length": 2048}, "4096: … 2048 tokens"),
        ({"remote_critic_rm.pad_to_length": 8192}, "critic's model.encoder_seq_length"),
        ({"trainer.ppo.save_interval": 15}, "multiples of trainer.ppo.val_check_interval 10"),
    ],
)
def test_what_the_actor_is_told_wrong(overrides, told):
    lines = sizing.problems(overridden(actor=overrides), launches(2, 1))
    assert any(says(line, f"nemo.overrides.actor: … {told}") for line in lines), lines


def test_a_validation_of_less_than_all_ranks_is_caught_beside_good_rollouts():
    actor = {"model.ppo.num_val_samples": 64, "model.ppo.forward_micro_batch_size": 16}
    line = the_line(overridden(actor=actor), launches(2, 1), "nemo.overrides.actor: ")
    assert "model.ppo.num_val_samples: found 64; accepted: multiples of 128" in line


TRT = {"trainer.ppo.trt_llm.enable": True}


def tensorrt(mpi, stop="<extra_id_1>", **overrides):
    """What is told of rollouts by TensorRT-LLM on two nodes."""
    given = launches(2, 1)
    given["actor"] = given["actor"].model_copy(update={"mpi": mpi})
    models = {"base": {"template": {"stop": ["<extra_id_1>", stop]}}}
    actor = TRT | {key.replace("__", "."): value for key, value in overrides.items()}
    change = {"models": models, "nemo": {"overrides": {"actor": actor}}}
    return sizing.problems(configured(**change), given)


def test_rollouts_by_tensorrt_are_one_override_and_the_mpi_that_it_needs():
    assert tensorrt("pmix") == []
    (line,) = tensorrt(None)
    assert says(line, "profile: rule rl_cai: mpi_type: found none; accepted: pmix")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stop": "So, "}, "end_strings: found So, ; accepted: … without a comma"),
        ({"trainer__ppo__trt_llm__model_type": "qwen"}, "model_type: found qwen; … llama, "),
        ({"trainer__ppo__trt_llm__max_input_len": 4000}, "max_input_len: found 4000; … up to 3072"),
    ],
)
def test_what_tensorrt_would_stop_at_after_it_has_loaded_the_model(given, told):
    lines = tensorrt("pmix", **given)
    assert any(says(line, f"nemo.overrides.actor: … {told}") for line in lines), lines


def test_tensorrt_has_no_place_on_a_cpu():
    actor = DEMO.nemo.overrides.actor | TRT
    config = DEMO.model_dump(exclude_none=True)
    settings = parse_settings(merge(config, {"nemo": {"overrides": {"actor": actor}}}))
    given = {"critic": launch_of({}), "actor": launch_of({})}
    (line,) = sizing.problems(settings, given)
    assert "trainer.ppo.trt_llm.enable: found true; accepted: false without GPUs" in line


def divide(a, b):
    """Megatron core's: exact, or an error."""
    assert a % b == 0
    return a // b


def upstream_takes(world, tensor, pipeline, batch, micro, rollouts, rolled, forward):
    """PPO as NeMo-Aligner goes about it, with lists in place of tensors."""
    try:
        data = divide(world, tensor * pipeline)
        # the data loader, one list of indices a rank and micro batch
        assert rollouts % (rolled * data) == 0
        batches = divide(divide(rollouts, rolled), data)
        local = [index for _ in range(batches) for index in range(rolled)]
        # log-probabilities of a rank's rollouts
        divide(len(local), forward)
        # training: the rank's rollouts in parts of a global batch's share, those in micro batches
        share = divide(batch, data)
        parts = divide(len(local), share)
        for _ in range(parts):
            assert batch % (micro * data) == 0
            divide(share, divide(divide(batch, micro), data))
    except AssertionError:
        return False
    return True


PATIENT = hypothesis_settings(deadline=None)  # many tests share a small machine
SMALL = st.sampled_from([1, 2, 3, 4, 6, 8])


@PATIENT
@given(
    nodes=st.integers(2, 6),
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.sampled_from([1, 2]),
    batch=st.sampled_from([16, 24, 32, 48, 64, 96]),
    micro=SMALL,
    rollouts=st.sampled_from([32, 64, 96, 128, 192, 256, 384]),
    rolled=SMALL,
    forward=SMALL,
)
def test_ppo_passes_just_when_upstreams_own_arithmetic_does(
    nodes, tensor, pipeline, batch, micro, rollouts, rolled, forward
):
    actor = {
        "++model.tensor_model_parallel_size": tensor,
        "++model.pipeline_model_parallel_size": pipeline,
        "model.global_batch_size": batch,
        "model.micro_batch_size": micro,
        "model.ppo.num_rollout_samples": rollouts,
        "model.ppo.rollout_micro_batch_size": rolled,
        "model.ppo.forward_micro_batch_size": forward,
    }
    given = {"actor": launches(nodes + 1, 1)["actor"]}
    lines = sizing.problems(overridden(actor=actor), given)
    expected = upstream_takes(8 * nodes, tensor, pipeline, batch, micro, rollouts, rolled, forward)
    assert (lines == []) == expected, lines


@PATIENT
@given(
    nodes=st.integers(1, 6),
    tensor=st.sampled_from([1, 2, 4, 8]),
    batch=st.integers(1, 40).map(lambda n: 8 * n),
    micro=SMALL,
)
def test_sft_passes_just_when_every_rank_gets_whole_micro_batches(nodes, tensor, batch, micro):
    sft = {
        "model.tensor_model_parallel_size": tensor,
        "model.data.train_ds.global_batch_size": batch,
        "model.data.train_ds.micro_batch_size": micro,
        "model.data.validation_ds.global_batch_size": batch,
        "model.data.validation_ds.micro_batch_size": micro,
    }
    lines = sizing.problems(overridden(sft=sft), {"sl_cai": launches(nodes)["sl_cai"]})
    ranks = range(8 * nodes // tensor)
    indices = [list(range(rank, batch, len(ranks))) for rank in ranks]
    whole = {len(rank) % micro == 0 and len(rank) == len(indices[0]) for rank in indices}
    assert (lines == []) == (whole == {True} and len(indices[-1]) > 0), lines


def test_what_only_costs_time_is_a_warning():
    busy = {"trainer.ppo.inference_micro_batch_size": 16}
    settings = overridden(critic=busy)
    assert sizing.problems(settings, launches(2, 1)) == []
    (line,) = sizing.warnings(settings, launches(2, 1))
    assert "critic: trainer.ppo.inference_micro_batch_size: found 16" in line
    assert "x data parallel 8 up to 64" in line
    (line,) = sizing.warnings(overridden(critic={"model.global_batch_size": 96}), launches(2, 1))
    assert "a divisor of model.ppo.num_rollout_samples 512" in line


# --------------------------------------------------------------------------- lengths, templates


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lengths": {"sft": 65536}}, "lengths.sft: found 65536; accepted: up to 32768"),
        ({"lengths": {"context": 8192}}, "lengths.context: found 8192; accepted: up to 4096"),
        ({"supervised": {"critique": {"max_tokens": 4096}}}, "supervised.critique.max_tokens"),
        ({"lengths": {"rl": 1536}}, None),
        ({"preferences": {"candidate": {"max_tokens": 5000}}}, "preferences.candidate.max_tokens"),
        ({"evaluation": {"answer": {"max_tokens": 4096}}}, "evaluation.answer.max_tokens"),
    ],
)
def test_lengths_are_those_that_the_models_take(change, told):
    lines = sizing.problems(configured(**change), launches(2, 1))
    assert (lines == []) if told is None else any(line.startswith(told) for line in lines), lines


def test_a_template_whose_turns_never_end_in_generation():
    change = {"models": {"base": {"template": {"stop": ["<extra_id_9>"]}}}}
    lines = sizing.problems(configured(**change), launches())
    assert lines[0].startswith("models.base.template.stop: found ['<extra_id_9>']; accepted:")
    assert "'<extra_id_1>'" in lines[0]


def test_a_shape_that_the_models_own_files_deny(tmp_path):
    shape = CONFIG["models"]["base"]["shape"]
    change = {
        "results": str(tmp_path),
        "models": {"base": {"source": "demo/models/base/", "shape": shape}},
    }
    settings = configured(**change)
    lines = sizing.problems(settings, launches())
    assert "models.base.shape.layers: found 32; demo/models/base/config.json has 6" in lines


def test_an_unknown_shape_is_a_warning_and_the_batches_are_checked_all_the_same(monkeypatch):
    monkeypatch.setattr("cai.settings.found_shape._cached", lambda model: None)
    config = {**CONFIG, "models": {name: {**model} for name, model in CONFIG["models"].items()}}
    for model in config["models"].values():
        del model["shape"]
    settings = parse_settings(config)
    assert sizing.problems(settings, launches(2, 1)) == []
    told = sizing.warnings(settings, launches(2, 1))
    assert [line.partition(":")[0] for line in told] == ["models.base", "models.instruct"]
    assert len(sizing.problems(settings, launches(8, 2))) == 2


@pytest.mark.parametrize(
    ("program", "overrides", "line"),
    [
        (
            "actor",
            {"trainer.ppo.max_steps": 300},
            "nemo.overrides.actor: model.optim.sched.constant_steps: found 1000; accepted: less "
            "than 290 … trainer.ppo.max_steps 300 … step 11",
        ),
        ("actor", {"trainer.ppo.max_steps": 2000}, None),
        ("critic", {"trainer.ppo.max_steps": 1010}, "found 1000; accepted: less than 1000"),
        ("sft", {"trainer.sft.max_steps": 300}, None),  # constant_steps is 0 there
        (
            "sft",
            {"trainer.sft.max_steps": 300, "model.optim.sched.constant_steps": 1000},
            "trainer.sft.max_steps 300 … step 11",
        ),
    ],
)
def test_a_learning_rate_that_has_no_steps_to_fall_over_is_told(program, overrides, line):
    told = sizing.warnings(overridden(**{program: overrides}), launches(2, 1))
    assert says("\n".join(told), line) if line else told == []


# --------------------------------------------------------------------------- the last stages


def test_dpo_fits_the_nodes_of_the_other_trainings():
    for nodes in (1, 2, 4):
        given = {"dpo_cai": launches(nodes)["reward_model"]}
        assert sizing.problems(MISTRAL, given) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"model.global_batch_size": 100}, "found 100; accepted: multiples of 8 = "),
        (
            {"model.dpo.log_prob_forward_micro_batch_size": 32},
            "found 128; accepted: multiples of 256 = model.dpo.log_prob_forward_micro_batch_size",
        ),
        ({"trainer.dpo.save_interval": 150}, "trainer.dpo.val_check_interval 200"),
        ({"model.data.seq_length": 100}, "model.data.seq_length: found 100; accepted: from"),
    ],
)
def test_batches_of_dpo_that_its_ranks_cannot_share(overrides, told):
    given = launches() | {"dpo_cai": launches()["reward_model"]}
    line = the_line(overridden(dpo=overrides), given, "nemo.overrides.dpo: ")
    assert told in line
