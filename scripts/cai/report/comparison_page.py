"""A comparison as a page, as a figure, as a table for a terminal and as CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.core.changes import marked
from cai.evaluation import tables
from cai.evaluation.warnings import warning_list
from cai.figures import drawing
from cai.files.records import Record
from cai.report import drawings, page
from cai.report.run_facts import UNKNOWN

MOST = 6  # settings that a terminal shows; the page has all


def render(compared: Record, picture: Path | None) -> str:
    """The comparison as HTML, with the figure that :func:`draw` has written, if any."""
    caption = f"On the same {compared['prompts']} held-out prompts. Bars are 95% intervals."
    figure = drawings.read_figure(picture) | {"caption": caption} if picture else None
    return page.render(
        "comparison.html.j2",
        **compared | {"warnings": warning_list.grouped(compared["warnings"])},
        facts=_facts(*(run["facts"] for run in compared["runs"])),
        figure=figure,
        palette=drawings.palette([figure] if figure else []),
        by_model=[
            {"label": tables.label(model), "rows": described(compared, model)}
            for model in compared["models"]
        ],
        last=tables.label(compared["models"][-1]),
        duels=[_described_duel(row) for row in compared["head_to_head"]],
        warned=_warned(compared["warnings"]),
        sections=[
            ("results", "Results"),
            ("transcripts", "Answers before and after"),
            ("run", "The two runs"),
            ("cost", "Cost"),
        ],
    )


def _facts(a: Mapping[str, str], b: Mapping[str, str]) -> list[Record]:
    """What was run, both values by name; what a report of an older version lacks is not known."""
    return [
        {"name": name, "a": a.get(name, UNKNOWN), "b": b.get(name, UNKNOWN)}
        for name in dict.fromkeys([*a, *b])
    ]


def _warned(warnings: Sequence[Record]) -> str:
    """How many warnings there are, and how many of them are explained."""
    expected = sum(bool(warning["expected"]) for warning in warnings)
    count = len(warnings)
    return f"{count} {'warning' if count == 1 else 'warnings'}" + (
        f", {expected} of them expected" if expected else ""
    )


def described(compared: Record, model: str) -> list[Record]:
    """The rows of one model's table, as texts."""
    rows = [row for row in compared["metrics"] if row["model"] == model]
    return [
        {
            "label": row["label"],
            "category": row["category"],
            "n": row["change"]["n"],
            **{side: parted(tables.estimate_text(row, row[side])) for side in ("a", "b")},
            "change": parted(tables.change_text(row, row["change"])),
            "p": tables.p_text(row["change"]["adjusted_p"]),
            "verdict": row["verdict"],
        }
        for row in rows
    ]


def _described_duel(row: Record) -> Record:
    won = tables.estimate_text({"kind": "probability"}, row)
    p = tables.p_text(row["change"]["adjusted_p"])
    return {"set": row["set"], "n": row["n"], "won": won, "p": p, "verdict": row["verdict"]}


def parted(text: str) -> tuple[str, str]:
    """A value and its interval."""
    value, bracket, interval = text.partition("[")
    return value.strip(), bracket + interval


def plain(compared: Record) -> str:
    """The answer in one sentence, what was edited, and the table of the last model."""
    names = [run["name"] for run in compared["runs"]]
    last = compared["models"][-1]
    columns = ("label", "n", "a", "b", "change", "p", "verdict")
    rows = [
        [" ".join(cell) if isinstance(cell, tuple) else str(cell) for cell in map(row.get, columns)]
        for row in described(compared, last)
    ]
    table = tables.plain([tables.label(last), "n", *names, "change", "p (Holm)", ""], rows)
    return "\n\n".join([compared["headline"], *_edited(compared), table])


def _edited(compared: Record) -> list[str]:
    """The principles that differ, word by word; fields that differ, with both values."""
    lines = [
        line
        for row in compared["principles"]
        if row["change"] != "same"
        for line in (f"{row['id']} {row['change']}", *_texts(row["texts"]))
    ]
    fields = [f"{row['field']}: {row['a']} -> {row['b']}" for row in compared["settings"]]
    more = [f"... and {len(fields) - MOST} more settings, see the page"]
    lines += [*fields[:MOST], *(more if len(fields) > MOST else [])]
    return ["\n".join(lines)] if lines else []


def _texts(texts: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    return [f"  {field}: {marked(runs)}" for field, runs in texts.items() if runs]


def draw(compared: Record) -> drawing.Drawing | None:
    """Harmlessness, helpfulness and over-refusal of the last model in both runs, with intervals.

    None where neither was measured in the same way in both.
    """
    last = compared["models"][-1]
    names = {"a": compared["runs"][0]["name"], "b": compared["runs"][1]["name"]}
    metrics = [
        {**row, "estimates": {name: row[side] for side, name in names.items()}}
        for row in compared["metrics"]
        if row["model"] == last
    ]
    if not any(drawing.is_drawn(metric) for metric in metrics):
        return None
    models = [{"name": name} for name in names.values()]
    drawn = drawing.draw_evaluation({"models": models, "metrics": metrics})
    drawn.title = f"{tables.label(last)}: {names['a']} and {names['b']}"
    return drawn


CSV_FIELDS = ("model", "metric", "set", "category", "n", "a", "a_low", "a_high", "b", "b_low")
CSV_CHANGE = ("b_high", "change", "low", "high", "p", "adjusted_p", "verdict")


def csv_rows(compared: Record) -> list[list[Any]]:
    """Header and rows: a line for each model and measure."""

    def row(metric: Mapping[str, Any]) -> list[Any]:
        change = metric["change"]
        return [
            *(metric[name] for name in ("model", "name", "set", "category")),
            change["n"],
            *(metric[side][name] for side in ("a", "b") for name in ("value", "low", "high")),
            *(change[name] for name in ("value", "low", "high", "p", "adjusted_p")),
            metric["verdict"],
        ]

    return [[*CSV_FIELDS, *CSV_CHANGE], *map(row, compared["metrics"])]
