"""What every figure of the paper says of itself, in the drawing and in a JSON file beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cai.figures.drawing import Drawing, reach
from cai.files.records import Record, write_json
from cai.statistics.intervals import LEVEL, RESAMPLES, Estimate

PAPER = "Bai et al. 2022, Constitutional AI: Harmlessness from AI Feedback (arXiv 2212.08073)"
NOTE_SIZE = 7.5  # points
BOOTSTRAP = f"{LEVEL:.0%} percentile bootstrap over prompts, {RESAMPLES} draws"


@dataclass
class Artefact:
    """A figure with what a reader must know of it.

    Attributes:
        figure: which it is in the paper, such as "Figure 8".
        drawing: to be written as SVG, PNG and CSV.
        method: how the numbers come about, a sentence each.
        departures: from the paper, a sentence each.
        settings: what the configuration says of it.
        samples: sample sizes by what they are of.
        seed: of all draws.
        intervals: what the intervals are.
        results: all numbers, with their intervals.
        supported: false if the run has no data for it; ``method`` then says why.
    """

    figure: str
    drawing: Drawing
    method: Sequence[str]
    departures: Sequence[str]
    settings: Record
    samples: Record
    seed: int
    intervals: str = BOOTSTRAP
    results: Record = field(default_factory=dict)
    supported: bool = True

    def write(self, path: Path) -> None:
        """Write the SVG and, beside it, PNG, CSV and JSON files of the same name."""
        self.drawing.write(path)
        facts: Record = {
            "figure": self.figure,
            "paper": PAPER,
            "title": self.drawing.title,
            "description": self.drawing.description,
            "supported": self.supported,
            "method": list(self.method),
            "departures": list(self.departures),
            "settings": self.settings,
            "samples": self.samples,
            "seed": self.seed,
            "intervals": self.intervals,
            "results": self.results,
        }
        write_json(path.with_suffix(".json"), facts)


def frame(figure: Figure, title: str, note: str, **place: float) -> None:
    """Set the title above a figure (at ``y``) and, below it, what it was made from."""
    figure.suptitle(title, fontsize=9.5, fontweight="bold", x=0.01, ha="left", **place)
    figure.supxlabel(note, fontsize=NOTE_SIZE, x=0.01, ha="left", color="#444444")


def curve(axes: Any, xs: Sequence[float], estimates: Sequence[Estimate], **style: Any) -> None:
    """Points with bars for their intervals, joined by a line."""
    values = [estimate.value for estimate in estimates]
    errors = reach((estimate.value, estimate.low, estimate.high) for estimate in estimates)
    axes.errorbar(xs, values, yerr=errors, elinewidth=1.2, capsize=2, **style)


def level_line(axes: Any, estimate: Estimate, label: str, color: str) -> None:
    """A horizontal line with its interval as a band, for what has no place on the axis."""
    axes.axhline(estimate.value, color=color, linestyle="--", linewidth=1.2, label=label)
    axes.axhspan(estimate.low, estimate.high, color=color, alpha=0.15, linewidth=0)


def legend_below(axes: Any, columns: int = 1) -> None:
    """A legend in its own strip at the foot of a panel, where it covers no data."""
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.25 * (high - low), high)
    axes.legend(fontsize=7.5, ncols=columns, loc="lower left")


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate in another unit."""
    return Estimate(estimate.n, *(factor * value for value in estimate[1:]))


def unsupported(figure: str, title: str, reason: str, settings: Record, seed: int) -> Artefact:
    """A figure with the reason why it cannot be made."""
    blank = Figure(figsize=(4.2, 1.2), layout="constrained")
    frame(blank, title, f"not supported: {reason}")
    drawing = Drawing(title, f"Not supported: {reason}.", blank, ["reason"], [[reason]])
    method = [f"Not supported: {reason}."]
    return Artefact(figure, drawing, method, [], settings, {}, seed, "none", supported=False)
