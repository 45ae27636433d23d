"""The numbers of a model's configuration, read and checked: of a config.json, and of NeMo's.

Whoever reads them reads them here, so that what the conversion refuses is refused in the dry run,
and before a model's weights are downloaded.
"""

from collections.abc import Mapping
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.models.families import decoder
from cai.models.families.family import Config

MOST_LAYERS = 10_000
LAYER_FIELDS = ("num_hidden_layers", "num_layers")
MOST_SIZE = 2**40
LARGEST = 3.4e38  # of a number in float32

HF_FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "ffn": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "context": "max_position_embeddings",
}
NEMO_FIELDS = {
    "layers": "num_layers",
    "hidden": "hidden_size",
    "ffn": "ffn_hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_query_groups",
    "head_dim": "kv_channels",
    "context": "max_position_embeddings",
}
SIZES = ("hidden", "layers", "ffn", "heads", "context")  # that must be there


def hf_sizes(config: Config, where: str) -> dict[str, Any]:
    """The sizes that a config.json describes, whose other numbers are checked as well.

    Args:
        config: its content.
        where: its name in errors.

    Raises:
        UserError: the field, what was found and what is accepted.
    """
    sizes = {
        **_sizes(config, HF_FIELDS, where),
        "vocab": need(config, "vocab_size", where),
        "tied": flag(config, "tie_word_embeddings", False, where),
    }
    number({"rope_theta": decoder.rope_theta(config)}, "rope_theta", None, where)
    number(config, "rms_norm_eps", 1e-6, where)
    number(config, "initializer_range", 0.02, where)
    if config.get("sliding_window") is not None:
        need(config, "sliding_window", where)
    return sizes


def nemo_sizes(config: Config, where: str) -> dict[str, Any]:
    """The sizes that a model_config.yaml describes; the vocabulary is only in the weights."""
    tied = flag(config, "share_embeddings_and_output_weights", True, where)
    return {**_sizes(config, NEMO_FIELDS, where), "tied": tied}


def nemo_window(config: Config, where: str) -> int | None:
    """The sliding window of a model_config.yaml, in tokens; None if there is none."""
    window = config.get("window_size")
    if window is None:
        return None
    if not isinstance(window, list) or not window or type(window[0]) is not int:
        raise UserError(
            f"{where}: window_size: found {window!r:.100}; accepted: none or two whole numbers"
        )
    return window[0]


def vocabulary_rows(config: Config, pieces: int, where: str) -> int:
    """The rows of the embedding to which NeMo pads a tokenizer of ``pieces``."""
    field = "make_vocab_size_divisible_by"
    divisor = need(config, field, where) if config.get(field) is not None else 1
    return -(-pieces // divisor) * divisor


def need(config: Config, field: str, where: str) -> int:
    """A size of a configuration; anything but a whole number above 0 is refused."""
    value = config.get(field)
    most = MOST_LAYERS if field in LAYER_FIELDS else MOST_SIZE
    if type(value) is not int or not 0 < value <= most:
        bound = f", up to {most}" if type(value) is int and value > most else ""
        raise UserError(
            f"{where}: {field}: found {value!r:.100}; accepted: a whole number above 0{bound}"
        )
    return value


def number(config: Config, field: str, default: float | None, where: str) -> None:
    """Refuse a field that is no finite number above 0."""
    value: Any = config.get(field, default)
    fail_if(
        type(value) not in (int, float) or not 0 < value <= LARGEST,
        f"{where}: {field}: found {value!r:.100}; accepted: a number above 0",
    )


def flag(config: Config, field: str, default: bool, where: str) -> bool:
    """A field that is true or false; anything else is refused."""
    value = config.get(field, default)
    if not isinstance(value, bool):
        raise UserError(f"{where}: {field}: found {value!r:.100}; accepted: true or false")
    return value


def _sizes(config: Config, names: Mapping[str, str], where: str) -> dict[str, int]:
    sizes = {size: need(config, names[size], where) for size in SIZES}
    heads, hidden = sizes["heads"], sizes["hidden"]
    given = {size: config.get(names[size]) is not None for size in ("kv_heads", "head_dim")}
    kv_heads = need(config, names["kv_heads"], where) if given["kv_heads"] else heads
    fail_if(
        heads % kv_heads,
        f"{where}: {names['kv_heads']}: found {kv_heads}; accepted: a divisor of {heads} heads",
    )
    fail_if(
        hidden % heads and not given["head_dim"],
        f"{where}: hidden_size: found {hidden}; accepted: a multiple of {heads} heads",
    )
    head_dim = need(config, names["head_dim"], where) if given["head_dim"] else hidden // heads
    return {**sizes, "kv_heads": kv_heads, "head_dim": head_dim}
