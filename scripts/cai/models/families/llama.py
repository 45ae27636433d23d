"""Llama, and what has its layers: positions may be scaled as in Llama 3.1."""

from typing import Any

from cai.models.families import decoder
from cai.models.families.family import Config, Family, Mistake

# Llama 3.1's and 3.3's; NeMo 2.1.0 has these numbers in its code (`apply_rope_scaling`).
SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SCALED = "scale_positional_embedding"


def _check(config: Config) -> Mistake | None:
    found, name = decoder.rope_scaling(config), decoder.rope_notation(config)
    for field, value in SCALING.items() if found else ():
        if found.get(field) != value:
            return f"{name}.{field}", found.get(field), f"{value!r}, or no scaling"
    return None


def _nemo_fields(config: Config) -> dict[str, Any]:
    return {SCALED: True} if decoder.rope_scaling(config) else {}


def _hf_fields(config: Config) -> dict[str, Any]:
    scaling = SCALING if config.get(SCALED) else None
    return {"rope_scaling": scaling, "attention_bias": False, "mlp_bias": False}


LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    title="Llama",
    models=("Llama 2", "Llama 3", "Llama 3.1", "Llama 3.3", "SmolLM2"),
    layer=decoder.WEIGHTS,
    accepted=decoder.ACCEPTED | {"attention_bias": (False,), "mlp_bias": (False,)},
    check=_check,
    window=lambda config: None,
    nemo_fields=_nemo_fields,
    hf_fields=_hf_fields,
    is_nemo=lambda config: bool(config.get(SCALED)),
    remarks=(
        "Llama 3.2 scales positions by 32, NeMo 2.1.0 by 8 only.",
        "NeMo-Aligner's reward model and critic do not scale positions, even those of Llama 3.1: "
        "they are trained and used in the same way, so that their scores are consistent.",
    ),
)
