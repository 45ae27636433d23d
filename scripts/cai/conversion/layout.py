"""Decoders in two notations: Hugging Face's and NeMo's (Megatron core).

Shapes: L layers, H hidden size, F feed-forward size, V vocabulary, d head size, nq query heads,
nkv key/value heads (query groups). Megatron core stacks the layers on a new first dimension and
fuses q, k, v into ``linear_qkv`` ((nq + 2 nkv) d rows: for each group its q heads, its k, its v)
and gate, up into ``linear_fc1`` (2F rows). It is the same arithmetic, so weights move bit for bit.
Which tensors a layer has is the family's (:mod:`cai.models.families`).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from cai.core.errors import UserError, fail_if
from cai.models.families.family import Family, Tensor

MOST_LAYERS = 10_000
LAYER_FIELDS = ("num_hidden_layers", "num_layers")
MOST_SIZE = 2**40
ROPE_THETA = 10000.0  # where a config.json names none
LAYERS = "model.decoder.layers."
EMBEDDING = "model.embedding.word_embeddings.weight"
FINAL_NORM = "model.decoder.final_layernorm.weight"
OUTPUT = "model.output_layer.weight"
# Hugging Face's names of the tensors that are in no layer.
HF_EMBEDDING, HF_FINAL_NORM, HF_OUTPUT = (
    "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
)  # fmt: skip
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
        heads = need(config, "num_attention_heads", where)
        hidden = need(config, "hidden_size", where)
        return cls(
            layers=need(config, "num_hidden_layers", where),
            hidden=hidden,
            ffn=need(config, "intermediate_size", where),
            heads=heads,
            kv_heads=_kv_heads(config, "num_key_value_heads", heads, where),
            head_dim=_head_dim(config, "head_dim", heads, where),
            vocab=need(config, "vocab_size", where),
            tied=_flag(config, "tie_word_embeddings", False, where),
        )

    @classmethod
    def from_nemo(cls, config: dict[str, Any], vocab: int, where: str) -> "Shape":
        """The shape a model_config.yaml describes; the vocabulary is only in the weights."""
        heads = need(config, "num_attention_heads", where)
        hidden = need(config, "hidden_size", where)
        return cls(
            layers=need(config, "num_layers", where),
            hidden=hidden,
            ffn=need(config, "ffn_hidden_size", where),
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

    def nemo_shapes(self, family: Family) -> dict[str, tuple[int, ...]]:
        """The global shape of each NeMo tensor."""
        vocabulary = (self.vocab, self.hidden)
        layers = {
            stacked(tensor): (self.layers, self.rows(tensor), *self.columns(tensor))
            for tensor in family.layer
        }
        shapes = {EMBEDDING: vocabulary, **layers, FINAL_NORM: (self.hidden,)}
        return shapes if self.tied else shapes | {OUTPUT: vocabulary}

    def hf_shapes(self, family: Family) -> dict[str, tuple[int, ...]]:
        """The shape of each Hugging Face tensor, in the order of the model."""
        vocabulary = (self.vocab, self.hidden)
        shapes: dict[str, tuple[int, ...]] = {HF_EMBEDDING: vocabulary}
        for layer in range(self.layers):
            for tensor in family.layer:
                for part in tensor.parts:
                    rows: int = getattr(self, part.rows)
                    shapes[in_layer(layer, part.name)] = (rows, *self.columns(tensor))
        shapes[HF_FINAL_NORM] = (self.hidden,)
        return shapes if self.tied else shapes | {HF_OUTPUT: vocabulary}

    def rows(self, tensor: Tensor) -> int:
        """Rows of a tensor in Megatron core, in one layer."""
        return sum(getattr(self, part.rows) for part in tensor.parts)

    def columns(self, tensor: Tensor) -> tuple[int, ...]:
        """Its columns; none of a vector."""
        return () if tensor.columns is None else (getattr(self, tensor.columns),)


@cache  # one object a name: torch's index refers to it again, and so its bytes stay the same
def stacked(tensor: Tensor) -> str:
    """NeMo's name of a tensor of all layers."""
    return LAYERS + tensor.nemo


def in_layer(layer: int, name: str) -> str:
    """Hugging Face's name of a tensor of layer ``layer``, counted from 0."""
    return f"model.layers.{layer}.{name}"


def by_group(parts: list[torch.Tensor], kv_heads: int) -> torch.Tensor:
    """Interleave q [nq d, H], k and v [nkv d, H] by group into [(nq + 2 nkv) d, H].

    Biases have no H.
    """
    rest = parts[0].shape[1:]
    groups = [part.reshape(kv_heads, -1, *rest) for part in parts]
    return torch.cat(groups, dim=1).reshape(-1, *rest)


def split_groups(fused: torch.Tensor, shape: Shape, tensor: Tensor) -> list[torch.Tensor]:
    """The inverse of :func:`by_group`."""
    rest = fused.shape[1:]
    groups = fused.view(shape.kv_heads, -1, *rest)
    rows = [getattr(shape, part.rows) // shape.kv_heads for part in tensor.parts]
    return [part.reshape(-1, *rest) for part in groups.split(rows, dim=1)]


def need(config: dict[str, Any], field: str, where: str) -> int:
    """A size of a configuration; anything but a whole number above 0 is refused."""
    value = config.get(field)
    most = MOST_LAYERS if field in LAYER_FIELDS else MOST_SIZE
    if type(value) is not int or not 0 < value <= most:
        bound = f", up to {most}" if type(value) is int and value > most else ""
        raise UserError(
            f"{where}: {field}: found {value!r:.100}; accepted: a whole number above 0{bound}"
        )
    return value


def number(config: dict[str, Any], field: str, default: float | None, where: str) -> None:
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
        return need(config, field, where)
    hidden: int = config["hidden_size"]
    fail_if(
        hidden % heads,
        f"{where}: hidden_size: found {hidden}; accepted: a multiple of {heads} heads",
    )
    return hidden // heads


def _kv_heads(config: dict[str, Any], field: str, heads: int, where: str) -> int:
    value = heads if config.get(field) is None else need(config, field, where)
    fail_if(heads % value, f"{where}: {field}: found {value}; accepted: a divisor of {heads} heads")
    return value


def _check_numbers(config: dict[str, Any], where: str) -> None:
    """Refuse a config.json whose other numbers are not numbers, or not those of a model."""
    rope = config.get("rope_parameters") or {}
    fail_if(not isinstance(rope, dict), f"{where}: rope_parameters: found {rope!r:.100}")
    base = rope.get("rope_theta", config.get("rope_theta", ROPE_THETA))
    number({"rope_theta": base}, "rope_theta", None, where)
    number(config, "rms_norm_eps", 1e-6, where)
    number(config, "initializer_range", 0.02, where)
    for field in ("max_position_embeddings", "sliding_window"):
        if config.get(field) is not None:
            need(config, field, where)
