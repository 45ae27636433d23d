"""Which of the held-out prompts a figure is made from."""

from collections.abc import Iterable, Sequence

from cai.files.records import Row, uniform
from cai.steps.answers import Answer, Response


def first_by_hash(records: Iterable[Row], count: int) -> list[Row]:
    """Up to ``count`` records, the first in the order of a hash of their ids."""
    return sorted(records, key=lambda row: uniform("figure", row["id"]))[:count]


def first_of_each_set(records: Sequence[Row], sets: Sequence[str], count: int) -> list[Row]:
    """Up to ``count`` records of each set, as of :func:`first_by_hash`."""
    groups = ([row for row in records if row["set"] == name] for name in sets)
    return [row for group in groups for row in first_by_hash(group, count)]


def as_response(row: Answer) -> Response:
    """A model's answer as the first response of a chain of revisions."""
    return {
        "id": row["id"],
        "prompt": row["prompt"],
        "finish": row["finish"],
        "response": row["answer"],
    }
