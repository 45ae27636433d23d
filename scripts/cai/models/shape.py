"""The sizes of a pretrained model, as configured or as its files give them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from cai.core.cli import field_and_complaint
from cai.core.errors import UserError, fail_if
from cai.core.fields import Section
from cai.files.members import Members
from cai.files.records import read_json
from cai.models.families.known import family_of


class ModelShape(Section):
    """What memory and the divisions between GPUs depend on."""

    hidden: int = Field(ge=1, description="Width of the residual stream.")
    layers: int = Field(ge=1, description="Transformer layers.")
    heads: int = Field(ge=1, description="Attention heads.")
    kv_heads: int = Field(ge=1, description="Key and value heads (query groups).")
    ffn: int = Field(ge=1, description="Inner width of the gated feed-forward layers.")
    vocab: int = Field(ge=1, description="Rows of the embedding.")
    context: int = Field(ge=1, description="Longest sequence, in tokens (position embeddings).")
    window: int | None = Field(None, ge=1, description="Sliding attention window; null: none.")
    head_dim: int | None = Field(None, ge=1, description="Width of a head; null: hidden / heads.")
    tied: bool = Field(
        False,
        description="Whether the output layer is the embedding at Hugging Face; NeMo's has both.",
    )

    @model_validator(mode="after")
    def _divisible(self) -> "ModelShape":
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads")
        if self.head_dim is None and self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads, or head_dim set")
        return self

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def served(self) -> int:
        """Longest prompt and answer that NeMo's server takes of the converted model, in tokens."""
        return min(self.window or self.context, self.context)


HF_FIELDS = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn": "intermediate_size",
    "vocab": "vocab_size",
    "context": "max_position_embeddings",
    "window": "sliding_window",
    "head_dim": "head_dim",
    "tied": "tie_word_embeddings",
}
NEMO_FIELDS = {
    "hidden": "hidden_size",
    "layers": "num_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_query_groups",
    "ffn": "ffn_hidden_size",
    "context": "max_position_embeddings",
    "head_dim": "kv_channels",
    "tied": "share_embeddings_and_output_weights",
}


def differences(shape: ModelShape, configured: ModelShape) -> Iterator[tuple[str, Any, Any]]:
    """Fields in which a configured shape is wrong: the field, the true value, the configured one.

    >>> mistral = dict(hidden=8, layers=2, heads=2, kv_heads=1, ffn=16, vocab=9, context=4)
    >>> list(differences(ModelShape(**mistral), ModelShape(**mistral | {"layers": 3})))
    [('layers', 2, 3)]
    """
    for field in ModelShape.model_fields:
        name = "head_width" if field == "head_dim" else field
        true, given = getattr(shape, name), getattr(configured, name)
        if true != given and field != "tied":  # which makes no difference in NeMo
            yield field, true, given


def read_hf(path: Path) -> ModelShape:
    """The shape that a Hugging Face config.json describes.

    Raises:
        UserError: it cannot be read, gives no shape, or is of a model that cannot be converted.
    """
    config = read_json(path)
    fail_if(not isinstance(config, dict), f"{path}: not a JSON object")
    family = family_of(config, str(path))
    return _shape(path, config, HF_FIELDS, window=family.window(config))


def read_nemo(path: Path) -> ModelShape:
    """The shape of a ``.nemo`` archive, by its model_config.yaml and its tokenizer."""
    from cai.models.tokens import Tokenizer

    with Members(path) as members:
        config = members.config()
    divisor = config.get("make_vocab_size_divisible_by") or 1
    padded = -(-Tokenizer(path).size // divisor) * divisor
    window = (config.get("window_size") or [None])[0]
    return _shape(path, config, NEMO_FIELDS, vocab=padded, window=window)


def _shape(
    path: Path, config: Mapping[str, Any], names: Mapping[str, str], **known: Any
) -> ModelShape:
    given = {field: config[name] for field, name in names.items() if config.get(name) is not None}
    given.setdefault("kv_heads", given.get("heads"))
    try:
        return ModelShape.model_validate(given | known)
    except ValidationError as error:
        field, complaint = field_and_complaint(error)
        name = f"{names.get(field, field)}: " if field else ""
        raise UserError(f"{path}: {name}{complaint}") from None
