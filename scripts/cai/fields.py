"""What all sections of the configuration refuse."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A part of the configuration.

    Unknown keys are refused, and so are numbers that are none: infinity, NaN, and the truth values
    that YAML reads for ``yes`` and ``no``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, given: Any) -> Any:
        """Texts in place of such truth values, which no number takes: the field is then named."""
        if not isinstance(given, Mapping):
            return given
        fields = cls.model_fields
        numbers = {name for name, field in fields.items() if _is_number(field.annotation)}
        return {name: _told(v) if name in numbers else v for name, v in given.items()}


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _is_number(annotation: Any) -> bool:
    kinds = set(_types(annotation))
    return bool(kinds & {int, float}) and bool not in kinds


def _types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, such as ``int`` and ``None`` of ``int | None``."""
    yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)
