"""The experiments that are shipped with the demo: what each edits, and what it makes first."""

from typing import NamedTuple


class Example(NamedTuple):
    """One edit of the demo's constitution.

    Attributes:
        principle: its id.
        change: what becomes of it: ``added``, ``removed`` or ``edited``.
        texts: those of its texts that differ.
        first: the first part of the workflow that the experiment makes itself.
    """

    principle: str
    change: str
    texts: tuple[str, ...]
    first: str


ALL = ("critique", "revision", "preference")
EXAMPLES = {
    "demo_with_health": Example("health", "added", ALL, "supervised"),
    "demo_without_honesty": Example("honesty", "removed", ALL, "supervised"),
    "demo_with_other_words": Example("kindness", "edited", ALL, "supervised"),
    "demo_with_less_privacy": Example("privacy", "edited", ("preference",), "preference"),
}
