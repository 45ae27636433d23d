"""What a config.json of Hugging Face may say of a model that is to be converted.

It is read before the weights are downloaded, and again to convert them. The conversion runs in
NeMo's container, so this module needs nothing but Python.
"""

from collections.abc import Mapping
from typing import Any

from cai.core.errors import fail_if

MODEL_TYPES = ("mistral", "llama")


def check_hf_config(config: Mapping[str, Any], where: str) -> None:
    """Refuse what Megatron core would not compute in the same way.

    Raises:
        UserError: ``where``, the field, what was found and what is accepted.
    """
    accepted = {
        "model_type": MODEL_TYPES,
        "hidden_act": ("silu",),
        "rope_scaling": (None,),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "partial_rotary_factor": (1.0,),
        "quantization_config": (None,),
    }
    for field, values in accepted.items():
        found = config.get(field, values[0] if field != "model_type" else None)
        fail_if(
            found not in values,
            f"{where}: {field}: found {found!r}; accepted: {', '.join(map(repr, values))}",
        )
    kind = (config.get("rope_parameters") or {}).get("rope_type", "default")
    field = "rope_parameters.rope_type"
    fail_if(kind != "default", f"{where}: {field}: found {kind!r}; accepted: 'default'")
