"""Whether ranks, the model's sizes and the batches divide as they must.

Each rule here is one whose violation stops NeMo 2.1.0, NeMo-Aligner 0.7.0 or Megatron core 0.10, or
silently changes what they do, after the job has waited for its nodes and loaded its model. The
comments name the place in the upstream code.
"""

import math
from collections.abc import Callable, Iterable, Iterator

from cai.checks import lora
from cai.checks.stage_sizes import CONTEXT, EXPERT, PARALLEL, SERVERS, Launches, Sizing
from cai.models.shape import ModelShape
from cai.nemo.keys import TRT_LLM
from cai.nemo.values import Program, Values
from cai.running.launch import Launch
from cai.settings.configuration import Settings

TRAINED = ("sft", "reward_model", "critic", "actor", "dpo")
LOOPS: dict[Program, str] = {"sft": "sft", "reward_model": "rm", "actor": "ppo", "dpo": "dpo"}
# On a CPU autocast leaves log-probabilities and values in 16 bits, which neither torch's masked
# tensors (nemo_aligner.utils.utils) nor numpy (run_distributed_inference) take.
IN_32_BITS: tuple[Program, ...] = ("critic", "actor")
PRECISIONS = (
    *("16", "32", "64", "bf16", "16-mixed", "bf16-mixed"),
    *("16-true", "bf16-true", "32-true", "64-true", "transformer-engine"),
    *("transformer-engine-float16",),
)
VIRTUAL = "virtual_pipeline_model_parallel_size"
EXPORTED = ("gpt", "gptnext", "llama", "falcon", "starcoder", "mixtral", "gemma")


def rank_problems(sizing: Sizing) -> Iterator[str]:
    """Ranks that copies of the model do not divide."""
    ranks, model_ranks = sizing.launch.ranks, sizing.model_ranks
    sizes = [sizing.tensor, sizing.pipeline, *([sizing.context] if sizing.context > 1 else [])]
    keys = [sizing.prefix + key for key in (*PARALLEL, CONTEXT)[: len(sizes)]]
    product = " x ".join(f"{key} {n}" for key, n in zip(keys, sizes, strict=True))
    start = f"{sizing.field}: {product} = {model_ranks}; accepted:"
    # megatron_gpt_eval.py: one copy of the model, on all of the job's ranks
    if sizing.program in SERVERS and ranks != model_ranks:
        yield f"{start} {ranks}, all that the job has ({sizing.place})"
    # megatron.core.parallel_state.initialize_model_parallel
    if sizing.program not in SERVERS and ranks % model_ranks:
        yield f"{start} a divisor of {ranks} ({sizing.place})"


def shape_problems(sizing: Sizing, shape: ModelShape) -> Iterator[str]:
    """The model's sizes against tensor and pipeline parallelism."""
    key = f"{sizing.prefix}tensor_model_parallel_size"
    # heads and KV heads: TransformerConfig; ffn, vocab: megatron.core.tensor_parallel.layers.divide
    # (NeMo pads the vocabulary to a multiple, which the checkpoint then does not have)
    of = {"heads": shape.heads, "kv_heads": shape.kv_heads, "ffn": shape.ffn, "vocab": shape.vocab}
    wrong = [f"{name} {size}" for name, size in of.items() if size % sizing.tensor]
    if wrong:
        most = math.gcd(*of.values())
        yield sizing.line(
            key,
            sizing.tensor,
            f"a divisor of {most}, for models.{sizing.model} has {', '.join(wrong)}",
        )
    # get_num_layers_to_build rounds down: layers would be lost
    uneven = "model.first_pipeline_num_layers", "model.last_pipeline_num_layers"
    if shape.layers % sizing.pipeline and not any(sizing.values.get(key) for key in uneven):
        yield sizing.line(
            f"{sizing.prefix}pipeline_model_parallel_size",
            sizing.pipeline,
            f"a divisor of {shape.layers}, the layers of models.{sizing.model}",
        )


def option_problems(sizing: Sizing) -> Iterator[str]:
    """Options that NeMo-Aligner or Megatron core refuse with the others."""
    values, prefix = sizing.values, sizing.prefix
    precision = values.get("trainer.precision")
    if precision is not None and str(precision) not in PRECISIONS:  # of Lightning 2.4
        yield sizing.line("trainer.precision", repr(precision), ", ".join(PRECISIONS))
    on_cpu = values.get("trainer.accelerator") == "cpu"
    if on_cpu and sizing.program in IN_32_BITS and str(precision) not in ("32", "32-true"):
        yield sizing.line("trainer.precision", repr(precision), "32 on a CPU")
    virtual = values.get(f"{prefix}{VIRTUAL}")
    if virtual not in (None, 1):
        # nemo_aligner.utils.utils: "incompatible with virtual pipeline parallel"
        yield sizing.line(f"{prefix}{VIRTUAL}", virtual, "null, NeMo-Aligner has none")
    experts = values.get(f"{prefix}{EXPERT}")
    if experts not in (None, 1):
        yield sizing.line(f"{prefix}{EXPERT}", experts, "1, these models have no experts")
    if sizing.program not in TRAINED:
        return
    yield from _rates(sizing)
    yield from lora.problems(sizing)
    yield from _recomputation(sizing)
    yield from _tensorrt(sizing)
    length = sizing.size("model.encoder_seq_length")
    if sizing.context > 1 and length % (2 * sizing.context):
        yield sizing.line(
            "model.encoder_seq_length",
            length,
            f"multiples of {2 * sizing.context} = 2 x model.{CONTEXT} {sizing.context}",
        )


def _rates(sizing: Sizing) -> Iterator[str]:
    """A learning rate below the one that it falls to: WarmupAnnealHoldPolicy of NeMo."""
    rate, least = (sizing.values.get(f"model.optim.{key}") for key in ("lr", "sched.min_lr"))
    if isinstance(rate, int | float) and isinstance(least, int | float) and 0 < rate < least:
        key = "model.optim.lr"
        yield sizing.line(key, rate, f"at least {least}, which is model.optim.sched.min_lr")


def _recomputation(sizing: Sizing) -> Iterator[str]:
    """TransformerConfig.__post_init__ on the recomputation of activations."""
    name = "model.activations_checkpoint_"
    kind, method, layers = (
        sizing.values.get(name + key) for key in ("granularity", "method", "num_layers")
    )
    if kind is None:
        return
    if kind not in ("full", "selective"):
        yield sizing.line(f"{name}granularity", repr(kind), "full, selective, null")
    elif method not in ("uniform", "block", *([None] if kind == "selective" else [])):
        yield sizing.line(f"{name}method", repr(method), "uniform, block")
    elif kind == "full" and layers is None:
        yield sizing.line(f"{name}num_layers", "null", "a number, with granularity full")
    elif kind == "selective" and layers is not None:
        yield sizing.line(f"{name}num_layers", layers, "null, with granularity selective")


def _tensorrt(sizing: Sizing) -> Iterator[str]:
    """Rollouts by TensorRT-LLM: GPTGenerateTRTLLM, and the exporter of NeMo."""
    values, launch = sizing.values, sizing.launch
    if sizing.program != "actor" or not values.get(f"{TRT_LLM}.enable"):
        return
    if not launch.gres:
        yield sizing.line(f"{TRT_LLM}.enable", "true", f"false without GPUs ({sizing.place})")
    if launch.launcher != "direct" and launch.mpi != "pmix":
        found = launch.mpi or "none"  # its engine's ranks find each other by MPI
        yield (
            f"profile: rule rl_cai: mpi_type: found {found}; accepted: pmix, with "
            f"{sizing.field}: {TRT_LLM}.enable"
        )
    kind = values.get(f"{TRT_LLM}.model_type")
    if kind not in EXPORTED:  # TensorRTLLM.get_supported_models_list
        yield sizing.line(f"{TRT_LLM}.model_type", kind, ", ".join(EXPORTED))
    key = "model.ppo.sampling_params.end_strings"
    ends = values.get(key)
    if isinstance(ends, list) and (commas := [text for text in ends if "," in text]):
        accepted = f"texts without a comma, with {TRT_LLM}.enable (models.base.template.stop)"
        yield sizing.line(key, commas[0], accepted)
    length, answer = (
        sizing.size(f"model.{name}")
        for name in ("encoder_seq_length", "ppo.length_params.max_length")
    )
    most = values.get(f"{TRT_LLM}.max_input_len")
    if isinstance(most, int) and most + answer > length:
        yield sizing.line(
            f"{TRT_LLM}.max_input_len", most, f"up to {length - answer}: the answer has {answer}"
        )


def batch_problems(settings: Settings, sizing: Sizing, launches: Launches) -> Iterator[str]:
    """Batches that the ranks cannot share in whole micro batches."""
    if sizing.launch.ranks % sizing.model_ranks:
        return  # there is no data parallel size; reported by rank_problems
    lines = list(BATCH_RULES[sizing.program](sizing)) if sizing.program in BATCH_RULES else []
    if lines and sizing.program in ("critic", "actor"):
        lines[-1] += _hint(settings, launches)
    yield from lines
    yield from _intervals(sizing)


def _multiple(sizing: Sizing, key: str, of: Iterable[str], *, data: int | None = None) -> list[str]:
    """A complaint if a batch is no multiple of other sizes times the data parallel size."""
    data = sizing.data if data is None else data
    parts = [(name, sizing.size(name)) for name in of] + [("data parallel", data)]
    unit = math.prod(size for _, size in parts)
    found = sizing.size(key)
    if found % unit == 0:
        return []
    product = " x ".join(f"{name} {size}" for name, size in parts)
    return [sizing.line(key, found, f"multiples of {unit} = {product} ({sizing.place})")]


def _sft(sizing: Sizing) -> Iterator[str]:
    train, validation = "model.data.train_ds", "model.data.validation_ds"
    for part in (train, validation):  # MegatronPretraining(Random)BatchSampler
        yield from _multiple(sizing, f"{part}.global_batch_size", [f"{part}.micro_batch_size"])
    for key in ("global_batch_size", "micro_batch_size"):
        # the model cuts its first batches by its own sizes, the data loader fills them by these
        own, fed = sizing.size(f"model.{key}"), sizing.size(f"{train}.{key}")
        if own != fed:
            yield sizing.line(f"model.{key}", own, f"{fed}, as {train}.{key}, or null")
    if sizing.values.get(f"{train}.drop_last") is not True:  # compute_num_steps_per_epoch
        found = sizing.values.get(f"{train}.drop_last")
        yield sizing.line(f"{train}.drop_last", found, "true, NeMo-Aligner has nothing else")


def _reward_model(sizing: Sizing) -> Iterator[str]:
    yield from _multiple(sizing, "model.global_batch_size", ["model.micro_batch_size"])
    shuffled = sizing.values.get("trainer.rm.train_random_sampler")
    epochs = sizing.values.get("trainer.rm.max_epochs")
    if shuffled is False and isinstance(epochs, int) and epochs > 1:  # SupervisedTrainer.fit
        yield sizing.line("trainer.rm.max_epochs", epochs, "1, with train_random_sampler false")


def _critic(sizing: Sizing) -> Iterator[str]:
    # ConstantNumMicroBatchesCalculator; batches for inference are padded
    yield from _multiple(sizing, "model.global_batch_size", ["model.micro_batch_size"])


def _actor(sizing: Sizing) -> Iterator[str]:
    train, values = "model.global_batch_size", sizing.values
    yield from _multiple(sizing, train, ["model.micro_batch_size"])  # configure_batch_sizes
    # TensorRT-LLM with reshard turns pipeline stages into data parallel ones while it generates
    resharded = all(values.get(f"{TRT_LLM}.{key}") for key in ("enable", "reshard"))
    generating = sizing.data * sizing.pipeline if resharded else sizing.data
    reported: set[tuple[int, int]] = set()
    for samples, micro in (
        ("model.ppo.num_rollout_samples", "model.ppo.rollout_micro_batch_size"),
        ("model.ppo.num_val_samples", "model.ppo.val_rollout_micro_batch_size"),
    ):
        if (same := (sizing.size(samples), sizing.size(micro))) in reported:
            continue  # by default validation has the sizes of training
        reported.add(same)
        # compute_num_rollout_microbatches; get_inference_log_probs divides a rank's share
        yield from _multiple(sizing, samples, [micro], data=generating) or _multiple(
            sizing, samples, ["model.ppo.forward_micro_batch_size"]
        )
    # PPOTrainer.fit divides a rank's rollouts by a rank's part of a training batch
    rollouts, batch = sizing.size("model.ppo.num_rollout_samples"), sizing.size(train)
    if rollouts % batch:
        accepted = f"multiples of {train} {batch}"
        yield sizing.line("model.ppo.num_rollout_samples", rollouts, accepted)


def _dpo(sizing: Sizing) -> Iterator[str]:
    # MegatronGPTDPOModel.get_logprob_batch divides a rank's share of the global batch
    for micro in ("model.micro_batch_size", "model.dpo.log_prob_forward_micro_batch_size"):
        if complaints := _multiple(sizing, "model.global_batch_size", [micro]):
            yield from complaints
            return  # by default both are the same


BATCH_RULES: dict[Program, Callable[[Sizing], Iterator[str]]] = {
    "sft": _sft,
    "reward_model": _reward_model,
    "critic": _critic,
    "actor": _actor,
    "dpo": _dpo,
}


def _intervals(sizing: Sizing) -> Iterator[str]:
    """Function check_progress, after the first step: each save needs a validation."""
    part = LOOPS.get(sizing.program)
    if part is None or sizing.values.get(f"trainer.{part}.limit_val_batches") == 0:
        return
    save = sizing.values.get(f"trainer.{part}.save_interval")
    validate = sizing.values.get(f"trainer.{part}.val_check_interval")
    if isinstance(save, int) and isinstance(validate, int) and validate > 0 and save % validate:
        yield sizing.line(
            f"trainer.{part}.save_interval",
            save,
            f"multiples of trainer.{part}.val_check_interval {validate}",
        )


def schedule_warnings(sizing: Sizing) -> Iterator[str]:
    """A learning rate without steps to fall over: WarmupAnnealHoldPolicy of NeMo."""
    part: dict[Program, str] = {**LOOPS, "critic": "ppo"}
    if sizing.program not in part:
        return
    schedule, key = "model.optim.sched", f"trainer.{part[sizing.program]}.max_steps"
    constant = sizing.values.whole(f"{schedule}.constant_steps") or 0
    warmup = sizing.values.whole(f"{schedule}.warmup_steps") or 0
    most = sizing.values.whole(key)
    if most and constant and constant + warmup >= most:
        yield sizing.line(
            f"{schedule}.constant_steps",
            constant,
            f"less than {most - warmup}, such as 0: with {key} {most} the rate is at its minimum "
            f"from step {warmup + 1}",
        )


def _hint(settings: Settings, launches: Launches) -> str:
    """Other shares of PPO's nodes that its batches divide over."""
    if not {"critic", "actor"} <= set(launches):
        return ""
    name = "critic_nodes" if launches["actor"].first_node else "critic_gpus"
    shares = " or ".join(map(str, fitting_shares(settings, launches)))
    return f"; or {name} {shares}" if shares else ""


def fitting_shares(settings: Settings, launches: Launches) -> list[int]:
    """The critic's shares of PPO's allocation over which all batches of PPO divide.

    Returns:
        Numbers of nodes, or of GPUs where there is one node.
    """
    critic, actor = launches["critic"], launches["actor"]
    if not actor.first_node and not critic.gres:
        return []
    whole = critic.nodes + actor.nodes if actor.first_node else critic.devices + actor.devices
    return [
        share
        for share in range(1, whole)
        if _fits(settings, _part(critic, actor, share), _part(actor, actor, whole - share))
    ]


def _part(launch: Launch, actor: Launch, share: int) -> Launch:
    if actor.first_node:
        return launch.model_copy(update={"nodes": share})
    return launch.model_copy(update={"gres": f"gpu:{share}"})


def _fits(settings: Settings, critic: Launch, actor: Launch) -> bool:
    launches: dict[Program, Launch] = {"critic": critic, "actor": actor}
    for program, launch in launches.items():
        sizing = Sizing(program, (program,), launch, Values(settings, program, launch))
        if any(rank_problems(sizing)) or any(BATCH_RULES[program](sizing)):
            return False
    return True


def spread_warnings(sizing: Sizing) -> Iterator[str]:
    """Tensor parallelism over the network."""
    if sizing.tensor > sizing.launch.devices and sizing.launch.nodes > 1:
        yield (
            f"{sizing.field}: {sizing.prefix}tensor_model_parallel_size "
            f"{sizing.tensor} spans nodes of {sizing.launch.devices} GPUs, which is slow: more "
            "pipeline parallelism keeps it within one"
        )


def critic_warnings(found: Iterable[Sizing]) -> Iterator[str]:
    """The critic's server waits for batches that the actor does not fill."""
    by_program = {sizing.program: sizing for sizing in found}
    critic, actor = by_program.get("critic"), by_program.get("actor")
    if not critic or not actor:
        return
    rollouts = actor.size("model.ppo.num_rollout_samples")
    batch = critic.size("model.global_batch_size")
    if rollouts % batch:  # server_train pads with rows of zeros, whose loss is no number
        yield critic.line(
            "model.global_batch_size",
            batch,
            f"a divisor of model.ppo.num_rollout_samples {rollouts}, else the last batch of a step "
            "is filled up with empty rows",
        )
    key = "trainer.ppo.inference_micro_batch_size"
    preferred = critic.values.get(key)
    sizes = preferred if isinstance(preferred, list) else [preferred]
    least = min((size for size in sizes if isinstance(size, int)), default=1) * critic.data
    together = actor.size("model.ppo.rollout_micro_batch_size") * actor.data
    if least > together:  # PyTriton waits max_queue_delay_microseconds, then goes on without
        yield critic.line(
            key,
            preferred,
            f"x data parallel {critic.data} up to {together}, the answers of all of the actor's "
            "ranks, else the server waits in vain for more",
        )
