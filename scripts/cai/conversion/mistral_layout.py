"""Mistral and Llama decoders in two notations: Hugging Face's and NeMo's (Megatron core).

Shapes: L layers, H hidden size, F feed-forward size, V vocabulary, d head size, nq query heads,
nkv key/value heads (query groups). Megatron core stacks the layers on a new first dimension and
fuses q, k, v into ``linear_qkv`` ((nq + 2 nkv) d rows: for each group its q heads, its k, its v)
and gate, up into ``linear_fc1`` (2F rows). It is the same arithmetic, so weights move bit for bit.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from cai.core.errors import UserError, fail_if
from cai.models.hf_config import check_hf_config

MOST_LAYERS = 10_000
LAYER_FIELDS = ("num_hidden_layers", "num_layers")
MOST_SIZE = 2**40
ROPE_THETA = 10000.0  # where a config.json names none
MODELS = "nemo.collections.nlp.models.language_modeling"
LAYERS = "model.decoder.layers."
EMBEDDING = "model.embedding.word_embeddings.weight"
FINAL_NORM = "model.decoder.final_layernorm.weight"
OUTPUT = "model.output_layer.weight"
QKV = LAYERS + "self_attention.linear_qkv.weight"
INPUT_NORM = LAYERS + "self_attention.linear_qkv.layer_norm_weight"
PROJ = LAYERS + "self_attention.linear_proj.weight"
POST_NORM = LAYERS + "mlp.linear_fc1.layer_norm_weight"
FC1 = LAYERS + "mlp.linear_fc1.weight"
FC2 = LAYERS + "mlp.linear_fc2.weight"
# Modules of Transformer Engine whose (empty) FP8 state a GPU asks the checkpoint for.
LAYER_STATES = tuple(
    f"{LAYERS}{module}._extra_state"
    for module in (
        "self_attention.core_attention",
        "self_attention.linear_qkv",
        "self_attention.linear_proj",
        "mlp.linear_fc1",
        "mlp.linear_fc2",
    )
)
FINAL_NORM_STATE = "model.decoder.final_layernorm._extra_state"


@dataclass(frozen=True)
class Shape:
    """The sizes that fix every tensor's shape."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool

    @classmethod
    def from_hf(cls, config: dict[str, Any], where: str) -> "Shape":
        """The shape a config.json describes (``where`` names it in errors)."""
        _check_numbers(config, where)
        heads = _need(config, "num_attention_heads", where)
        hidden = _need(config, "hidden_size", where)
        return cls(
            layers=_need(config, "num_hidden_layers", where),
            hidden=hidden,
            ffn=_need(config, "intermediate_size", where),
            heads=heads,
            kv_heads=_kv_heads(config, "num_key_value_heads", heads, where),
            head_dim=_head_dim(config, "head_dim", heads, where),
            vocab=_need(config, "vocab_size", where),
            tied=_flag(config, "tie_word_embeddings", False, where),
        )

    @classmethod
    def from_nemo(cls, config: dict[str, Any], vocab: int, where: str) -> "Shape":
        """The shape a model_config.yaml describes; the vocabulary is only in the weights."""
        heads = _need(config, "num_attention_heads", where)
        hidden = _need(config, "hidden_size", where)
        return cls(
            layers=_need(config, "num_layers", where),
            hidden=hidden,
            ffn=_need(config, "ffn_hidden_size", where),
            heads=heads,
            kv_heads=_kv_heads(config, "num_query_groups", heads, where),
            head_dim=_head_dim(config, "kv_channels", heads, where),
            vocab=vocab,
            tied=_flag(config, "share_embeddings_and_output_weights", True, where),
        )

    @property
    def query_rows(self) -> int:
        """Rows of q_proj: nq d."""
        return self.heads * self.head_dim

    @property
    def kv_rows(self) -> int:
        """Rows of k_proj and of v_proj: nkv d."""
        return self.kv_heads * self.head_dim

    def nemo_shapes(self) -> dict[str, tuple[int, ...]]:
        """The global shape of each NeMo tensor."""
        layers, hidden = self.layers, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            EMBEDDING: (self.vocab, hidden),
            INPUT_NORM: (layers, hidden),
            QKV: (layers, self.query_rows + 2 * self.kv_rows, hidden),
            PROJ: (layers, hidden, self.query_rows),
            POST_NORM: (layers, hidden),
            FC1: (layers, 2 * self.ffn, hidden),
            FC2: (layers, hidden, self.ffn),
            FINAL_NORM: (hidden,),
        }
        return shapes if self.tied else shapes | {OUTPUT: (self.vocab, hidden)}

    def hf_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each Hugging Face tensor, in the order of the model."""
        vocabulary = (self.vocab, self.hidden)
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": vocabulary}
        for layer in range(self.layers):
            names = LayerNames.of(layer)
            shapes |= {
                names.q: (self.query_rows, self.hidden),
                names.k: (self.kv_rows, self.hidden),
                names.v: (self.kv_rows, self.hidden),
                names.o: (self.hidden, self.query_rows),
                names.gate: (self.ffn, self.hidden),
                names.up: (self.ffn, self.hidden),
                names.down: (self.hidden, self.ffn),
                names.input_norm: (self.hidden,),
                names.post_norm: (self.hidden,),
            }
        shapes["model.norm.weight"] = (self.hidden,)
        return shapes if self.tied else shapes | {"lm_head.weight": vocabulary}


@dataclass(frozen=True)
class LayerNames:
    """Hugging Face's names of one layer's tensors."""

    q: str
    k: str
    v: str
    o: str
    gate: str
    up: str
    down: str
    input_norm: str
    post_norm: str

    @classmethod
    def of(cls, layer: int) -> "LayerNames":
        """The names in layer ``layer``, counted from 0."""
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        return cls(
            q=f"{attention}.q_proj.weight",
            k=f"{attention}.k_proj.weight",
            v=f"{attention}.v_proj.weight",
            o=f"{attention}.o_proj.weight",
            gate=f"{mlp}.gate_proj.weight",
            up=f"{mlp}.up_proj.weight",
            down=f"{mlp}.down_proj.weight",
            input_norm=f"model.layers.{layer}.input_layernorm.weight",
            post_norm=f"model.layers.{layer}.post_attention_layernorm.weight",
        )


def fuse_qkv(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Interleave q [nq d, H], k and v [nkv d, H] by group into [(nq + 2 nkv) d, H]."""
    hidden = q.shape[-1]
    groups = [part.view(kv_heads, -1, hidden) for part in (q, k, v)]
    return torch.cat(groups, dim=1).view(-1, hidden)


def split_qkv(qkv: torch.Tensor, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The inverse of :func:`fuse_qkv`: q [nq d, H], k and v [nkv d, H]."""
    groups = qkv.view(shape.kv_heads, -1, shape.hidden)
    rows = [shape.query_rows // shape.kv_heads, shape.head_dim, shape.head_dim]
    q, k, v = (part.reshape(-1, shape.hidden) for part in groups.split(rows, dim=1))
    return q, k, v


def _need(config: dict[str, Any], field: str, where: str) -> int:
    value = config.get(field)
    most = MOST_LAYERS if field in LAYER_FIELDS else MOST_SIZE
    if type(value) is not int or not 0 < value <= most:
        bound = f", up to {most}" if type(value) is int and value > most else ""
        raise UserError(
            f"{where}: {field}: found {value!r:.100}; accepted: a whole number above 0{bound}"
        )
    return value


def _number(config: dict[str, Any], field: str, default: float | None, where: str) -> None:
    """Refuse a field that is no finite number above 0."""
    value: Any = config.get(field, default)
    fail_if(
        type(value) not in (int, float) or not 0 < value < float("inf"),
        f"{where}: {field}: found {value!r:.100}; accepted: a number above 0",
    )


def _flag(config: dict[str, Any], field: str, default: bool, where: str) -> bool:
    value = config.get(field, default)
    if not isinstance(value, bool):
        raise UserError(f"{where}: {field}: found {value!r:.100}; accepted: true or false")
    return value


def _head_dim(config: dict[str, Any], field: str, heads: int, where: str) -> int:
    if config.get(field) is not None:
        return _need(config, field, where)
    hidden: int = config["hidden_size"]
    fail_if(
        hidden % heads,
        f"{where}: hidden_size: found {hidden}; accepted: a multiple of {heads} heads",
    )
    return hidden // heads


def _kv_heads(config: dict[str, Any], field: str, heads: int, where: str) -> int:
    value = heads if config.get(field) is None else _need(config, field, where)
    fail_if(heads % value, f"{where}: {field}: found {value}; accepted: a divisor of {heads} heads")
    return value


def _check_numbers(config: dict[str, Any], where: str) -> None:
    """Refuse a config.json whose other numbers are not numbers, or not those of a model."""
    rope = config.get("rope_parameters") or {}
    fail_if(not isinstance(rope, dict), f"{where}: rope_parameters: found {rope!r:.100}")
    base = rope.get("rope_theta", config.get("rope_theta", ROPE_THETA))
    _number({"rope_theta": base}, "rope_theta", None, where)
    _number(config, "rms_norm_eps", 1e-6, where)
    _number(config, "initializer_range", 0.02, where)
    for field in ("max_position_embeddings", "sliding_window"):
        if config.get(field) is not None:
            _need(config, field, where)


# --------------------------------------------------------------------------- configs


def rope_theta(config: dict[str, Any]) -> float:
    """The rotary base; transformers 5 keeps it in ``rope_parameters``."""
    rope = config.get("rope_parameters") or {}
    return float(rope.get("rope_theta", config.get("rope_theta", ROPE_THETA)))


def vocabulary_divisor(pieces: int, rows: int) -> int:
    """The divisor with which NeMo pads a tokenizer of ``pieces`` to exactly ``rows`` embeddings.

    NeMo pads to a multiple of divisor x tensor parallel size, and recent torch refuses a checkpoint
    with any other number of rows. So: the smallest divisor that works at tensor parallel size 8,
    else 4, 2, 1. (The customary 128 turns Mistral's 32000 into 32256 at size 4.)
    """
    return next(
        divisor
        for parallel in (8, 4, 2, 1)
        for divisor in range(rows - pieces + 1, rows + 1)
        if rows % (divisor * parallel) == 0
    )


# Parts of model_config.yaml that are the same for every model, in the order in which they stand.
ON_ONE_DEVICE: dict[str, Any] = {
    "mcore_gpt": True,
    "transformer_engine": True,
    "micro_batch_size": 1,
    "global_batch_size": 1,
    "tensor_model_parallel_size": 1,
    "pipeline_model_parallel_size": 1,
    "virtual_pipeline_model_parallel_size": None,
    "sequence_parallel": False,
}
RUNNING: dict[str, Any] = {
    "megatron_amp_O2": False,
    "native_amp_init_scale": 2**32,
    "native_amp_growth_interval": 1000,
    "hysteresis": 2,
    "fp32_residual_connection": False,
    "fp16_lm_cross_entropy": False,
    "gradient_accumulation_fusion": False,
    "grad_allreduce_chunk_size_mb": 125,
    "grad_div_ar_fusion": True,
    "gradient_as_bucket_view": True,
    "sync_batch_comm": False,
    "overlap_p2p_comm": False,
    "batch_p2p_comm": True,
    "bias_activation_fusion": False,
    "bias_dropout_add_fusion": False,
    "masked_softmax_fusion": True,
    "get_attention_mask_from_fusion": True,
    "apply_rope_fusion": False,
    "activations_checkpoint_granularity": None,
    "activations_checkpoint_method": None,
    "activations_checkpoint_num_layers": None,
    "num_micro_batches_with_partial_activation_checkpoints": None,
    "activations_checkpoint_layers_per_pipeline": None,
    "fp8": False,
    "seed": 1234,
    "resume_from_checkpoint": None,
    "restore_from_path": None,
    "use_cpu_initialization": False,
    "perform_initialization": True,
    "apex_transformer_log_level": 30,
    "onnx_safe": False,
}
TRAINING: dict[str, Any] = {
    "optim": {
        "name": "fused_adam",
        "lr": 2e-4,
        "weight_decay": 0.01,
        "betas": [0.9, 0.98],
        "sched": {
            "name": "CosineAnnealing",
            "warmup_steps": 500,
            "constant_steps": 0,
            "min_lr": 2e-5,
        },
    },
    "target": f"{MODELS}.megatron_gpt_model.MegatronGPTModel",
    "nemo_version": "2.1.0",
}


def nemo_config(
    config: dict[str, Any], shape: Shape, tokenizer: str, pieces: int, precision: int | str
) -> dict[str, Any]:
    """The model_config.yaml for a Hugging Face config.

    ``megatron_amp_O2`` is False: NeMo then runs the archive at ``precision=32`` and at bf16, on a
    CPU and on a GPU, and SFT, reward model, PPO and the server take the setting from their own
    command line (``megatron_amp_O2=True`` halves the memory with bf16 on a GPU). True, as
    upstream's converter writes it, cannot be overridden by the server and fails there in 32 bits.
    """
    sizes = _sizes(config, shape)
    return {
        **ON_ONE_DEVICE,
        **sizes,
        **_arithmetic(config, shape, pieces),
        "tokenizer": _tokenizer(tokenizer),
        "precision": precision,
        **RUNNING,
        "data": {"seq_length": sizes["encoder_seq_length"], "data_impl": "mmap"},
        **TRAINING,
    }


def _sizes(config: dict[str, Any], shape: Shape) -> dict[str, Any]:
    window = config.get("sliding_window")
    positions = _need(config, "max_position_embeddings", "config.json")
    attention_window = {"window_size": [window, 0]} if window else {}
    return {
        "encoder_seq_length": min(window or positions, positions),
        "max_position_embeddings": positions,
        "num_layers": shape.layers,
        "hidden_size": shape.hidden,
        "ffn_hidden_size": shape.ffn,
        "num_attention_heads": shape.heads,
        "num_query_groups": shape.kv_heads,
        "kv_channels": shape.head_dim,
        **attention_window,
    }


def _arithmetic(config: dict[str, Any], shape: Shape, pieces: int) -> dict[str, Any]:
    return {
        "init_method_std": config.get("initializer_range", 0.02),
        "use_scaled_init_method": True,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "ffn_dropout": 0.0,
        "normalization": "rmsnorm",
        "layernorm_epsilon": config.get("rms_norm_eps", 1e-6),
        "persist_layer_norm": True,
        "bias": False,
        "activation": "fast-swiglu",
        "transformer_block_type": "pre_ln",
        "position_embedding_type": "rope",
        "rotary_percentage": 1.0,
        "rotary_base": rope_theta(config),
        "apply_query_key_layer_scaling": False,
        "share_embeddings_and_output_weights": shape.tied,
        "make_vocab_size_divisible_by": vocabulary_divisor(pieces, shape.vocab),
        "pre_process": True,
        "post_process": True,
    }


def _tokenizer(name: str) -> dict[str, Any]:
    return {
        "library": "sentencepiece",
        "type": None,
        "model": f"nemo:{name}",
        "vocab_file": None,
        "merge_file": None,
        "delimiter": None,
        "sentencepiece_legacy": False,
    }


def check_nemo_config(config: dict[str, Any], where: str) -> None:
    """Refuse an archive whose model is no Mistral or Llama decoder."""
    accepted = {
        "mcore_gpt": (True,),
        "activation": ("fast-swiglu",),
        "normalization": ("rmsnorm", "RMSNorm"),
        "position_embedding_type": ("rope",),
        "bias": (False,),
    }
    for field, values in accepted.items():
        found = config.get(field)
        fail_if(
            found not in values,
            f"{where}: {field}: found {found!r}; accepted: {', '.join(map(repr, values))}",
        )
    fields = ("num_moe_experts", "seq_len_interpolation_factor", "scale_positional_embedding")
    for field in fields:
        found = config.get(field)
        fail_if(found, f"{where}: {field}: found {found!r:.100}; accepted: none")
    _need(config, "max_position_embeddings", where)
    _number(config, "layernorm_epsilon", None, where)
    _number(config, "rotary_base", None, where)
    window = config.get("window_size")
    fail_if(
        window is not None and not (isinstance(window, list) and window and type(window[0]) is int),
        f"{where}: window_size: found {window!r:.100}; accepted: none or two whole numbers",
    )


def hf_config(
    config: dict[str, Any], shape: Shape, template: dict[str, Any] | None, where: str
) -> dict[str, Any]:
    """The config.json for a NeMo config: the template's fields, the archive's sizes.

    Without a template the model is called Mistral, whose arithmetic is also Llama's. Raises
    :class:`cai.core.errors.UserError` if the template (named by ``where``) has other sizes.
    """
    if template is not None:
        _check_template(template, shape, where)
    window = config.get("window_size")
    values = {
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": config["max_position_embeddings"],
        "rms_norm_eps": config["layernorm_epsilon"],
        "initializer_range": config.get("init_method_std", 0.02),
        "tie_word_embeddings": shape.tied,
    }
    if template is None or template["model_type"] == "mistral":
        values["sliding_window"] = window[0] if window else None
    if template is not None and "rope_parameters" in template:
        rope = template["rope_parameters"] | {"rope_theta": float(config["rotary_base"])}
        return template | values | {"rope_parameters": rope}
    base = template or {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "use_cache": True,
    }
    return base | values | {"rope_theta": float(config["rotary_base"])}


def _check_template(template: dict[str, Any], shape: Shape, where: str) -> None:
    check_hf_config(template, where)
    own, other = asdict(shape), asdict(Shape.from_hf(template, where))
    for field, value in own.items():
        if other[field] != value:
            raise UserError(f"{where}: {field}: found {other[field]}; the archive has {value}")
