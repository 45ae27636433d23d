"""Which families there are, and of the others why NeMo 2.1.0 cannot run them."""

from typing import NoReturn

from cai.core.errors import UserError
from cai.models.families import decoder
from cai.models.families.family import Config, Family, Mistake
from cai.models.families.llama import LLAMA
from cai.models.families.mistral import MISTRAL
from cai.models.families.qwen2 import QWEN2

FAMILIES = (LLAMA, MISTRAL, QWEN2)
BY_TYPE = {family.model_type: family for family in FAMILIES}
BY_MARKS = (QWEN2, LLAMA, MISTRAL)  # the last one has none
MARKS = ("qkv_bias", "scale_positional_embedding")  # fields of a model_config.yaml
LAYERS = ("full_attention", "sliding_attention")  # kinds of layers, as config.json names them

# What NeMo 2.1.0 lacks for others, by model_type: the words that follow "it has".
LACKING = {
    "qwen3": "norms of queries and keys",
    "qwen3_moe": "experts, and norms of queries and keys",
    "olmo2": "norms of queries and keys, and after layers",
    "olmo3": "norms of queries and keys, and after layers",
    "gemma3": "norms of queries and keys, and layers with other positions",
    "gemma3_text": "norms of queries and keys, and layers with other positions",
    "smollm3": "layers without positions",
    "llama4": "experts, and layers without positions",
    "mllama": "pictures",
    "phi3": "its projections fused in another way",
    "gemma2": "soft caps and norms for which no way back to Hugging Face is known",
    "mixtral": "experts, whose conversion is not written",
}


def listed() -> str:
    """The models that work, in a line.

    >>> listed().endswith("Mistral-7B v0.1, v0.2, v0.3, Qwen2, Qwen2.5")
    True
    """
    return ", ".join(model for family in FAMILIES for model in family.models)


def family_of(config: Config, where: str) -> Family:
    """The family of a config.json that can be converted.

    Args:
        config: its content.
        where: its name in errors.

    Raises:
        UserError: Megatron core would not compute it in the same way; the field, what was found,
            what is accepted and which models work.
    """
    found = config.get("model_type")
    if not isinstance(found, str) or found not in BY_TYPE:
        reason = (
            f" (it has {LACKING[found]})" if isinstance(found, str) and found in LACKING else ""
        )
        _refuse(where, "model_type", f"{found!r:.100}{reason}", ", ".join(map(repr, BY_TYPE)))
    family = BY_TYPE[str(found)]
    for field, values in family.accepted.items():
        value = config.get(field, values[0])
        if not any(value == other for other in values):
            _refuse(where, field, f"{value!r:.100}", ", ".join(map(repr, values)))
    checks = (_wrong_code, decoder.wrong_positions, family.check, _wrong_layers)
    wrong = next((found for found in (check(config) for check in checks) if found), None)
    if wrong is not None:
        field, value, text = wrong
        _refuse(where, field, f"{value!r:.100}", text)
    _check_architecture(config, family, where)
    return family


def family_of_nemo(config: Config) -> Family:
    """The family whose marks a model_config.yaml has.

    One without marks is called Mistral, whose arithmetic is also that of Llama 2 and Llama 3.
    """
    return next(family for family in BY_MARKS if family.is_nemo(config))


def _check_architecture(config: Config, family: Family, where: str) -> None:
    """Refuse a model with another head, or with none: its weights have other names."""
    found = config.get("architectures")
    if found in (None, []) or found == [family.architecture]:
        return
    _refuse(where, "architectures", f"{found!r:.100}", f"[{family.architecture!r}]")


def _wrong_code(config: Config) -> Mistake | None:
    """Code of the model's own may compute anything."""
    found = config.get("auto_map")
    return ("auto_map", found, "none: no code of the model's own") if found else None


def _wrong_layers(config: Config) -> Mistake | None:
    found = config.get("layer_types") or []
    kinds = set(map(str, found)) if isinstance(found, list) else {""}
    if len(kinds) < 2 and kinds.issubset(LAYERS):
        return None
    return "layer_types", found, f"one kind for all layers, of {', '.join(map(repr, LAYERS))}"


def _refuse(where: str, field: str, found: str, accepted: str) -> NoReturn:
    raise UserError(
        f"{where}: {field}: found {found}; accepted: {accepted}; models that work: {listed()}"
    )
