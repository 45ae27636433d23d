"""Mistral: Llama's layers with a sliding window, or without one."""

from typing import Any

from cai.models.families import decoder
from cai.models.families.family import Config, Family

WINDOW = 4096  # where a config.json does not say, not even null; so transformers has it


def _hf_fields(config: Config) -> dict[str, Any]:
    window = config.get("window_size")
    return {"sliding_window": window[0] if window else None}


MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    title="Mistral",
    models=("Mistral-7B v0.1", "v0.2", "v0.3"),
    layer=decoder.WEIGHTS,
    accepted=decoder.ACCEPTED,
    check=decoder.unscaled,
    window=lambda config: config.get("sliding_window", WINDOW),
    nemo_fields=lambda config: {},
    hf_fields=_hf_fields,
    is_nemo=lambda config: True,
)
