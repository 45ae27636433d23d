"""The memory of one GPU that each stage needs, estimated before it runs.

Letters: L layers, H hidden, F feed-forward width, V vocabulary, q and k the widths of all query and
of all key heads, T, P, C, D tensor, pipeline, context and data parallel size, s tokens of a
sequence, b sequences of a micro batch, N parameters of the largest pipeline stage on one GPU:

    N = L/P ((2 q + 2 k + 3 F) H / T + 2 H) + embedding V H / T + output V H / T + final norm H

(the embedding is on the first stage, the rest on the last; a reward model's head is H + 1 in place
of the output layer). In bytes, w of a weight is 2 with ``megatron_amp_O2`` in 16 bits, else 4:

- weights w N;
- gradients 4 N: NeMo's distributed Adam keeps them in one buffer of 32 bits (2 N with
  ``optim.grad_sync_dtype`` in 16 bits); other optimisers with O2 have 2 N beside it;
- Adam's states: two moments of 32 bits and the rest of a master weight of 32 bits, which is 2 bytes
  beside bf16 weights, 4 beside fp16 ones, none beside 32 bits. The distributed Adam divides this
  by D; others do not, and have the whole master weight.

These three are exact, up to the padding of buffers. What follows is an estimate:

- activations of training, s b L/P bytes times the micro batches in flight (P on the first stage):
  8 H + (4 q + 4 k + 6 F) / T a layer, by the count of Korthikanti et al. 2022 ("Reducing Activation
  Recomputation in Large Transformer Models", section 4) for grouped queries, a gated feed-forward
  and no dropout. With sequence parallelism 8 H is divided by T too. Core attention is counted as
  flash attention, which keeps nothing of size s x s: selective recomputation then saves nothing.
  With full recomputation 2 H a chunk of layers remain, and one chunk's activations;
- activations without gradients: 4 H + 6 F / T, those of one feed-forward layer, the widest point;
- logits: 2 bytes in 16 bits, 4 for the loss's copy of them; log-probabilities of the actor and of
  DPO keep two such copies; a prompt's logits for generation are 2, and log-probabilities gather
  them over T and copy them once;
- the cache of keys and values: 4 k / T bytes a token and layer.

Not counted: communication buffers, the CUDA context, fragmentation, LoRA's adapters, caches of
TensorRT-LLM. So a stage is refused only by what is exact.
"""

from dataclasses import dataclass

from cai.checks import lora
from cai.checks.rule_kinds import kind_of
from cai.checks.stage_sizes import Sizing
from cai.models.shape import ModelShape
from cai.nemo.keys import TRT_LLM
from cai.running.launch import Launch
from cai.settings.configuration import Settings

GB = 2**30
FULL = 0.9  # of a GPU's memory: an estimate above it is a warning
Parts = dict[str, int]


@dataclass(frozen=True)
class MemoryNeed:
    """The memory of one GPU, and of one node, in bytes.

    Attributes:
        exact: weights, gradients, optimizer: what training cannot do without.
        phases: what is on the GPU at once, by phase of the stage and by part.
        host: what is kept in a node's memory.
        given: of the GPU.
    """

    exact: Parts
    phases: dict[str, Parts]
    host: Parts
    given: int

    @property
    def peak(self) -> tuple[str, Parts]:
        """The phase that takes most, and its parts."""
        return max(self.phases.items(), key=lambda item: sum(item[1].values()))

    @property
    def total(self) -> int:
        """The most that is on the GPU at once."""
        return sum(self.peak[1].values())


def estimate(settings: Settings, sizing: Sizing, shape: ModelShape, stage: str) -> MemoryNeed:
    """The memory that a stage takes with these sizes (formulas: see the module)."""
    given = sizing.launch.gpu_memory * GB
    if sizing.program in ("server", "instruct_server"):
        parts = _served(settings, sizing, shape, judged=kind_of(stage).what == "judging")
        return MemoryNeed({"weights": parts["weights"]}, {"serving": parts}, {}, given)
    if sizing.program == "reward_server":
        weights = _weights(sizing, shape)
        tokens = sizing.size("model.forward_micro_batch_size") * _length(sizing)
        parts = {"weights": weights, "activations": tokens * _inference(sizing, shape)}
        return MemoryNeed({"weights": weights}, {"serving": parts}, {}, given)
    exact = {
        "weights": _weights(sizing, shape),
        "gradients": _gradients(sizing, shape),
        "optimizer": _optimizer(sizing, shape),
    }
    phases = {"training": exact | _training(sizing, shape)}
    offloaded = sizing.values.get(OFFLOAD.get(sizing.program, "")) and _is_distributed(sizing)
    idle = {name: size for name, size in exact.items() if name != "optimizer" or not offloaded}
    if sizing.program == "actor":
        phases |= {name: idle | parts for name, parts in _rollouts(sizing, shape).items()}
    if sizing.program == "critic":
        tokens = sizing.size("model.forward_micro_batch_size") * _length(sizing)
        phases["inference"] = idle | {"activations": tokens * _inference(sizing, shape)}
    if sizing.program == "dpo":  # the reference's log-probabilities, of both texts of a pair
        micro = 2 * sizing.size("model.dpo.log_prob_forward_micro_batch_size")
        phases["reference"] = exact | _scoring(sizing, shape, micro * _length(sizing))
    host = _host(sizing, exact, bool(offloaded))
    return MemoryNeed(exact, phases, host, given)


OFFLOAD = {"actor": "model.ppo.offload_adam_states", "critic": "model.offload_adam_states"}


def parameters(sizing: Sizing, shape: ModelShape) -> int:
    """N: the parameters of the largest pipeline stage on one GPU."""
    query, keys = _widths(shape)
    layer = (2 * query + 2 * keys + 3 * shape.ffn) * shape.hidden // sizing.tensor
    layers = -(-shape.layers // sizing.pipeline) * (layer + 2 * shape.hidden)
    table = shape.vocab * shape.hidden // sizing.tensor
    is_scalar = sizing.program in ("reward_model", "critic", "reward_server")
    output = shape.hidden + 1 if is_scalar else table
    if sizing.pipeline == 1:
        return layers + table + output + shape.hidden
    return layers + max(table, output + shape.hidden)


def _widths(shape: ModelShape) -> tuple[int, int]:
    """Of all query heads, of all key heads (and of all value heads)."""
    return shape.heads * shape.head_width, shape.kv_heads * shape.head_width


# --------------------------------------------------------------------------- exact


def _weight_bytes(sizing: Sizing) -> int:
    """Bytes of a weight on the GPU; servers heed O2 only with bf16."""
    serves = sizing.program in ("server", "instruct_server", "reward_server")
    half = _is_bf16(sizing) if serves else _is_half(sizing)
    return 2 if half and sizing.values.get(f"{sizing.prefix}megatron_amp_O2") else 4


def _is_bf16(sizing: Sizing) -> bool:
    return str(sizing.values.get("trainer.precision")).startswith("bf16")


def _is_half(sizing: Sizing) -> bool:
    return _is_bf16(sizing) or str(sizing.values.get("trainer.precision")).startswith("16")


def _is_distributed(sizing: Sizing) -> bool:
    name = sizing.values.get("model.optim.name")
    return name in ("distributed_fused_adam", "mcore_distributed_optim")


def _weights(sizing: Sizing, shape: ModelShape) -> int:
    return _weight_bytes(sizing) * parameters(sizing, shape)


def _gradients(sizing: Sizing, shape: ModelShape) -> int:
    if lora.trains_adapters(sizing.values):
        return 0
    reduced = str(sizing.values.get("model.optim.grad_sync_dtype")) in ("bf16", "bfloat16", "16")
    own = 2 if _weight_bytes(sizing) == 2 and not _is_distributed(sizing) else 0
    return (own + (2 if reduced else 4)) * parameters(sizing, shape)


def _optimizer(sizing: Sizing, shape: ModelShape) -> int:
    name = str(sizing.values.get("model.optim.name"))
    if lora.trains_adapters(sizing.values) or not ("adam" in name or _is_distributed(sizing)):
        return 0  # others than Adam are not counted
    remainder = 2 if _is_bf16(sizing) and name == "distributed_fused_adam" else 4
    master = remainder if _weight_bytes(sizing) == 2 else 0
    shards = sizing.data * sizing.context if _is_distributed(sizing) else 1
    return (8 + master) * parameters(sizing, shape) // shards


# --------------------------------------------------------------------------- estimates


def _length(sizing: Sizing) -> int:
    """s: tokens of the longest sequence, on one GPU; of the actor, of a prompt and its answer."""
    longest = sizing.size("model.encoder_seq_length")
    if sizing.program == "actor":
        answer = sizing.size("model.ppo.length_params.max_length")
        longest = min(longest, _prompt(sizing) + answer)
    return -(-longest // sizing.context)


def _prompt(sizing: Sizing) -> int:
    """Tokens of the longest prompt that the actor takes."""
    return max(1, sizing.size("model.data.seq_length") // 2)


def _training(sizing: Sizing, shape: ModelShape) -> Parts:
    """Activations and logits of the pipeline stage that has most of both."""
    batch, full = _micro_batches(sizing)
    tokens = batch * _length(sizing)
    layers = -(-shape.layers // sizing.pipeline)
    kept, working = _kept(sizing, shape, layers)
    first = tokens * (min(sizing.pipeline, full) * kept + working)
    logits = tokens * LOGITS.get(sizing.program, 0) * shape.vocab // sizing.tensor
    last = tokens * (kept + working)
    if sizing.pipeline == 1 or last + logits > first:
        return {"activations": last, "logits": logits}
    return {"activations": first}


PAIRED = ("reward_model", "dpo")
# bytes of each; the others have no output layer
LOGITS = {"sft": 2 + 4, "actor": 2 + 4 + 4, "dpo": 2 + 4 + 4}


def _micro_batches(sizing: Sizing) -> tuple[int, int]:
    """b, and the micro batches of a global batch on one GPU."""
    part = "model.data.train_ds." if sizing.program == "sft" else "model."
    micro, batch = (sizing.size(f"{part}{key}_batch_size") for key in ("micro", "global"))
    pair = 2 if sizing.program in PAIRED else 1  # chosen and rejected
    return pair * micro, max(1, batch // (micro * sizing.data))


def _kept(sizing: Sizing, shape: ModelShape, layers: int) -> tuple[int, int]:
    """Bytes a token: kept until the backward pass, and beside them while it runs."""
    query, keys = _widths(shape)
    parallel = sizing.tensor if sizing.values.get("model.sequence_parallel") else 1
    whole = 8 * shape.hidden // parallel + (4 * query + 4 * keys + 6 * shape.ffn) // sizing.tensor
    whole *= 1 if _is_half(sizing) else 2
    name = "model.activations_checkpoint_"
    if sizing.values.get(f"{name}granularity") != "full":
        return layers * whole, 0
    chunk = min(layers, sizing.values.whole(f"{name}num_layers", 1) or 1)
    inputs = (2 if _is_half(sizing) else 4) * shape.hidden
    if sizing.values.get(f"{name}method") == "block":
        return chunk * inputs + (layers - chunk) * whole, whole
    return -(-layers // chunk) * inputs, chunk * whole


def _inference(sizing: Sizing, shape: ModelShape) -> int:
    """Bytes a token of a forward pass without gradients."""
    size = 4 * shape.hidden + 6 * shape.ffn // sizing.tensor
    return size if _is_half(sizing) else 2 * size


def _cache(sizing: Sizing, shape: ModelShape) -> int:
    """Bytes a token of the cache of keys and values."""
    element = 2 if _is_half(sizing) else 4
    layers = -(-shape.layers // sizing.pipeline)
    return 2 * element * layers * _widths(shape)[1] // sizing.tensor


def _served(settings: Settings, sizing: Sizing, shape: ModelShape, *, judged: bool) -> Parts:
    """The generation server with a full batch of the longest prompts."""
    lengths, batch = settings.lengths, settings.client.batch_size
    longest = lengths.context if sizing.program == "instruct_server" else lengths.sft
    tokens = batch * longest
    logits = 2 * tokens * shape.vocab // sizing.tensor
    return {
        "weights": _weights(sizing, shape),
        "cache": tokens * _cache(sizing, shape),
        "activations": tokens * _inference(sizing, shape),
        "logits": logits + (4 * tokens * shape.vocab if judged else 0),
    }


def _rollouts(sizing: Sizing, shape: ModelShape) -> dict[str, Parts]:
    """What the actor has on the GPU beside its weights when it does not train."""
    prompt, longest = _prompt(sizing), _length(sizing)
    micro = sizing.size("model.ppo.rollout_micro_batch_size")
    rolling = {
        "cache": micro * longest * _cache(sizing, shape),
        "activations": micro * prompt * _inference(sizing, shape),
        "logits": 2 * micro * prompt * shape.vocab // sizing.tensor,
    }
    if sizing.values.get(f"{TRT_LLM}.enable"):
        stages = sizing.pipeline if sizing.values.get(f"{TRT_LLM}.reshard") else 1
        rolling["engine"] = 2 * stages * parameters(sizing, shape)
    tokens = sizing.size("model.ppo.forward_micro_batch_size") * longest
    return {"rollouts": rolling, "log-probabilities": _scoring(sizing, shape, tokens)}


def _scoring(sizing: Sizing, shape: ModelShape, tokens: int) -> Parts:
    """What log-probabilities of so many tokens take beside the weights."""
    return {
        "activations": tokens * _inference(sizing, shape),
        "logits": tokens * LOGITS[sizing.program] * shape.vocab // sizing.tensor,
    }


def _host(sizing: Sizing, exact: Parts, offloaded: bool) -> Parts:
    """What PPO's programs and DPO keep in a node's memory, for all of its GPUs."""
    devices = sizing.launch.devices
    if sizing.program not in (*OFFLOAD, "dpo"):
        return {}
    # The critic: its own weights and the reward model's, which it swaps. The actor: the reference
    # policy's, and its own while the reference is on the GPU; DPO the same.
    key = "model.dpo.ref" if sizing.program == "dpo" else "trainer.ppo.initial"
    penalty = sizing.values.get(f"{key}_policy_kl_penalty")
    swaps = bool(penalty) and not lora.trains_adapters(sizing.values)
    copies = 2 if sizing.program == "critic" or swaps else 0
    parts = {"copies of weights": copies * devices * exact["weights"]}
    return parts | ({"optimizer": devices * exact["optimizer"]} if offloaded else {})


# --------------------------------------------------------------------------- lines


def problem(found: MemoryNeed, sizing: Sizing, larger: int | None = None) -> str | None:
    """The line for a stage whose weights, gradients and optimizer do not fit.

    Args:
        found: what it takes.
        sizing: of its program.
        larger: a tensor parallel size with which all of it fits, if there is one.
    """
    if fits(found):
        return None
    accepted = f"{larger} (found {sizing.tensor}), or more GPUs" if larger else "more GPUs"
    key = f"{sizing.field}: {_tensor(sizing)}: " if larger else ""
    return (
        f"{sizing.place}: needs at least {gigabytes(sum(found.exact.values()))} GB a GPU "
        f"({_listed(found.exact)}), gpu_memory_gb is {sizing.launch.gpu_memory}; "
        f"accepted: {key}{accepted}"
    )


def fits(found: MemoryNeed) -> bool:
    """Whether what is exact has room."""
    return sum(found.exact.values()) <= found.given


def _tensor(sizing: Sizing) -> str:
    return sizing.values.settable(f"{sizing.prefix}tensor_model_parallel_size")


def warning(found: MemoryNeed, sizing: Sizing, stage: str) -> list[str]:
    """Lines for a stage that is estimated to fill its GPUs, or its nodes."""
    lines = []
    phase, parts = found.peak
    if found.total > FULL * found.given and fits(found):
        lines.append(
            f"{stage}: may need {gigabytes(found.total)} GB a GPU in {phase} ({_listed(parts)}), "
            f"gpu_memory_gb is {sizing.launch.gpu_memory}; {_cure(sizing, parts)}"
        )
    held, memory = sum(found.host.values()), _node_memory(sizing.launch)
    if memory and held > FULL * memory:
        lines.append(
            f"{stage}: keeps {gigabytes(held)} GB in a node's memory ({_listed(found.host)}), "
            f"mem_mb gives {gigabytes(memory)}"
        )
    return lines


def gigabytes(size: int) -> str:
    """A size as GB (2^30 bytes), as GPUs are sold."""
    return f"{size / GB:.1f}"


def _node_memory(launch: Launch) -> int:
    return (launch.mem_mb or 0) * 2**20


def _cure(sizing: Sizing, parts: Parts) -> str:
    if sizing.program in ("server", "instruct_server"):
        return "a smaller client.batch_size takes less"
    if parts.get("activations", 0) > parts.get("logits", 0) + parts.get("optimizer", 0):
        return f"{sizing.field}: a smaller micro batch or full recomputation takes less"
    return f"{sizing.field}: a larger {_tensor(sizing)} takes less"


def _listed(parts: Parts) -> str:
    return ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size)
