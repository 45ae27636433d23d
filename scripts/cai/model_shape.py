"""The sizes of a pretrained model: from its files where they are at hand, else as configured."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator

from cai.cli import describe
from cai.conversion.members import Members
from cai.errors import UserError, fail_if
from cai.fields import Section
from cai.hf_config import check_hf_config
from cai.records import read_json

if TYPE_CHECKING:
    from cai.settings import Model


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
    tied: bool = Field(False, description="Whether the output layer is the embedding.")

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


def shape_in_files(model: "Model", name: str, results: str) -> tuple[ModelShape, Path] | None:
    """The shape that a model's own files give, and the file; None if none is at hand.

    Looked for in its local folder, in what the run has downloaded or converted, in the hub's cache.

    Args:
        model: of the configuration.
        name: base or instruct.
        results: folder of the run.

    Raises:
        UserError: a file that is there gives no shape; the file and what is wrong.
    """
    made = Path(results, "models")
    folder = Path(model.source) if model.is_local else made / f"{name}_hf"
    readers: list[tuple[Path | None, Callable[[Path], ModelShape]]] = [
        (folder / "config.json", read_hf),
        (made / f"{name}.nemo", read_nemo),
        (None if model.is_local else _cached(model), read_hf),
    ]
    found = ((read(path), path) for path, read in readers if path and path.is_file())
    return next(found, None)


def differences(shape: ModelShape, configured: ModelShape) -> Iterator[tuple[str, Any, Any]]:
    """Fields in which a configured shape is wrong: the field, the true value, the configured one.

    >>> mistral = dict(hidden=8, layers=2, heads=2, kv_heads=1, ffn=16, vocab=9, context=4)
    >>> list(differences(ModelShape(**mistral), ModelShape(**mistral | {"layers": 3})))
    [('layers', 2, 3)]
    """
    for field in ModelShape.model_fields:
        name = "head_width" if field == "head_dim" else field
        true, given = getattr(shape, name), getattr(configured, name)
        if true != given:
            yield field, true, given


def read_hf(path: Path) -> ModelShape:
    """The shape that a Hugging Face config.json describes.

    Raises:
        UserError: it cannot be read, gives no shape, or is of a model that cannot be converted.
    """
    config = read_json(path)
    fail_if(not isinstance(config, dict), f"{path}: not a JSON object")
    check_hf_config(config, str(path))
    return _shape(path, config, HF_FIELDS)


def read_nemo(path: Path) -> ModelShape:
    """The shape of a ``.nemo`` archive, by its model_config.yaml and its tokenizer."""
    from cai.tokens import Tokenizer

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
        field, _, complaint = describe(error).partition(": ")
        raise UserError(f"{path}: {names.get(field, field)}: {complaint}") from None


def _cached(model: "Model") -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.source, "config.json", revision=model.revision)
    return Path(found) if isinstance(found, str) else None
