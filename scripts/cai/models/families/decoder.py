"""What the families share: a decoder with rotary positions, RMS norms and a gated feed-forward.

Megatron core fuses q, k and v, and the two halves of the gated layer; see
:mod:`cai.conversion.layout`.
"""

from typing import Any

from cai.models.families.family import Config, Part, Tensor

ATTENTION, MLP = "self_attn", "mlp"
QKV = "self_attention.linear_qkv"
WEIGHTS = (
    Tensor(f"{QKV}.layer_norm_weight", (Part("input_layernorm.weight", "hidden"),)),
    Tensor(
        f"{QKV}.weight",
        (
            Part(f"{ATTENTION}.q_proj.weight", "query_rows"),
            Part(f"{ATTENTION}.k_proj.weight", "kv_rows"),
            Part(f"{ATTENTION}.v_proj.weight", "kv_rows"),
        ),
        columns="hidden",
        by_group=True,
    ),
    Tensor(
        "self_attention.linear_proj.weight",
        (Part(f"{ATTENTION}.o_proj.weight", "hidden"),),
        columns="query_rows",
    ),
    Tensor(
        f"{MLP}.linear_fc1.layer_norm_weight",
        (Part("post_attention_layernorm.weight", "hidden"),),
    ),
    Tensor(
        f"{MLP}.linear_fc1.weight",
        (Part(f"{MLP}.gate_proj.weight", "ffn"), Part(f"{MLP}.up_proj.weight", "ffn")),
        columns="hidden",
    ),
    Tensor(f"{MLP}.linear_fc2.weight", (Part(f"{MLP}.down_proj.weight", "hidden"),), "ffn"),
)
QKV_BIAS = Tensor(
    f"{QKV}.bias",
    (
        Part(f"{ATTENTION}.q_proj.bias", "query_rows"),
        Part(f"{ATTENTION}.k_proj.bias", "kv_rows"),
        Part(f"{ATTENTION}.v_proj.bias", "kv_rows"),
    ),
    by_group=True,
)
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "partial_rotary_factor": (1.0,),
    "quantization_config": (None,),
}


def rope_scaling(config: Config) -> dict[str, Any]:
    """How positions are scaled, empty if they are not; transformers has two notations.

    Before version 5 it is ``rope_scaling``; since then a part of ``rope_parameters``.
    """
    found = config.get("rope_scaling")
    is_new = not found
    found = found or config.get("rope_parameters") or {}
    if not isinstance(found, dict):
        return {"rope_type": found}
    kind = found.get("rope_type", found.get("type"))
    if kind == "default" or (is_new and kind is None):
        return {}
    rest = {key: value for key, value in found.items() if key not in ("type", "rope_theta")}
    return {**rest, "rope_type": kind}


def unscaled(config: Config) -> tuple[str, Any, str] | None:
    """Refuse scaled positions."""
    found = rope_scaling(config)
    return ("rope_scaling.rope_type", found["rope_type"], "none") if found else None
