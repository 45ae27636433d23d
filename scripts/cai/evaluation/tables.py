"""The summary of an evaluation as tables: for the report, a terminal, Markdown and CSV."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cai.files.records import Record
from cai.settings.last_stages import POLICIES, START

LABELS = {
    "helpful_only": "Helpful-only",
    "sl_cai": "SL-CAI",
    "rl_cai": "RL-CAI",
    "dpo_cai": "DPO-CAI",
    "best_of_n": "Best of n",
}


def stages(models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each model with the one before it, the earlier first: all last stages follow SL-CAI.

    >>> list(stages(["helpful_only", "sl_cai", "rl_cai", "dpo_cai"]))
    [('helpful_only', 'sl_cai'), ('sl_cai', 'rl_cai'), ('sl_cai', 'dpo_cai')]
    """
    for early, late in itertools.pairwise(models):
        yield (START if late in POLICIES and START in models else early), late


def course(models: Sequence[str], texts: Sequence[str], names: bool = False) -> str:
    """A text for each model, with arrows from stage to stage; last stages are side by side.

    Args:
        models: in the order of the stages.
        texts: one of each.
        names: whether several last stages are to be told apart by their labels.

    >>> course(["sl_cai", "rl_cai", "dpo_cai"], ["43%", "94%", "93%"], names=True)
    '43% → 94% (RL-CAI) / 93% (DPO-CAI)'
    """
    last = [name for name in models if name in POLICIES]
    told = [
        f"{text} ({label(name)})" if names and name in last and len(last) > 1 else text
        for name, text in zip(models, texts, strict=True)
    ]
    before = len(models) - len(last)
    return " → ".join([*told[:before], *([" / ".join(told[before:])] if last else [])])


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
