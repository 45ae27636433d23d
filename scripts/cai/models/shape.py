"""The sizes of a pretrained model, as configured or as its files give them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from cai.core.errors import fail_if
from cai.core.fields import Section
from cai.files.members import Members
from cai.files.records import read_json
from cai.models.families.known import family_of
from cai.models.sizes import hf_sizes, nemo_sizes, nemo_window, vocabulary_rows


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


def read_hf(path: Path, where: str | None = None) -> ModelShape:
    """The shape that a Hugging Face config.json describes.

    Args:
        path: the file.
        where: its name in errors, if that is another.

    Raises:
        UserError: it cannot be read, or is of a model that cannot be converted: by its family, its
            sizes or its other numbers.
    """
    config, where = read_json(path), where or str(path)
    fail_if(not isinstance(config, dict), f"{where}: not a JSON object")
    family = family_of(config, where)
    return ModelShape(**hf_sizes(config, where), window=family.window(config))


def read_nemo(path: Path) -> ModelShape:
    """The shape of a ``.nemo`` archive, by its model_config.yaml and its tokenizer."""
    from cai.models.tokens import Tokenizer

    with Members(path) as members:
        config = members.config()
    sizes, window = nemo_sizes(config, str(path)), nemo_window(config, str(path))
    padded = vocabulary_rows(config, Tokenizer(path).size, str(path))
    return ModelShape(**sizes, vocab=padded, window=window)
