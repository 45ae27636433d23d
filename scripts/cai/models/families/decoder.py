"""What the families share: a decoder with rotary positions, RMS norms and a gated feed-forward.

Megatron core fuses q, k and v, and the two halves of the gated layer; see
:mod:`cai.conversion.layout`.
"""

from typing import Any

from cai.models.families.family import Config, Mistake, Part, Tensor

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
    "compression_config": (None,),  # the same, of an older compressed-tensors
    "quantization": (None,),  # the same, of MLX
}
ROPE_THETA = 10000.0  # where a config.json names none
NOTATIONS = ("rope_scaling", "rope_parameters")  # before transformers 5, and since
NO_SCALING = ("type", "rope_type", "rope_theta", "partial_rotary_factor")  # fields beside it


def rope_theta(config: Config) -> Any:
    """The rotary base, wherever it stands; not yet checked to be a number."""
    places = (_rope(config, "rope_parameters"), _rope(config, "rope_scaling"), config)
    named = [place["rope_theta"] for place in places if "rope_theta" in place]
    given = [theta for theta in named if theta is not None]
    return next(iter(given or named), ROPE_THETA)


def rope_scaling(config: Config) -> dict[str, Any]:
    """How positions are scaled, empty if they are not, in whichever notation."""
    return _scaling(config, "rope_scaling") or _scaling(config, "rope_parameters")


def rope_notation(config: Config) -> str:
    """The field that says how positions are scaled."""
    return "rope_scaling" if _scaling(config, "rope_scaling") else "rope_parameters"


def wrong_positions(config: Config) -> Mistake | None:
    """What cannot be read of positions, or would be read in one way here and in another there.

    transformers takes the one or the other notation by its version. Each is what all layers do:
    one for each kind of layer is no model of ours.
    """
    for name in NOTATIONS:
        wrong = _wrong_notation(config, name)
        if wrong is not None:
            return wrong
    old, new = (_scaling(config, name) for name in NOTATIONS)
    if _rope(config, "rope_scaling") and _rope(config, "rope_parameters") and old != new:
        return "rope_parameters", config["rope_parameters"], "what rope_scaling says, or only one"
    for place in (config, _rope(config, "rope_scaling")):
        theta = place.get("rope_theta")
        if theta is not None and theta != rope_theta(config):
            return "rope_theta", theta, f"one base, and {rope_theta(config)!r:.50} stands there too"
    return None


def unscaled(config: Config) -> Mistake | None:
    """Refuse scaled positions."""
    found = rope_scaling(config)
    return (f"{rope_notation(config)}.rope_type", found["rope_type"], "none") if found else None


def _rope(config: Config, name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _scaling(config: Config, name: str) -> dict[str, Any]:
    found = _rope(config, name)
    kind = found.get("rope_type", found.get("type"))
    rest = {key: value for key, value in found.items() if key not in NO_SCALING}
    is_plain = kind is None and not rest and name == "rope_parameters"
    return {} if not found or kind == "default" or is_plain else {**rest, "rope_type": kind}


def _wrong_notation(config: Config, name: str) -> Mistake | None:
    found = config.get(name)
    if found is not None and not isinstance(found, dict):
        return name, found, "an object, or null"
    rope = _rope(config, name)
    for key, value in rope.items():
        if isinstance(value, dict):
            return f"{name}.{key}", value, "one notation for all layers, no object in it"
    kinds = [rope[key] for key in ("rope_type", "type") if rope.get(key) is not None]
    if any(kind != kinds[0] for kind in kinds):
        return f"{name}.type", kinds[1], f"the same as rope_type, {kinds[0]!r:.50}"
    if rope.get("partial_rotary_factor") not in (None, 1.0):
        return f"{name}.partial_rotary_factor", rope["partial_rotary_factor"], "1.0"
    return None
