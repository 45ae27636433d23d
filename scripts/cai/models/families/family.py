"""What a family is: its tensors in both notations, its configuration both ways, what it refuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]
Mistake = tuple[str, Any, str]  # a field, what was found, what is accepted


@dataclass(frozen=True)
class Part:
    """A tensor of Hugging Face within one of Megatron core: its name, and what its rows count.

    ``rows`` is the name of a size of :class:`cai.conversion.layout.Shape`.
    """

    name: str
    rows: str


@dataclass(frozen=True)
class Tensor:
    """A tensor of a layer in Megatron core, and those of Hugging Face that it is made of.

    Attributes:
        nemo: its name in a layer.
        parts: in the order in which they lie there.
        columns: what its columns count; None for a vector.
        by_group: whether the rows of the parts alternate by query group (q's heads of the group,
            then its k, its v) and do not follow each other whole.
    """

    nemo: str
    parts: tuple[Part, ...]
    columns: str | None = None
    by_group: bool = False


Check = Callable[[Config], Mistake | None]


def no_check(config: Config) -> None:
    """For a family with nothing to refuse beyond fields and their values."""


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        model_type: its name in a config.json.
        architecture: transformers' class.
        title: its name for people.
        models: published ones, for people.
        layer: the tensors of a layer.
        accepted: fields of a config.json with the values that are computed in the same way; the
            first one holds where the field is absent.
        check: what else is refused: a field, what was found and what is accepted; None: nothing.
        window: the sliding window that a config.json describes, in tokens.
        nemo_fields: from a config.json, what a model_config.yaml has beyond sizes.
        hf_fields: the way back: what a config.json has beyond sizes, positions and norms.
        is_nemo: whether a model_config.yaml is of this family: it has what marks it.
        remarks: what a user should know, sentences for the documentation.
    """

    model_type: str
    architecture: str
    title: str
    models: tuple[str, ...]
    layer: tuple[Tensor, ...]
    accepted: Mapping[str, tuple[Any, ...]]
    nemo_fields: Callable[[Config], dict[str, Any]]
    hf_fields: Callable[[Config], dict[str, Any]]
    is_nemo: Callable[[Config], bool]
    check: Check = no_check
    window: Callable[[Config], int | None] = lambda config: config.get("sliding_window")
    remarks: tuple[str, ...] = field(default=())
