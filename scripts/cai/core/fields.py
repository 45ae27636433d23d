"""The base of all sections of the configuration: what they refuse."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

HUB_NAME = re.compile(r"(?:\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)


def check_hub_name(name: str, otherwise: str) -> None:
    """Refuse what cannot be the name of a repository on the Hugging Face hub, such as its address.

    Raises:
        ValueError: with what is accepted; ``otherwise`` is what a local source looks like.
    """
    fine = HUB_NAME.fullmatch(name) and not ("--" in name or ".." in name or name.endswith(".git"))
    if not fine:
        raise ValueError(f"source: found {name!r}; accepted: owner/name of the hub, or {otherwise}")


def refuse_leftover(section: Any, *fields: str) -> None:
    """Refuse what a local source has from the one of a hub whose place it has taken.

    Raises:
        ValueError: naming those of the fields that are set.
    """
    found = [name for name in fields if getattr(section, name) is not None]
    if found:
        raise ValueError(
            f"source: found {section.source!r}, which is local, with {' and '.join(found)} of "
            f"another source; accepted: a local one without {' and '.join(found)} (or null)"
        )


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
        return {name: _described(v) if name in numbers else v for name, v in given.items()}


def _described(value: Any) -> Any:
    if isinstance(value, list):
        return [_described(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _is_number(annotation: Any) -> bool:
    kinds = set(_types(annotation))
    return bool(kinds & {int, float}) and bool not in kinds


def _types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, such as ``int`` and ``None`` of ``int | None``."""
    yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)
