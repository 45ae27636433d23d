"""Decoders in two notations: Hugging Face's and NeMo's (Megatron core).

Shapes: L layers, H hidden size, F feed-forward size, V vocabulary, d head size, nq query heads,
nkv key/value heads (query groups). Megatron core stacks the layers on a new first dimension and
fuses q, k, v into ``linear_qkv`` ((nq + 2 nkv) d rows: for each group its q heads, its k, its v)
and gate, up into ``linear_fc1`` (2F rows). It is the same arithmetic, so weights move bit for bit.
Which tensors a layer has is the family's (:mod:`cai.models.families`).
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch

from cai.models.families.family import Family, Tensor
from cai.models.sizes import hf_sizes, nemo_sizes

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
        return cls._of(hf_sizes(config, where))

    @classmethod
    def from_nemo(cls, config: dict[str, Any], vocab: int, where: str) -> "Shape":
        """The shape a model_config.yaml describes; the vocabulary is only in the weights."""
        return cls._of({**nemo_sizes(config, where), "vocab": vocab})

    @classmethod
    def _of(cls, sizes: dict[str, Any]) -> "Shape":
        return cls(**{field.name: sizes[field.name] for field in fields(cls)})

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
