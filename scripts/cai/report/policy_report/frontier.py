"""Helpfulness against harmlessness, a point a policy: what one has cost the other."""

from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from cai.figures.drawing import SETTINGS, STYLES, WIDTH, Drawing, reach
from cai.files.records import Record

HEADER = ["model", "measure", "n", "value", "low", "high"]


class Axes(NamedTuple):
    """A pair of measures, better to the right and to the top."""

    helpful: str
    harmless: str
    scale: float
    unit: str


PAIRS = (  # the first that was measured is drawn
    Axes("helpful", "harmless", 100, "%"),
    Axes("win_rate_helpful", "win_rate_harmful", 100, "% against helpful-only"),
    Axes("reward_helpful", "reward_harmful", 1, "reward"),
)


def draw_frontier(compared: Record) -> Drawing | None:
    """The models as points with an interval each way; None where no pair was measured.

    Args:
        compared: what :func:`cai.report.policy_report.policy_comparison.compare_policies` gives.
    """
    metrics = {row["name"]: row for row in compared["metrics"]}
    pair = next((p for p in PAIRS if p.helpful in metrics and p.harmless in metrics), None)
    if pair is None:
        return None
    across, up = metrics[pair.helpful], metrics[pair.harmless]
    drawn = [
        (model, across["estimates"][model["name"]], up["estimates"][model["name"]])
        for model in compared["models"]
        if all(model["name"] in row["estimates"] for row in (across, up))
    ]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
        axes = figure.subplots()
        for (model, x, y), (color, marker) in zip(drawn, STYLES, strict=False):
            axes.errorbar(
                pair.scale * x["value"],
                pair.scale * y["value"],
                xerr=_reach(x, pair.scale),
                yerr=_reach(y, pair.scale),
                color=color,
                marker=marker,
                linestyle="none",
                elinewidth=1.2,
                label=model["label"],
            )
        axes.set_xlabel(f"{across['label']}, {pair.unit}")
        axes.set_ylabel(f"{up['label']}, {pair.unit}")
        axes.margins(0.15)
        figure.legend(loc="outside upper center", ncols=len(drawn))
    rows = [
        [model["name"], name, *(found[field] for field in ("n", "value", "low", "high"))]
        for model, x, y in drawn
        for name, found in ((pair.helpful, x), (pair.harmless, y))
    ]
    texts = (
        f"{model['label']} {pair.scale * x['value']:.3g} and {pair.scale * y['value']:.3g}"
        for model, x, y in drawn
    )
    described = f"{across['label']} and {up['label']} ({pair.unit}): {'; '.join(texts)}."
    return Drawing("Helpfulness against harmlessness", described, figure, HEADER, rows)


def _reach(estimate: Record, scale: float) -> list[list[float]]:
    return reach([(scale * estimate["value"], scale * estimate["low"], scale * estimate["high"])])
