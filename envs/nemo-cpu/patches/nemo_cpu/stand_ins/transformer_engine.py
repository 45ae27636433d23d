"""Executed as `megatron.core.extensions.transformer_engine`: the same layers in plain torch.

Sizes: s sequence, b batch, h hidden. Activations are [s, b, h], as everywhere in Megatron.
A name that is missing here makes the import fail as without Transformer Engine, which its importers
are ready for.
"""

import torch
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer.dot_product_attention import DotProductAttention
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint

TEColumnParallelLinear = ColumnParallelLinear
TERowParallelLinear = RowParallelLinear
TEColumnParallelGroupedLinear = None  # mixture of experts: not for the CPU
TERowParallelGroupedLinear = None
SplitAlongDim = None  # who imports it falls back to torch.split


class TENorm:
    """Makes torch's LayerNorm or RMSNorm. A class, as Megatron calls no functions in its specs."""

    def __new__(cls, config, hidden_size, eps=1e-5, **kwargs):
        """The norm that the configuration names, over the last dimension."""
        rms = config.normalization == "RMSNorm"
        return (torch.nn.RMSNorm if rms else torch.nn.LayerNorm)(hidden_size, eps=eps)


class TELayerNormColumnParallelLinear(ColumnParallelLinear):
    """A norm and the linear layer behind it, [s, b, h] -> [s, b, output_size]."""

    def __init__(self, input_size, output_size, *, config, **kwargs):
        super().__init__(input_size, output_size, config=config, **kwargs)
        self.ln_eps = config.layernorm_epsilon
        self.ln_rms = config.normalization == "RMSNorm"
        weight = torch.ones(input_size, dtype=config.params_dtype)
        self.layer_norm_weight = torch.nn.Parameter(weight)
        self.layer_norm_bias = None
        self.return_layernorm_output = False  # LoRA sets it: its input is the norm's output
        if not self.ln_rms:
            self.layer_norm_bias = torch.nn.Parameter(torch.zeros_like(weight))

    def forward(self, x, *args, **kwargs):
        """Normalises x, then multiplies. Returns both results as a pair where that is asked for."""
        shape = x.shape[-1:]
        if self.ln_rms:
            x = torch.nn.functional.rms_norm(x, shape, self.layer_norm_weight, self.ln_eps)
        else:
            weight, bias = self.layer_norm_weight, self.layer_norm_bias
            x = torch.nn.functional.layer_norm(x, shape, weight, bias, self.ln_eps)
        out, bias = super().forward(x, *args, **kwargs)
        return ((out, x) if self.return_layernorm_output else out), bias

    def sharded_state_dict(self, prefix="", sharded_offsets=(), metadata=None):
        """The norm's weights are whole on every rank, the linear layer's split on axis 0."""
        state = self.state_dict(prefix="", keep_vars=True)
        axes = {"weight": 0, "bias": 0}
        return make_sharded_tensors_for_checkpoint(state, prefix, axes, sharded_offsets)


class TEDotProductAttention(DotProductAttention):
    """Attention with an explicit mask. Transformer Engine ignores the mask of causal attention, and
    NeMo counts on that: a reward model sends a batch of pairs with a mask of half the batch."""

    def forward(self, query, key, value, attention_mask, *args, **kwargs):
        """Attends with a mask of one row, or of as many as the batch has."""
        batch = query.shape[1]
        wrong_batch = attention_mask is not None and attention_mask.shape[0] not in (1, batch)
        if wrong_batch and attention_mask.dim() == 4:
            attention_mask = attention_mask[:1]  # causal: every row of the batch has the same mask
        return super().forward(query, key, value, attention_mask, *args, **kwargs)
