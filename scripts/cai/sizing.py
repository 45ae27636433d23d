"""Whether batches, parallelism and lengths fit the GPUs that a profile gives: before a job waits.

Each rule here is one on which NeMo 2.1.0, NeMo-Aligner 0.7.0 or Megatron core 0.10 stops, after the
job has waited for its nodes and loaded its model, or silently does something else. Where upstream
says it is named in the comments. Letters: T tensor, P pipeline, C context parallel size, D data
parallel size = ranks / (T P C).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cai import memory
from cai.errors import UserError
from cai.launch import Launch
from cai.model_shape import ModelShape, differences, shape_in_files
from cai.preflight import prompt_length
from cai.settings import Overrides, Settings
from cai.templates import Template
from cai.values import Program, Values

Launches = Mapping[str, Launch]
# What the stages run: jobs by the names of their rules, PPO (rule rl_cai) by its two programs.
STAGES: dict[str, tuple[Program, ...]] = {
    "responses": ("instruct_server",),
    "revisions": ("instruct_server",),
    "preferences": ("instruct_server",),
    "judged": ("instruct_server",),
    "answers": ("instruct_server", "server"),
    "candidates": ("server",),
    "rewards": ("reward_server",),
    "sl_cai": ("sft",),
    "reward_model": ("reward_model",),
    "critic": ("critic",),
    "actor": ("actor",),
}
SERVERS = ("server", "instruct_server")
TRAINED = ("sft", "reward_model", "critic", "actor")
BATCHES: dict[Program, tuple[str, ...]] = {  # whole numbers that a program cannot do without
    "sft": (
        "model.data.train_ds.micro_batch_size",
        "model.data.train_ds.global_batch_size",
        "model.data.validation_ds.micro_batch_size",
        "model.data.validation_ds.global_batch_size",
        "model.encoder_seq_length",
        "model.data.train_ds.max_seq_length",
    ),
    "reward_model": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.encoder_seq_length",
        "model.data.seq_length",
    ),
    "critic": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.forward_micro_batch_size",
        "model.encoder_seq_length",
    ),
    "actor": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.ppo.num_rollout_samples",
        "model.ppo.rollout_micro_batch_size",
        "model.ppo.forward_micro_batch_size",
        "model.ppo.num_val_samples",
        "model.ppo.val_rollout_micro_batch_size",
        "model.ppo.length_params.max_length",
        "model.encoder_seq_length",
        "model.data.seq_length",
    ),
    "reward_server": ("model.forward_micro_batch_size",),
    "server": (),
    "instruct_server": (),
}
PARALLEL = ("tensor_model_parallel_size", "pipeline_model_parallel_size")
EXPERT, CONTEXT = "expert_model_parallel_size", "context_parallel_size"


@dataclass(frozen=True)
class Sizing:
    """One of NeMo's programs with the GPUs that it gets.

    Attributes:
        program: which.
        stages: that run it so.
        launch: its part of a job's nodes.
        values: that it runs with.
    """

    program: Program
    stages: tuple[str, ...]
    launch: Launch
    values: Values

    @cached_property
    def prefix(self) -> str:
        """What stands before the keys of the model's section."""
        return "" if self.program in SERVERS else "model."

    def size(self, key: str) -> int:
        """A batch or a length; 1 in place of what :func:`_unreadable` complains of."""
        return self.values.whole(key) or 1

    def parallel(self, key: str) -> int:
        """A size of model parallelism; what nobody gives is 1."""
        return self.values.whole(self.prefix + key, 1) or 1

    @property
    def tensor(self) -> int:
        """Tensor parallel size."""
        return self.parallel("tensor_model_parallel_size")

    @property
    def pipeline(self) -> int:
        """Pipeline parallel size."""
        return self.parallel("pipeline_model_parallel_size")

    @property
    def context(self) -> int:
        """Context parallel size; the server has none."""
        return 1 if self.program in SERVERS else self.parallel(CONTEXT)

    @property
    def model_ranks(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor * self.pipeline * self.context

    @property
    def data(self) -> int:
        """Data parallel size: copies of the model."""
        return max(1, self.launch.ranks // self.model_ranks)

    @property
    def is_cpu(self) -> bool:
        """Whether the program runs without GPUs."""
        return self.values.get("trainer.accelerator") == "cpu"

    @property
    def model(self) -> str:
        """Which pretrained model it has the shape of."""
        return "instruct" if self.program == "instruct_server" else "base"

    @property
    def field(self) -> str:
        """The field of the configuration that its values come from."""
        return f"nemo.overrides.{'server' if self.program in SERVERS else self.program}"

    @property
    def place(self) -> str:
        """Where its ranks come from, for a message."""
        rules = ["rl_cai" if name in ("critic", "actor") else name for name in self.stages]
        what = "GPUs" if self.launch.gres else "ranks"
        return (
            f"profile: rule {', '.join(rules)}: {self.launch.nodes} x {self.launch.devices} {what}"
        )

    def line(self, key: str, found: Any, accepted: str) -> str:
        """What is wrong with a value, and what would be right."""
        return f"{self.field}: {key}: found {found}; accepted: {accepted}"


def sizings(settings: Settings, launches: Launches) -> list[Sizing]:
    """Each program with each of the sizes that it is started with, in the order of the workflow."""
    stages: dict[tuple[Program, str], list[str]] = {}
    for stage in (name for name in STAGES if name in launches):
        for program in STAGES[stage]:
            stages.setdefault((program, launches[stage].model_dump_json()), []).append(stage)
    return [
        Sizing(program, tuple(names), launch, Values(settings, program, launch))
        for (program, _), names in stages.items()
        for launch in [launches[names[0]]]
    ]


def problems(settings: Settings, launches: Launches) -> list[str]:
    """What cannot work, a line for each thing: field or resource, found, accepted.

    Args:
        settings: of the run.
        launches: how each stage is started, by rule; PPO's parts as ``critic`` and ``actor``. What
            is not in it, such as the judge's servers when another judge is asked, is not checked.
    """
    found = sizings(settings, launches)
    by_program = {sizing.program: sizing for sizing in found}
    shapes, lines = shapes_of(settings)
    lines += [*_reserved(settings), *_templates(settings), *_answers(settings)]
    unreadable = {sizing.program: list(_unreadable(sizing)) for sizing in found}
    for complaints in unreadable.values():
        lines += complaints
    for sizing in (sizing for sizing in found if not unreadable[sizing.program]):
        lines += [*_ranks(sizing), *_options(sizing), *_batches(settings, sizing, launches)]
        if shapes[sizing.model]:
            lines += _divisions(sizing, shapes[sizing.model])
    lines += [
        line
        for sizing, estimate in _estimates(settings, launches).values()
        if (line := memory.problem(estimate, sizing))
    ]
    for name, shape in shapes.items():
        lines += _contexts(settings, name, shape) if shape else []
    if not any(unreadable.values()):
        lines += _lengths(settings, by_program)
    return list(dict.fromkeys(lines))


def warnings(settings: Settings, launches: Launches) -> list[str]:
    """What works, but wastes something or could not be checked; a line each."""
    found = sizings(settings, launches)
    lines = []
    for name, shape in shapes_of(settings)[0].items():
        if shape is None:
            lines.append(
                f"models.{name}: its sizes are not known before it is here, so divisions and "
                f"memory are not checked: give models.{name}.shape"
            )
    for sizing in found:
        lines += _wasteful(sizing)
    lines += _waits(found)
    for (stage, _), (sizing, estimate) in _estimates(settings, launches).items():
        lines += memory.warning(estimate, sizing, stage)
    return lines


def _estimates(
    settings: Settings, launches: Launches
) -> dict[tuple[str, Program], tuple[Sizing, memory.Estimate]]:
    """The memory of each stage that has GPUs and sizes that are known and fit."""
    shapes, _ = shapes_of(settings)
    return {
        (stage, sizing.program): (sizing, memory.estimate(settings, sizing, shape, stage))
        for sizing in sizings(settings, launches)
        if sizing.launch.gres and (shape := shapes[sizing.model])
        if not any(_unreadable(sizing)) and not any(_ranks(sizing))
        for stage in sizing.stages
    }


def table(settings: Settings, launches: Launches) -> str:
    """What each stage gets and takes, a row each, for a dry run."""
    estimates = _estimates(settings, launches)
    rows = [("stage", "GPUs", "tensor", "pipeline", "data", "batch", "GB a GPU")]
    for sizing in sizings(settings, launches):
        for stage in sizing.stages:
            found = estimates.get((stage, sizing.program))
            needs = f"{memory.gigabytes(found[1].total)} of " if found else ""
            size = f"{needs}{sizing.launch.gpu_memory}" if sizing.launch.gres else "-"
            sizes = (sizing.launch.gpus, sizing.tensor, sizing.pipeline, sizing.data)
            rows.append((stage, *map(str, sizes), _batch(settings, sizing), size))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in dict.fromkeys(rows)
    )


def _batch(settings: Settings, sizing: Sizing) -> str:
    """Micro and global batch; of a server, the prompts of a request."""
    if sizing.program in SERVERS:
        return str(settings.client.batch_size)
    if sizing.program == "reward_server":
        return str(sizing.size("model.forward_micro_batch_size"))
    part = "model.data.train_ds." if sizing.program == "sft" else "model."
    sizes = [sizing.size(f"{part}{key}_batch_size") for key in ("micro", "global")]
    rollouts = "model.ppo.num_rollout_samples"
    more = [sizing.size(rollouts)] if sizing.program == "actor" else []
    return " / ".join(map(str, [*sizes, *more]))


def shapes_of(settings: Settings) -> tuple[dict[str, ModelShape | None], list[str]]:
    """The shapes of both models, None if unknown; and what is wrong with those configured."""
    shapes: dict[str, ModelShape | None] = {}
    lines: list[str] = []
    for name in ("base", "instruct"):
        model = getattr(settings.models, name)
        shapes[name] = model.shape
        try:
            found = shape_in_files(model, name, settings.results)
        except UserError as error:
            lines.append(str(error))
            continue
        if found:
            shapes[name], path = found
            wrong = differences(found[0], model.shape) if model.shape else []
            lines += [
                f"models.{name}.shape.{field}: found {given}; {path} has {true}"
                for field, true, given in wrong
            ]
    return shapes, lines


# --------------------------------------------------------------------------- single values


def _reserved(settings: Settings) -> Iterator[str]:
    """Values that are worked out from elsewhere, and given all the same."""
    programs: dict[str, Overrides] = dict(settings.nemo.overrides)
    for name, overrides in programs.items():
        given = {key.lstrip("+~"): value for key, value in overrides.items() if value is not None}
        for key in ("trainer.devices", "trainer.num_nodes"):
            if key in given:
                yield (
                    f"nemo.overrides.{name}: {key}: found {given[key]}; accepted: none, it comes "
                    "from the profile (resources nodes, and gres or processes)"
                )
        for key in (key for key in given if key.startswith("model.data.chat_prompt_tokens.")):
            yield (
                f"nemo.overrides.{name}: {key}: found {given[key]!r}; accepted: none, it comes "
                "from models.base.template"
            )


def _unreadable(sizing: Sizing) -> Iterator[str]:
    """Values that should be whole numbers above 0, and are not."""
    for key in BATCHES[sizing.program]:
        if sizing.values.whole(key) is None:
            found = sizing.values.get(key)
            yield sizing.line(key, repr(found), "a whole number above 0")
    for key in (sizing.prefix + name for name in (*PARALLEL, CONTEXT, EXPERT)):
        found = sizing.values.get(key)
        if found is not None and sizing.values.whole(key) is None:
            yield sizing.line(key, repr(found), "a whole number above 0")


# --------------------------------------------------------------------------- ranks and shape


def _ranks(sizing: Sizing) -> Iterator[str]:
    ranks, model_ranks = sizing.launch.ranks, sizing.model_ranks
    sizes = [sizing.tensor, sizing.pipeline, *([sizing.context] if sizing.context > 1 else [])]
    keys = [sizing.prefix + key for key in (*PARALLEL, CONTEXT)[: len(sizes)]]
    product = " x ".join(f"{key} {n}" for key, n in zip(keys, sizes, strict=True))
    told = f"{sizing.field}: {product} = {model_ranks}; accepted:"
    # megatron_gpt_eval.py: one copy of the model, on all of the job's ranks
    if sizing.program in SERVERS and ranks != model_ranks:
        yield f"{told} {ranks}, all that the job has ({sizing.place})"
    # megatron.core.parallel_state.initialize_model_parallel
    if sizing.program not in SERVERS and ranks % model_ranks:
        yield f"{told} a divisor of {ranks} ({sizing.place})"


def _divisions(sizing: Sizing, shape: ModelShape) -> Iterator[str]:
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
    stages = sizing.pipeline * (sizing.values.whole(f"{sizing.prefix}{VIRTUAL}") or 1)
    uneven = "model.first_pipeline_num_layers", "model.last_pipeline_num_layers"
    if shape.layers % stages and not any(sizing.values.get(key) for key in uneven):
        yield sizing.line(
            f"{sizing.prefix}pipeline_model_parallel_size",
            sizing.pipeline,
            f"a divisor of {shape.layers}, the layers of models.{sizing.model}",
        )


VIRTUAL = "virtual_pipeline_model_parallel_size"


def _options(sizing: Sizing) -> Iterator[str]:
    """Options that NeMo-Aligner or Megatron core refuse with the others."""
    values, prefix = sizing.values, sizing.prefix
    virtual = values.get(f"{prefix}{VIRTUAL}")
    if virtual not in (None, 1):
        # nemo_aligner.utils.utils: "incompatible with virtual pipeline parallel"
        yield sizing.line(f"{prefix}{VIRTUAL}", virtual, "null, NeMo-Aligner has none")
    experts = values.get(f"{prefix}{EXPERT}")
    if experts not in (None, 1):
        yield sizing.line(f"{prefix}{EXPERT}", experts, "1, these models have no experts")
    if sizing.program not in TRAINED:
        return
    yield from _recomputation(sizing)
    length = sizing.size("model.encoder_seq_length")
    if sizing.context > 1 and length % (2 * sizing.context):
        yield sizing.line(
            "model.encoder_seq_length",
            length,
            f"multiples of {2 * sizing.context} = 2 x model.{CONTEXT} {sizing.context}",
        )


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


# --------------------------------------------------------------------------- batches


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


def _batches(settings: Settings, sizing: Sizing, launches: Launches) -> Iterator[str]:
    if sizing.launch.ranks % sizing.model_ranks:
        return  # there is no data parallel size; told by _ranks
    lines = list(BATCH_RULES[sizing.program](sizing)) if sizing.program in BATCH_RULES else []
    if lines and sizing.program in ("critic", "actor"):
        lines[-1] += _hint(settings, launches)
    yield from lines
    yield from _intervals(sizing)


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
    resharded = all(values.get(f"trainer.ppo.trt_llm.{key}") for key in ("enable", "reshard"))
    generating = sizing.data * sizing.pipeline if resharded else sizing.data
    told: set[tuple[int, int]] = set()
    for samples, micro in (
        ("model.ppo.num_rollout_samples", "model.ppo.rollout_micro_batch_size"),
        ("model.ppo.num_val_samples", "model.ppo.val_rollout_micro_batch_size"),
    ):
        if (same := (sizing.size(samples), sizing.size(micro))) in told:
            continue  # by default validation has the sizes of training
        told.add(same)
        # compute_num_rollout_microbatches; get_inference_log_probs divides a rank's share
        yield from _multiple(sizing, samples, [micro], data=generating) or _multiple(
            sizing, samples, ["model.ppo.forward_micro_batch_size"]
        )
    # PPOTrainer.fit divides a rank's rollouts by a rank's part of a training batch
    rollouts, batch = sizing.size("model.ppo.num_rollout_samples"), sizing.size(train)
    if rollouts % batch:
        accepted = f"multiples of {train} {batch}"
        yield sizing.line("model.ppo.num_rollout_samples", rollouts, accepted)


BATCH_RULES: dict[Program, Callable[[Sizing], Iterator[str]]] = {
    "sft": _sft,
    "reward_model": _reward_model,
    "critic": _critic,
    "actor": _actor,
}


def _hint(settings: Settings, launches: Launches) -> str:
    """Other shares of PPO's nodes with which its batches come out as they are."""
    if not {"critic", "actor"} <= set(launches):
        return ""
    name = "critic_nodes" if launches["actor"].first_node else "critic_gpus"
    shares = " or ".join(map(str, fitting_shares(settings, launches)))
    return f"; or {name} {shares}" if shares else ""


def fitting_shares(settings: Settings, launches: Launches) -> list[int]:
    """The critic's shares of PPO's allocation with which all batches of PPO come out.

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
    for program, launch in (("critic", critic), ("actor", actor)):
        sizing = Sizing(program, (program,), launch, Values(settings, program, launch))
        if any(_ranks(sizing)) or any(BATCH_RULES[program](sizing)):
            return False
    return True


def _intervals(sizing: Sizing) -> Iterator[str]:
    """Function check_progress, after the first step: each save needs a validation."""
    part = {"sft": "sft", "reward_model": "rm", "actor": "ppo"}.get(sizing.program)
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


# --------------------------------------------------------------------------- lengths and ends


def _contexts(settings: Settings, name: str, shape: ModelShape) -> Iterator[str]:
    lengths = settings.lengths
    limits = (
        [("sft", lengths.sft, shape.context), ("rl", lengths.rl, shape.context)]
        if name == "base"
        else [("context", lengths.context, shape.served)]  # clip_max_len cuts what is longer
    )
    for field, found, most in limits:
        if found > most:
            accepted = f"up to {most}, which models.{name} takes"
            yield f"lengths.{field}: found {found}; accepted: {accepted}"


def _answers(settings: Settings) -> Iterator[str]:
    """Answers that leave no room for a prompt in what their server takes."""
    lengths, supervised = settings.lengths, settings.supervised
    sampled = [
        ("supervised.critique", supervised.critique, ("context",)),
        ("supervised.revision", supervised.revision, ("context",)),
        ("preferences.candidate", settings.preferences.candidate, ("sft", "rl")),
        ("evaluation.answer", settings.evaluation.answer, ("context", "sft", "rl")),
    ]
    for field, sampling, names in sampled:
        most, name = min((getattr(lengths, name), name) for name in names)
        if sampling.max_tokens >= most:
            yield (
                f"{field}.max_tokens: found {sampling.max_tokens}; accepted: less than "
                f"lengths.{name} ({most}), which holds the prompt too"
            )


def _lengths(settings: Settings, programs: Mapping[Program, Sizing]) -> Iterator[str]:
    """Overrides of lengths that disagree with the data that is cut by ``lengths``."""
    lengths = settings.lengths
    for program, key, least, what in (
        ("sft", "model.data.train_ds.max_seq_length", lengths.sft, "lengths.sft"),
        ("reward_model", "model.data.seq_length", lengths.rl, "lengths.rl"),
    ):
        sizing = programs.get(program)
        if not sizing:
            continue
        found, most = sizing.size(key), sizing.size("model.encoder_seq_length")
        if not least <= found <= most:
            yield sizing.line(key, found, f"from {what} {least} to model.encoder_seq_length {most}")
    if "actor" in programs:
        yield from _rollouts(settings, programs["actor"], programs.get("critic"))


def _rollouts(settings: Settings, actor: Sizing, critic: Sizing | None) -> Iterator[str]:
    prompt, values = prompt_length(settings), actor.values
    answer = actor.size("model.ppo.length_params.max_length")
    if actor.size("model.data.seq_length") // 2 < prompt:  # RLHFDataset
        yield actor.line(
            "model.data.seq_length",
            actor.size("model.data.seq_length"),
            f"at least {2 * prompt}: prompts have up to {prompt} tokens, and longer ones than half "
            "of it are replaced",
        )
    needed = f"at least {prompt + answer}: a prompt of {prompt} tokens and an answer of {answer}"
    for key in ("model.encoder_seq_length", "remote_critic_rm.pad_to_length"):
        found = values.get(key)  # clip_max_len; RemoteGPTRMCriticClient.infer_rm_critic
        if isinstance(found, int) and found < prompt + answer:
            yield actor.line(key, found, needed)
    if values.get("trainer.ppo.trt_llm.enable"):
        most = values.get("trainer.ppo.trt_llm.max_input_len")
        if isinstance(most, int) and most < prompt:
            key = "trainer.ppo.trt_llm.max_input_len"
            yield actor.line(key, most, f"at least {prompt}, the longest prompt")
    padded = values.get("remote_critic_rm.pad_to_length")
    room = critic.size("model.encoder_seq_length") if critic else padded
    if isinstance(padded, int) and padded > room:
        key = "remote_critic_rm.pad_to_length"
        yield actor.line(key, padded, f"up to the critic's model.encoder_seq_length {room}")
    combined = "combine_rm_and_critic_server"
    for sizing, key in (
        (actor, f"remote_critic_rm.{combined}"),
        (critic, f"trainer.ppo.{combined}"),
    ):
        if sizing and sizing.values.get(key) is not True:
            found = sizing.values.get(key)
            yield sizing.line(key, found, "true: one server has both, no other is started")


def _templates(settings: Settings) -> Iterator[str]:
    """Turns end in generation where they end in training, else answers run on."""
    for name in ("base", "instruct"):
        template: Template = getattr(settings.models, name).template
        if template.close and not _stops(template.stop, template):
            yield (
                f"models.{name}.template.stop: found {template.stop}; accepted: a list with "
                f"{template.close!r}, in which a turn ends (close)"
            )
    actor = Values(settings, "actor")
    key, template = "model.ppo.sampling_params.end_strings", settings.models.base.template
    ends = actor.get(key)
    if not (isinstance(ends, list) and _stops(ends, template)):
        yield (
            f"nemo.overrides.actor: {key}: found {ends}; accepted: a list with {template.close!r}, "
            "in which a turn ends (models.base.template.close)"
        )


def _stops(stop: Iterable[object], template: Template) -> bool:
    return any(isinstance(text, str) and text and text in template.close for text in stop)


# --------------------------------------------------------------------------- what is worth a word


def _wasteful(sizing: Sizing) -> Iterator[str]:
    if sizing.tensor > sizing.launch.devices and sizing.launch.nodes > 1:
        yield (
            f"{sizing.field}: {sizing.prefix}tensor_model_parallel_size "
            f"{sizing.tensor} spans nodes of {sizing.launch.devices} GPUs, which is slow: more "
            "pipeline parallelism keeps it within one"
        )


def _waits(found: Iterable[Sizing]) -> Iterator[str]:
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
