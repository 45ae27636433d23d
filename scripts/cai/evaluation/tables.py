"""The summary of an evaluation as tables: for the report, a terminal, Markdown and CSV."""

from collections.abc import Iterable, Sequence
from typing import Any

from cai.files.records import Record

LABELS = {
    "helpful_only": "Helpful-only",
    "sl_cai": "SL-CAI",
    "rl_cai": "RL-CAI",
}


def label(model: str) -> str:
    """How a model is called in tables and figures."""
    return LABELS.get(model, model)


def estimate_text(metric: Record, estimate: Record) -> str:
    """A value with its interval, such as ``97.7% [95.5, 98.8]``."""
    if is_percent(metric):
        value, low, high = (100 * estimate[field] for field in ("value", "low", "high"))
        return f"{value:.1f}% [{low:.1f}, {high:.1f}]"
    return "{value:.2f} [{low:.2f}, {high:.2f}]".format(**estimate)


def is_percent(metric: Record) -> bool:
    """Whether a metric's values are shown in percent: shares and probabilities are."""
    return bool(metric["kind"] != "mean")


def difference_text(metric: Record, difference: Record) -> str:
    """A change with its interval, and the p-value if there is one."""
    p = f", p {p_text(difference['p'])}" if "p" in difference else ""
    return f"{change_text(metric, difference)}{p}"


def change_text(metric: Record, difference: Record) -> str:
    """A change with its interval, such as ``-3.1 points [-5.0, -1.2]``."""
    scale, digits, unit = (100, 1, " points") if is_percent(metric) else (1, 2, "")
    value, low, high = (scale * difference[field] for field in ("value", "low", "high"))
    return f"{value:+.{digits}f}{unit} [{low:+.{digits}f}, {high:+.{digits}f}]"


def p_text(p: float) -> str:
    """A p-value with its relation, such as ``= 0.031`` or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def table(summary: Record) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the headline table: a metric a row, a model a column."""
    names = [model["name"] for model in summary["models"]]
    header = ["", "n", *(model["label"] for model in summary["models"])]
    rows = []
    for metric in summary["metrics"]:
        estimates = metric["estimates"]
        cells = [estimate_text(metric, estimates[n]) if n in estimates else "" for n in names]
        rows.append([metric["label"], sizes(estimates.values()), *cells])
    return header, rows


def sizes(estimates: Iterable[Record]) -> str:
    """How many prompts the estimates are from, such as ``300`` or ``297\u2013300``."""
    sizes = sorted({estimate["n"] for estimate in estimates})
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}\u2013{sizes[-1]}"


def changes(summary: Record) -> list[list[str]]:
    """The changes from stage to stage: a metric, a model, the one before it, the change."""
    return [
        [
            metric["label"],
            label(model),
            label(difference["to"]),
            difference_text(metric, difference),
        ]
        for metric in summary["metrics"]
        for model, difference in metric["differences"].items()
    ]


def markdown(summary: Record) -> str:
    """The warnings, the headline table and the changes from stage to stage, as Markdown."""
    header, rows = table(summary)
    parts = [f"- **Warning:** {text}" for text in summary["warnings"]]
    parts += [
        "",
        f"Intervals are at the {summary['level']:.0%} level.",
        "",
        *_pipes(header, rows),
        "",
    ]
    rows = changes(summary)
    parts += _pipes(["Change", "of", "against", "paired by prompt"], rows) if rows else []
    return "\n".join(parts).strip() + "\n"


def _pipes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal, columns aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [header, rule, *rows]
    padded = (
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in padded)


CSV_FIELDS = ("metric", "set", "category", "model", "n", "value", "low", "high")
CSV_CHANGE = ("against", "change_n", "change", "change_low", "change_high", "p")


def csv_rows(summary: Record) -> list[list[Any]]:
    """Header and rows in long form: a line for each metric and model."""
    rows: list[list[Any]] = [[*CSV_FIELDS, *CSV_CHANGE]]
    for metric in summary["metrics"]:
        for model, estimate in metric["estimates"].items():
            change = metric["differences"].get(model, {})
            rows.append(
                [metric["name"], metric["set"], metric["category"], model]
                + [estimate[field] for field in ("n", "value", "low", "high")]
                + [change.get(field) for field in ("to", "n", "value", "low", "high", "p")]
            )
    return rows
