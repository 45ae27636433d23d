"""Figures beyond the paper: refusals, and what each principle does."""

from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure

from cai.evaluation.tables import label
from cai.figures.drawing import BLUE, SETTINGS, STYLES, VERMILION, WIDTH, Drawing, dots
from cai.files.records import Record

ROW = 0.36  # inches
ESTIMATE = ("n", "value", "low", "high")


def draw_refusals(record: Record) -> Drawing:
    """A row a set of prompts and measure, a dot with an interval a model."""
    shares = record["shares"]
    rows = list(dict.fromkeys((row["set"], row["measure"]) for row in shares))
    models = list(dict.fromkeys(row["model"] for row in shares))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, ROW * len(rows) + 1.4), layout="constrained")
        axes = figure.subplots()
        for place, (model, style) in enumerate(zip(models, STYLES, strict=False)):
            mine = [row for row in shares if row["model"] == model]
            offset = 0.24 * (place - (len(models) - 1) / 2)
            at = [rows.index((row["set"], row["measure"])) + offset for row in mine]
            dots(axes, mine, at, style, label(model))
        axes.set_yticks(range(len(rows)), [f"{part}: {measure}" for part, measure in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("answers (%), 95% intervals")
        figure.suptitle(record["title"], fontsize=9, fontweight="bold", x=0.02, ha="left")
        figure.legend(loc="outside lower center", ncols=len(models))
    sentences = (
        f"{r['label']}, {r['set']}: {100 * r['value']:.1f}% {r['measure']}" for r in shares
    )
    header = ["set", "measure", "model", *ESTIMATE]
    table = [[row[field] for field in header] for row in shares]
    return Drawing(record["title"], "; ".join(sentences) + ".", figure, header, table)


def draw_principles(record: Record) -> Drawing:
    """Two panels: how much each principle edits, and how often it has an opinion."""
    panels = [
        ("Edit of a text (%)", {k: v["edit"] for k, v in record["supervised"].items()}),
        ("Opinion on a comparison (%)", {k: v["opinion"] for k, v in record["preference"].items()}),
    ]
    panels = [(title, found) for title, found in panels if found]
    heights = [len(found) + 1.0 for _, found in panels]
    with matplotlib.rc_context(SETTINGS):
        size = (WIDTH, ROW * sum(heights) + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (title, found), color in zip(all_axes, panels, (BLUE, VERMILION), strict=False):
            dots(axes, list(found.values()), range(len(found)), (color, "o"))
            axes.set_yticks(range(len(found)), [_named(k, v) for k, v in found.items()])
            axes.set_ylim(len(found) - 0.5, -0.5)
            axes.set_xlim(-3, 103)
            axes.grid(axis="y", visible=False)
            axes.set_title(title)
        figure.suptitle(record["title"], fontsize=9, fontweight="bold", x=0.02, ha="left")
    sentences = [f"{title}: {_described(found)}" for title, found in panels]
    header = ["measure", "principle", *ESTIMATE]
    table = [
        [title, name, *(estimate[field] for field in ESTIMATE)]
        for title, found in panels
        for name, estimate in found.items()
    ]
    return Drawing(record["title"], "; ".join(sentences) + ".", figure, header, table)


def _named(name: str, estimate: Record) -> str:
    return f"{name} (n = {estimate['n']})"


def _described(found: Mapping[str, Record]) -> str:
    return ", ".join(f"{name} {100 * e['value']:.0f}" for name, e in found.items())
