"""Qwen2 and Qwen2.5: Llama's layers with biases of q, k and v, and rows of no token."""

from typing import Any

from cai.models.families import decoder
from cai.models.families.family import Config, Family

BIAS = "qkv_bias"


def _hf_fields(config: Config) -> dict[str, Any]:
    return {"use_sliding_window": False, "sliding_window": None}


QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    title="Qwen2",
    models=("Qwen2", "Qwen2.5"),
    layer=(*decoder.WEIGHTS[:2], decoder.QKV_BIAS, *decoder.WEIGHTS[2:]),
    accepted=decoder.ACCEPTED
    | {"use_sliding_window": (False,), "dual_chunk_attention_config": (None,)},
    check=decoder.unscaled,
    window=lambda config: None,
    nemo_fields=lambda config: {BIAS: True},
    hf_fields=_hf_fields,
    is_nemo=lambda config: bool(config.get(BIAS)),
    remarks=("Its embedding has rows of no token; they are kept.",),
)
