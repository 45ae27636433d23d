"""What is different between the settings, and between the constitutions, of two runs."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from cai.core.changes import differing, flat, word_differences
from cai.files.records import Record
from cai.settings.configuration import Settings

TEXTS = ("critique", "revision", "preference")


# Told by their principles, or without any effect on a result.
SILENT = ("results", "constitution", "estimates")


def counting(settings: Record) -> dict[str, Any]:
    """The fields of a run's settings that count for its results, by their names.

    Those that an older version wrote have today's fields, with their defaults.
    """
    try:
        settings = Settings.model_validate(settings).model_dump(mode="json")
    except ValidationError:  # as they are
        pass
    return {name: v for name, v in flat(settings) if name.partition(".")[0] not in SILENT}


def settings_differences(a: Record, b: Record) -> list[Record]:
    """The fields that differ, with both values, of those that count for results."""
    values = [counting(settings) for settings in (a, b)]
    return [
        {"field": name, "a": values[0].get(name), "b": values[1].get(name)}
        for name in differing(*values)
    ]


def principles_differences(a: Sequence[Record], b: Sequence[Record]) -> list[Record]:
    """What became of each principle, ``added``, ``removed``, ``edited`` or ``same``; its texts.

    Each text is a list of ``(what, words)``: ``same``, ``del`` for words that only a has, ``ins``
    for those that only b has.
    """
    before, after = ({row["id"]: row for row in rows} for rows in (a, b))
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        change = "added" if old is None else "removed" if new is None else "edited"
        texts = {
            field: word_differences((old or {}).get(field), (new or {}).get(field))
            for field in TEXTS
        }
        found.append({"id": name, "change": "same" if old == new else change, "texts": texts})
    return found
