"""Hydra overrides as NeMo's programs take them on their command lines."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from cai.core.texts import is_number

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+-]+")
WORDS = {"true", "false", "inf", "nan"}  # "null" as a text stands for Hydra's null
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def typed(value: Any) -> Any:
    """A value with the numbers and truth values in it that were read as texts.

    YAML 1.1 reads ``1e-3`` as a text, and Snakemake's ``--config`` all that is nested; NeMo would
    be given a text in quotes, and fail on it much later.
    """
    match value:
        case dict():
            return {key: typed(item) for key, item in value.items()}
        case list():
            return [typed(item) for item in value]
        case str() if value.lower() in ("true", "false"):
            return value.lower() == "true"
        case str() if NUMBER.fullmatch(value):
            return int(value) if value.lstrip("+-").isdecimal() else float(value)
    return value


Overrides = Annotated[dict[str, Any], BeforeValidator(typed)]


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """``{"model.seed": 1, "++a.b": "null", "~c.d": True}`` as a list of ``key=value`` arguments.

    ``None`` leaves the key out (so that one configuration can remove what another has set), the
    text ``"null"`` is Hydra's null. A key that begins with ``~`` deletes. Sorted by key, so that
    the order in which a configuration names them changes nothing.
    Source: Hydra 1.3, "Basic override syntax".
    """
    given = {key: item for key, item in settings.items() if item is not None}
    return [_override(key, given[key]) for key in sorted(given, key=_bare)]


def _bare(key: str) -> str:
    return key.lstrip("+~")


def _override(key: str, setting: Any) -> str:
    return key if key.startswith("~") else f"{key}={value(setting)}"


def value(setting: Any) -> str:
    """One value in Hydra's grammar; a text with special characters or meaning is quoted.

    >>> value(["<extra_id_1>", 0.5, None, True])
    "['<extra_id_1>',0.5,null,true]"
    """
    match setting:
        case None:
            return "null"
        case bool():
            return str(setting).lower()
        case int() | float():
            return repr(setting)
        case Mapping():
            return "{" + ",".join(f"{key}:{value(item)}" for key, item in setting.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(value, setting)) + "]"
        case str():
            return _text(setting)
    raise TypeError(f"a Hydra override cannot hold a {type(setting).__name__}")


def _text(text: str) -> str:
    if PLAIN.fullmatch(text) and text.lower() not in WORDS and not is_number(text):
        return text
    escaped = re.sub(r"\\(?=\\*')", r"\\\\", text).replace("'", "\\'")
    return f"'{escaped}'"
