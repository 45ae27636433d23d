"""Which of the held-out prompts a figure is made from."""

from collections.abc import Iterable, Sequence

from cai.files.records import Record, uniform


def first_of_each_set(records: Iterable[Record], sets: Sequence[str], count: int) -> list[Record]:
    """Up to ``count`` records of each set, the first in the order of a hash of their ids."""
    ordered = sorted(records, key=lambda row: uniform("figure", row["id"]))
    return [row for name in sets for row in [r for r in ordered if r["set"] == name][:count]]


def as_response(row: Record) -> Record:
    """A model's answer as the first response of a chain of revisions."""
    return {key: row[key] for key in ("id", "prompt", "finish")} | {"response": row["answer"]}
