"""What the second of two runs did, in one sentence."""

from collections.abc import Sequence

from cai.evaluation.headline import whole_percent
from cai.files.records import Record

NOTHING = "no difference shown"


def headline(rows: Sequence[Record], duels: Sequence[Record], took: str = "") -> str:
    """Such as ``health: harmless 0% → 94%; the other 7 kinds of harm show no difference; ...``.

    It is about the last model. The kinds of harm that differ come first, those that changed most
    before the others, each with both values; the rest are counted. Where no classifier knows what
    is harmless, the judge's head-to-head comparisons are used.

    Args:
        rows: metrics with their verdicts, see :func:`cai.report.comparison.compare`; the last
            model's at the end.
        duels: head-to-head comparisons with their verdicts.
        took: what the second run took, in words.
    """
    own = {row["name"]: row for row in rows if row["model"] == rows[-1]["model"]}
    kinds = [row for row in own.values() if row["category"] and row["name"].startswith("harmless")]
    parts = _kinds(kinds)
    if not kinds and "harmless" in own:
        parts.append(_change_of(own["harmless"], "harmless"))
    if "helpful" in own:
        parts.append(_change_of(own["helpful"], "helpful"))
    measured = parts or [*map(_preferred, duels)] or ["nothing that was measured can be compared"]
    return f"{'; '.join(filter(None, [*measured, took]))}."


def _kinds(rows: Sequence[Record]) -> list[str]:
    """The kinds of harm that differ, and how many do not."""
    changed = sorted(
        (row for row in rows if row["verdict"]), key=lambda row: -abs(row["change"]["value"])
    )
    parts = [_change_of(row, f"{row['category']}: harmless") for row in changed]
    same = len(rows) - len(parts)
    if same:
        which = f"the other {same} kinds of harm" if parts else f"all {same} kinds of harm"
        which = "the other kind of harm" if parts and same == 1 else which
        parts.append(f"{which} {'shows' if parts and same == 1 else 'show'} no difference")
    return parts


def _change_of(row: Record, name: str) -> str:
    """Both values, such as ``helpful 99% → 98% (no difference shown)``."""
    values = f"{name} {whole_percent(row['a']['value'])} → {whole_percent(row['b']['value'])}"
    return values if row["verdict"] else f"{values} ({NOTHING})"


def _preferred(row: Record) -> str:
    share = f"its new answers are preferred in {row['value']:.1%} of the {row['set']} prompts"
    return share if row["verdict"] else f"{share} ({NOTHING})"
