"""Figures: as SVG for the web, PNG for slides, and CSV with the numbers that are drawn.

Files depend on the data alone: no date, no random ids. Text stays text, so it can be searched,
and every figure is legible at a width of 400 pixels. Colors are Okabe and Ito's, which
color-blind readers can distinguish (jfly.uni-koeln.de/color); each series has its own marker, too.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from cai.core.errors import UserError, fail_if
from cai.core.shown import shown
from cai.evaluation.tables import label
from cai.files.records import Record, atomic, write_csv, write_text

GREY, ORANGE, BLUE, GREEN, VERMILION = "#5f5f5f", "#e69f00", "#0072b2", "#009e73", "#d55e00"
STYLES = ((GREY, "s"), (ORANGE, "^"), (BLUE, "o"), (GREEN, "D"), (VERMILION, "v"))
CURVE_STYLES = ((BLUE, "o"), (VERMILION, "D"))
WIDTH = 4.2  # inches; with 9-point text, legible at 400 pixels
PANEL = 1.35  # inches, the height of a panel of curves
NOISY = 40  # points from which on a curve is drawn with its running mean
ROW = 0.42  # inches, the height of a row of the evaluation's figure
SETTINGS: dict[RcKeyType, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a text is a $
}

Rows = list[list[Any]]
Metrics = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Series:
    """One curve: a tag of a metrics file; ``sparse`` ones are drawn as points."""

    tag: str
    name: str
    sparse: bool = False


@dataclass(frozen=True)
class Panel:
    """One small chart: its title, and the curves that are drawn where the file has them.

    ``own_steps``: they count other steps than the rest of the file.
    """

    title: str
    series: tuple[Series, ...]
    percent: bool = False
    optional: bool = False
    own_steps: bool = False


def _train_and_validation(title: str, metric: str, percent: bool = False) -> Panel:
    series = (Series(f"train/{metric}", "training"), Series(f"val/{metric}", "validation", True))
    return Panel(title, series, percent)


# Tags of NeMo-Aligner 0.7.0: algorithms/{supervised,dpo,ppo}.py and the models' metrics.
SFT_PANELS = (_train_and_validation("SFT: loss", "loss"),)
REWARD_MODEL_PANELS = (
    _train_and_validation("Reward model: loss", "loss"),
    _train_and_validation("Reward model: accuracy", "acc", percent=True),
)
DPO_PANELS = (
    _train_and_validation("DPO: loss", "loss"),
    _train_and_validation("DPO: accuracy", "acc", percent=True),
    Panel(
        "Reward of the chosen and of the rejected answer (nats)",
        (
            Series("train/rewards_chosen_mean", "chosen"),
            Series("train/rewards_rejected_mean", "rejected"),
        ),
    ),
)
BEST_OF_N_PANELS = (_train_and_validation("Best of n, SFT: loss", "loss"),)
PPO_PANELS = (
    Panel(
        "Reward",
        (
            Series("train_rollouts/rewards", "rollouts"),
            Series("val_rollouts/rewards", "validation", True),
        ),
    ),
    Panel(
        "KL from SL-CAI (nats per token)", (Series("train_rollouts/init_policy_kl", "rollouts"),)
    ),
    Panel("Answer length (tokens)", (Series("train_rollouts/generation_length", "rollouts"),)),
    Panel(
        "Answers that ended",
        (Series("train_rollouts/fraction_of_samples_properly_ended", "rollouts"),),
        percent=True,
    ),
    Panel("Entropy bonus", (Series("train_optim/scaled_entropy", "updates"),), optional=True),
    Panel(
        "Value and return",
        (
            Series("train_rollouts/values_mean", "value"),
            Series("train_rollouts/returns_mean", "return"),
        ),
        optional=True,
    ),
    Panel("Policy: loss", (Series("train_optim/loss", "updates"),), optional=True),
    Panel(
        "Critic: loss (by its own updates)",
        (Series("critic/train/loss", "updates"),),
        optional=True,
        own_steps=True,
    ),
)


@dataclass
class Drawing:
    """A figure that is ready to be written, with the numbers in it."""

    title: str
    description: str
    figure: Figure
    header: list[str]
    rows: Rows = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the SVG and, beside it, a PNG and a CSV of the same name."""
        fail_if(
            path.suffix != ".svg", f"{path}: a figure's name ends in .svg, found {path.suffix!r}"
        )
        _place(self.figure)
        write_text(path, self._svg(path.stem))
        with atomic(path.with_suffix(".png"), "wb") as stream:
            self.figure.savefig(stream, format="png", dpi=200, metadata={"Software": None})
        write_csv(path.with_suffix(".csv"), [self.header, *self.rows])

    def _svg(self, salt: str) -> str:
        stream = io.StringIO()
        metadata = {"Date": None, "Title": self.title, "Description": self.description}
        with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
            self.figure.savefig(stream, format="svg", metadata=metadata)
        return shown(_accessible(stream.getvalue(), self.title, self.description))


def _place(figure: Figure) -> None:
    """Put the panels where the layout wants them, to a millionth of the figure's size.

    The last bit of what the solver of a constrained layout finds depends on addresses in memory. An
    SVG shows that bit: it names a panel's clip path by a hash of where the panel is.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def _accessible(svg: str, title: str, description: str) -> str:
    """The SVG with a title and a description that screen readers and browsers show."""
    names = f"<title>{escape(title)}</title>\n <desc>{escape(description)}</desc>"
    return re.sub(r"(<svg [^>]*)>", lambda tag: f'{tag[1]} role="img">\n {names}', svg, count=1)


# Training curves

Curves = list[tuple[Series, list[tuple[int, float]]]]
Drawn = tuple[Panel, Curves, int]  # with the last step of its file, where its axis ends


def read_metrics(path: Path) -> Metrics:
    """The points ``(step, value)`` of each tag of a metrics file, in the order of the steps.

    Raises:
        UserError: if it is not one, or holds nothing.
    """
    metrics: Metrics = {}
    with open(path, newline="") as stream:
        rows = csv.DictReader(stream)
        columns = rows.fieldnames or []
        fail_if(
            not {"tag", "step", "value"} <= set(columns),
            f"{path}: expected columns tag, step and value, found {', '.join(columns) or 'none'}",
        )
        for row in rows:
            try:
                point = int(row["step"]), float(row["value"])
            except (TypeError, ValueError):
                raise UserError(f"{path}:{rows.line_num}: expected numbers, found {row}") from None
            metrics.setdefault(row["tag"], []).append(point)
    fail_if(not metrics, f"{path}: holds no metrics")
    return {tag: sorted(points) for tag, points in metrics.items()}


def draw_curves(title: str, parts: Sequence[tuple[Path, Sequence[Panel]]]) -> Drawing:
    """Small charts below one another, one for each panel that a metrics file has something for.

    A long curve is drawn pale, with its running mean over a tenth of the steps.

    Raises:
        UserError: if a file lacks a metric that every run of its kind has.
    """
    panels = [found for path, wanted in parts for found in _panels(path, wanted)]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, PANEL * len(panels)), layout="constrained")
        all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, drawn in zip(all_axes, panels, strict=True):
            _draw_panel(axes, *drawn)
        all_axes[-1].set_xlabel("step")
    rows = [
        [panel.title, series.name, series.tag, step, value]
        for panel, curves, _ in panels
        for series, points in curves
        for step, value in points
    ]
    description = "; ".join(_described(panel, curves) for panel, curves, _ in panels) + "."
    return Drawing(title, description, figure, ["panel", "series", "tag", "step", "value"], rows)


def _panels(path: Path, wanted: Sequence[Panel]) -> list[Drawn]:
    metrics = read_metrics(path)
    found = []
    for panel in wanted:
        curves = [(s, metrics[s.tag]) for s in panel.series if s.tag in metrics]
        if panel.optional and not any(value for _, points in curves for _, value in points):
            continue
        fail_if(
            not curves,
            f"{path}: no metric {panel.series[0].tag}, which {panel.title!r} is drawn from",
        )
        found.append((panel, curves))
    last = max(_last(curves) for panel, curves in found if not panel.own_steps)
    return [(p, curves, _last(curves) if p.own_steps else last) for p, curves in found]


def _last(curves: Curves) -> int:
    return max(points[-1][0] for _, points in curves)


def _draw_panel(axes: Any, panel: Panel, curves: Curves, last: int) -> None:
    scale = 100 if panel.percent else 1
    for (series, points), (color, marker) in zip(curves, CURVE_STYLES, strict=False):
        lone = series.sparse or len(points) == 1
        style: dict[str, Any]
        style = {"linestyle": "none" if lone else "-", "marker": marker if lone else None}
        steps = [step for step, _ in points]
        values = [scale * value for _, value in points]
        if not lone and len(points) >= NOISY:
            axes.plot(steps, values, color=color, alpha=0.3, linewidth=1)
            values = running_mean(values, len(values) // 10)
        axes.plot(steps, values, color=color, label=series.name, **style)
    axes.set_title(panel.title + (" (%)" if panel.percent else ""))
    axes.set_xlim(-0.03 * max(last, 1), 1.03 * max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    if panel.percent:
        axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    if len(curves) > 1:
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.96), "borderpad": 0}
        axes.legend(ncols=len(curves), handlelength=1.1, columnspacing=1, **place)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last ``window`` values at each place; of fewer at the beginning."""
    last = [values[max(0, i + 1 - window) : i + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in last]


def _described(panel: Panel, curves: Curves) -> str:
    points = curves[0][1]
    return f"{panel.title}: from {points[0][1]:.3g} to {points[-1][1]:.3g}"


# Evaluation

BLOCKS = (
    ("Share of prompts (%)", ("harmless", "helpful", "over_refusal"), 100),
    ("Judge win rate against helpful-only (%)", ("win_rate_harmful", "win_rate_helpful"), 100),
    ("Mean reward", ("reward_harmful", "reward_helpful"), 1),
)


def draw_evaluation(summary: Record) -> Drawing:
    """Each measure as a row with a dot and an interval bar a model.

    Harmlessness (by category, too), helpfulness and over-refusal where there is a classifier;
    win rates and rewards where there are these.

    Raises:
        UserError: if the summary holds none of them.
    """
    blocks = [(title, _block(summary, names), scale) for title, names, scale in BLOCKS]
    blocks = [block for block in blocks if block[1]]
    fail_if(not blocks, "the summary holds nothing to draw: no truth, win rates or rewards")
    models = [model["name"] for model in summary["models"]]
    heights = [len(metrics) + 1.2 for _, metrics, _ in blocks]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, ROW * (sum(heights) + 1)), layout="constrained")
        all_axes = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (title, metrics, scale) in zip(all_axes, blocks, strict=True):
            _draw_block(axes, title, metrics, models, scale)
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(models))
    rows = [
        [metric["name"], model, *(estimate[f] for f in ("n", "value", "low", "high"))]
        for _, metrics, _ in blocks
        for metric in metrics
        for model, estimate in metric["estimates"].items()
    ]
    description = " ".join(
        _described_metric(metric, scale) for _, ms, scale in blocks for metric in ms
    )
    header = ["metric", "model", "n", "value", "low", "high"]
    return Drawing("Harmlessness and helpfulness by stage", description, figure, header, rows)


def is_drawn(metric: Record) -> bool:
    """Whether :func:`draw_evaluation` has a place for a metric."""
    return any(metric["name"].split(".")[0] in names for _, names, _ in BLOCKS)


def _block(summary: Record, names: Sequence[str]) -> list[Record]:
    return [m for m in summary["metrics"] if m["name"].split(".")[0] in names]


def _draw_block(
    axes: Any, title: str, metrics: list[Record], models: list[str], scale: float
) -> None:
    offsets = {model: 0.24 * (i - (len(models) - 1) / 2) for i, model in enumerate(models)}
    for model, style in zip(models, STYLES, strict=False):
        measured = [
            (i, m["estimates"][model]) for i, m in enumerate(metrics) if model in m["estimates"]
        ]
        places = [i + offsets[model] for i, _ in measured]
        dots(axes, [estimate for _, estimate in measured], places, style, label(model), scale)
    axes.set_title(title)
    axes.set_yticks(range(len(metrics)), [_row_label(metric) for metric in metrics])
    axes.set_ylim(len(metrics) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if scale == 100:
        axes.set_xlim(-3, 103)


def reach(intervals: Iterable[tuple[float, float, float]]) -> list[list[float]]:
    """How far intervals (value, low, high) reach below and above their values, for error bars.

    A resampled interval may miss its value by a rounding error: there it reaches no distance.
    """
    rows = list(intervals)
    below = [max(0.0, value - low) for value, low, _ in rows]
    return [below, [max(0.0, high - value) for value, _, high in rows]]


def dots(
    axes: Any,
    estimates: Sequence[Record],
    places: Sequence[float],
    style: tuple[str, str],
    name: str | None = None,
    scale: float = 100,
) -> None:
    """Estimates as dots with interval bars: in percent, or times another scale.

    Args:
        places: of the dots on the other axis.
        style: color and marker.
        name: in the legend.
    """
    color, marker = style
    axes.errorbar(
        [scale * e["value"] for e in estimates],
        list(places),
        xerr=reach((scale * e["value"], scale * e["low"], scale * e["high"]) for e in estimates),
        color=color,
        marker=marker,
        linestyle="none",
        elinewidth=1.6,
        label=name,
    )


def _row_label(metric: Record) -> str:
    label: str = metric["label"]
    return label.replace("Judge win rate, ", "on ").replace("Reward, ", "on ")


def _described_metric(metric: Record, scale: float) -> str:
    unit = "%" if scale == 100 else ""
    values = (f"{label(m)} {scale * e['value']:.1f}{unit}" for m, e in metric["estimates"].items())
    return f"{metric['label'].replace(chr(0x2013), 'Harmless,')}: {', '.join(values)}."
