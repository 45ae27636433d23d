"""The warnings of a report: each once, the heaviest first, the explained ones marked and last."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from cai.evaluation.warnings.result_warnings import WEIGHTS, ReadersWarning
from cai.files.records import Record
from cai.settings.evaluations import ExpectedWarning

TITLES = {
    "high": "May change the conclusion",
    "medium": "May change a number",
    "low": "Good to know",
}
EXPECTED = "Expected in this run"


def listed(warnings: Iterable[ReadersWarning], expected: Sequence[ExpectedWarning]) -> list[Record]:
    """Warnings as data in the order in which a reader gets them.

    Args:
        warnings: as they were found; one that is found twice stands once.
        expected: what the configuration explains.

    Returns:
        the fields of :class:`cai.evaluation.warnings.result_warnings.ReadersWarning`, and
        ``expected``: why this one is, or None.
    """
    found = [
        {**warning.as_record(), "expected": _why(warning, expected)}
        for warning in dict.fromkeys(warnings)
    ]
    return ranked(found)


def ranked(warnings: Iterable[Record]) -> list[Record]:
    """The heaviest first, those that are expected last."""
    return sorted(warnings, key=_rank)


def as_record(warning: Record | str) -> Record:
    """A warning of a report; one of an older version is a line of text, of unknown kind."""
    if not isinstance(warning, str):
        return warning
    return {
        "what": "",
        "about": "",
        "weight": "medium",
        "text": warning,
        "advice": "",
        "expected": None,
    }


def _why(warning: ReadersWarning, expected: Sequence[ExpectedWarning]) -> str | None:
    matching = (one for one in expected if one.what == warning.what and one.text in warning.text)
    return next((one.why for one in matching), None)


def _rank(warning: Record) -> tuple[bool, int]:
    return warning["expected"] is not None, WEIGHTS.index(warning["weight"])


def sentence(warning: Record) -> str:
    """A warning as one line."""
    line = _line(warning)
    return f"{line} Expected: {warning['expected']}." if warning["expected"] else line


def _line(warning: Record) -> str:
    return f"{warning['about']}: {warning['text']}" if warning["about"] else warning["text"]


def grouped(warnings: Iterable[Record]) -> list[Record]:
    """Warnings for a page: by weight, those that are expected last; in a group, by kind.

    Args:
        warnings: in the order of :func:`listed`.

    Returns:
        groups of ``title``, ``expected`` (whether they are) and ``kinds``; a kind has ``what``,
        ``why`` (where it is expected), ``advice`` and its ``texts``.
    """
    groups = []
    for (is_expected, weight), members in groupby(warnings, _rank_for_page):
        title = EXPECTED if is_expected else TITLES[weight]
        groups.append({"title": title, "expected": is_expected, "kinds": _kinds(list(members))})
    return groups


def _rank_for_page(warning: Record) -> tuple[bool, str]:
    is_expected = warning["expected"] is not None
    return is_expected, "" if is_expected else warning["weight"]


def _kinds(warnings: Sequence[Record]) -> list[Record]:
    kinds: dict[tuple[Any, ...], Record] = {}
    for warning in warnings:
        key = warning["what"], warning["expected"], warning["advice"]
        new = {"what": key[0], "why": key[1], "advice": key[2], "texts": []}
        kinds.setdefault(key, new)["texts"].append(_line(warning))
    return list(kinds.values())
