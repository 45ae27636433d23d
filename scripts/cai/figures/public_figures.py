"""Figures 4, 9, 11 and 12 of Bai et al. 2022 (arXiv 2212.08073), from a run's own models.

Each is a drawing, and a record of what it shows: method, settings, sample sizes, seed, intervals,
tests, where it departs from the paper, and what is missing and why. Where nothing can be computed,
the drawing and the record say so and have no numbers.
"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cai.evaluation.accuracy import (
    ALL,
    Outcomes,
    accuracies,
    by_probability,
    by_reward,
    differences,
    drawn_alone,
)
from cai.evaluation.calibration import Known, calibration, ece_interval
from cai.evaluation.tables import label, sizes
from cai.figures.drawing import GREY, SETTINGS, STYLES, WIDTH, Drawing, dots, reach
from cai.files.records import Record, write_json
from cai.statistics import intervals

NOTE = "note"
ACCURACY = ["method", "set", "n", "value", "low", "high"]
LINE = 62  # characters of a figure's width
LINE_HEIGHT = 0.15  # inches
BAR = 0.34  # inches, the height of a row
METHODS = {
    "reward_model": "Reward model",
    "judge": "Judge",
    "judge_drawn": "Judge, one drawn",
    "judge_all": "Judge, all averaged",
    "reasoning": "Chain of thought",
    "reasoning_averaged": "CoT averaged",
}
FEW = 5  # comparisons below which a bin is drawn hollow
SIZES = "One run's models instead of a range of model sizes."
OWN_SET = "The sets are those that the settings name; the demo's are its own, from its grammar."


def write_figure(path: Path, drawing: Drawing, record: Record) -> None:
    """Write the drawing (SVG, PNG, CSV) and, beside it, the record as JSON."""
    drawing.write(path)
    write_json(path.with_suffix(".json"), record)


def record_of(
    title: str, method: str, departures: Sequence[str], missing: Mapping[str, str], facts: Record
) -> Record:
    """What every figure's record begins with; ``missing`` is what is not there, with why."""
    return {
        "title": title,
        "supported": True,
        "method": method,
        "departures": [*departures, OWN_SET],
        "unsupported": [{"what": what, "why": why} for what, why in missing.items()],
        "level": intervals.LEVEL,
        **facts,
    }


def nothing(record: Record) -> tuple[Drawing, Record]:
    """A figure of which no number can be computed; it says so."""
    lines = [f"{row['what']}: {row['why']}" for row in record["unsupported"]]
    text = "\n".join(["Not supported:", *lines])
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * _wrapped(text).count("\n")))
        axes = figure.add_axes((0.02, 0, 0.96, 0.85))
        axes.set_axis_off()
        figure.suptitle(record["title"], fontsize=9, fontweight="bold", x=0.02, ha="left")
        axes.text(0, 0.95, _wrapped(text), va="top", transform=axes.transAxes)
    rows = [[row["what"], row["why"]] for row in record["unsupported"]]
    header = ["not_supported", "why"]
    drawing = Drawing(record["title"], text.replace("\n", " "), figure, header, rows)
    return drawing, {**record, "supported": False}


def _wrapped(text: str) -> str:
    """The lines cut to the width of a figure."""
    return "\n".join(textwrap.fill(line, LINE) for line in text.splitlines())


# Figures 4 and 11


def hhh_accuracy(
    title: str,
    rewards: Sequence[Record],
    judged: Mapping[str, Sequence[Record]],
    missing: Mapping[str, str],
    facts: Record,
) -> tuple[Drawing, Record]:
    """The share of comparisons in which each method recognises the better answer.

    Args:
        rewards: of both answers, {"id", "set", "chosen", "rejected"}.
        judged: verdicts by method, {"id", "set", "principle", "p_chosen", "judge"}.
        missing: the methods, or the set, that are not there, with why.
        facts: for the record; its ``seed`` is that of the bootstrap.
    """
    record = record_of(
        title,
        "A method is right about a comparison if it prefers the better answer: the reward model by "
        "the higher reward, the judge by the probability that it gives, averaged over both orders "
        "of the answers if it is asked in both. A tie is half right. Intervals are Wilson's; "
        "methods are compared by the sign test on the comparisons that both were asked.",
        [
            SIZES,
            "The judge is the run's own, in its own form of question.",
            "Chain of thought is read as by the run's settings, clamped there if they say so.",
        ],
        missing,
        facts,
    )
    methods, parts = _methods(rewards, judged)
    if not methods:
        return nothing(record)
    rows = accuracies(methods, parts)
    record["accuracies"] = rows
    record["differences"] = differences(methods, next(iter(methods)), facts["seed"])
    labels = {name: METHODS[name] for name in methods}
    return _draw_accuracies(record, rows, labels, chance=0.5), record


def subset_accuracy(
    title: str, rewards: Sequence[Record], missing: Mapping[str, str], facts: Record
) -> tuple[Drawing, Record]:
    """The share of comparisons in which the reward model is right, by subset, and of all.

    Args:
        rewards: of both answers, {"id", "set", "chosen", "rejected"}.
        missing: the set, if it is not there, with why.
        facts: for the record.
    """
    record = record_of(
        title,
        "The reward model is right about a comparison if the chosen answer has the higher reward; "
        "a tie is half right. Intervals are Wilson's.",
        ["All comparisons count alike; RewardBench's own score is a mean of weighted sections."],
        missing,
        facts,
    )
    if not rewards:
        return nothing(record)
    parts = {row["id"]: row["set"] for row in rewards}
    rows = accuracies({"reward_model": by_reward(rewards)}, parts)
    record["accuracies"] = rows
    by_subset = [{**row, "method": row["set"], "set": METHODS["reward_model"]} for row in rows]
    labels = {row["method"]: f"{row['method']} (n = {row['n']})" for row in by_subset}
    return _draw_accuracies(record, by_subset, labels, chance=0.5), record


def _methods(
    rewards: Sequence[Record], judged: Mapping[str, Sequence[Record]]
) -> tuple[dict[str, Outcomes], dict[str, str]]:
    """The outcomes of each method, and the part that each comparison belongs to."""
    methods: dict[str, Outcomes] = {"reward_model": by_reward(rewards)} if rewards else {}
    for name, rows in judged.items():
        methods |= {known: by_probability(under) for known, under in _verdicts(name, rows).items()}
    everything = [*rewards, *(row for rows in judged.values() for row in rows)]
    return methods, {row["id"]: row["set"] for row in everything}


def _verdicts(name: str, rows: Sequence[Record]) -> dict[str, Sequence[Record]]:
    """The verdicts of a method; of a judge that was asked by several principles, both ways."""
    alone = drawn_alone(rows) if name == "judge" else []
    return {"judge_drawn": alone, "judge_all": rows} if alone else {name: rows}


def _draw_accuracies(
    record: Record, rows: Sequence[Record], labels: Mapping[str, str], chance: float | None
) -> Drawing:
    """A row a method, a dot and an interval a part."""
    parts = list(dict.fromkeys(row["set"] for row in rows))
    names = list(labels)
    offsets = {part: 0.7 * ((i + 0.5) / len(parts) - 0.5) for i, part in enumerate(parts)}
    height = BAR * len(names) * max(1, 0.6 * len(parts)) + 1.3
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        for part, style in zip(parts, cycle(STYLES), strict=False):
            mine = [row for row in rows if row["set"] == part]
            places = [names.index(row["method"]) + offsets[part] for row in mine]
            dots(axes, mine, places, style, f"{part} (n = {sizes(mine)})")
        if chance is not None:
            axes.axvline(100 * chance, color=GREY, linestyle=":", linewidth=1.2, label="chance")
        axes.set_yticks(range(len(names)), [labels[name] for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(-3, 103)
        axes.set_xlabel(f"right (%), 95% intervals, seed {record['seed']}")
        _annotate(figure, record, columns=2)
    sentences = (
        f"{labels[r['method']]}, {r['set']}: {100 * r['value']:.1f}% of {r['n']}" for r in rows
    )
    description = "; ".join([*sentences, *_missing(record).values()]) + "."
    table = [[*(row[field] for field in ACCURACY), ""] for row in rows]
    return Drawing(
        record["title"], description, figure, [*ACCURACY, NOTE], table + _noted(record, ACCURACY)
    )


def _missing(record: Record) -> dict[str, str]:
    """What is not there, each in words."""
    return {
        row["what"]: f"{row['what']}: not supported: {row['why']}" for row in record["unsupported"]
    }


def _annotate(figure: Figure, record: Record, columns: int) -> None:
    """Set the title, what is not there as the legend's heading, and make room for it."""
    notes = "\n".join(_wrapped(text) for text in _missing(record).values())
    figure.suptitle(record["title"], fontsize=9, fontweight="bold", x=0.02, ha="left")
    legend = figure.legend(
        loc="outside lower left", ncols=columns, title=notes or None, alignment="left"
    )
    legend.get_title().set_fontsize(8)
    figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * (notes.count("\n") + 1))


def _noted(record: Record, columns: Sequence[str]) -> list[list[str]]:
    """Rows of a table about what is not there, without a number."""
    empty = [""] * (len(columns) - 1)
    return [[what, *empty, text] for what, text in _missing(record).items()]


# Figure 9


def judge_calibration(
    title: str,
    judged: Mapping[str, Sequence[Record]],
    missing: Mapping[str, str],
    facts: Record,
) -> tuple[Drawing, Record]:
    """How often a judge is right, against how sure it is, of HHH comparisons."""
    record = record_of(
        title,
        "Comparisons are binned by the probability that the judge gives to the answer that it "
        "prefers; a bin's accuracy has Wilson's interval. The expected calibration error (ECE) has "
        "a basic bootstrap interval, and is shown beside the error that a calibrated judge of the "
        "same confidences would have by chance.",
        ["Bins go from 50 to 100 %: which answer is called (A) does not matter."],
        missing,
        facts,
    )
    series = {}
    for name, rows in judged.items():
        for known, verdicts in _verdicts(name, rows).items():
            series[known] = _calibration(verdicts, facts["seed"])
    if not series:
        return nothing(record)
    record["judges"] = series
    return _draw_calibration(record, series), record


def _calibration(rows: Sequence[Record], seed: int) -> Record:
    known = [Known(row["p_chosen"], True) for row in rows]
    found = calibration(known)
    for row in found["table"]:
        count = row["comparisons"]
        interval = intervals.share_of(row["accuracy"] * count, count)
        row |= {"low": interval.low, "high": interval.high}
    return {**found, "ece_interval": ece_interval(known, seed)}


def _draw_bins(axes: Any, table: Sequence[Record], style: tuple[str, str], label: str) -> None:
    """The accuracy in each bin of confidence; bins of few comparisons are hollow."""
    color, marker = style
    axes.errorbar(
        [100 * row["confidence"] for row in table],
        [100 * row["accuracy"] for row in table],
        yerr=reach((100 * r["accuracy"], 100 * r["low"], 100 * r["high"]) for r in table),
        color=color,
        marker=marker,
        linestyle="none",
        label=label,
    )
    few = [row for row in table if row["comparisons"] < FEW]
    axes.plot(
        [100 * row["confidence"] for row in few],
        [100 * row["accuracy"] for row in few],
        color="white",
        marker=marker,
        markersize=3,
        linestyle="none",
        zorder=3,
    )


def _draw_calibration(record: Record, series: Mapping[str, Record]) -> Drawing:
    header = ["method", "from", "to", "comparisons", "confidence", "accuracy", "low", "high"]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        axes = figure.subplots()
        axes.plot([50, 100], [50, 100], color=GREY, linestyle=":", label="calibrated")
        for (name, found), style in zip(series.items(), cycle(STYLES[1:]), strict=False):
            _draw_bins(axes, found["table"], style, f"{METHODS[name]}: ECE {_ece_text(found)}")
        counts = sizes({"n": found["comparisons"]} for found in series.values())
        axes.set_title(f"n = {counts}, seed {record['seed']}; hollow: under {FEW} in the bin")
        axes.set_xlabel("probability of the preferred answer (%)")
        axes.set_ylabel("preferred answer is the better (%)")
        axes.set_xlim(49, 101)
        axes.set_ylim(-3, 103)
        _annotate(figure, record, columns=1)
    rows = [
        [name, *(row[field] for field in header[1:]), ""]
        for name, found in series.items()
        for row in found["table"]
    ]
    sentences = [f"{METHODS[name]}: ECE {_ece_text(found)}" for name, found in series.items()]
    description = "; ".join([*sentences, *_missing(record).values()]) + "."
    return Drawing(
        record["title"], description, figure, [*header, NOTE], rows + _noted(record, header)
    )


def _ece_text(found: Record) -> str:
    interval = found["ece_interval"]
    return f"{found['ece']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


# Figure 12


def harm_identification(
    title: str,
    answers: Mapping[str, Mapping[str, Sequence[Record]]],
    missing: Mapping[str, str],
    facts: Record,
) -> tuple[Drawing, Record]:
    """The share of questions about harm that each model answers right, by set.

    Args:
        answers: by set and model, {"id", "correct", "probabilities", "right"}.
    """
    record = record_of(
        title,
        "A model answers with the choice whose text is the most probable after the question, in "
        "its own chat template. Intervals are Wilson's; models are compared with the first by the "
        "sign test on the same questions.",
        [
            SIZES,
            "The models of the run (helpful-only, SL-CAI, RL-CAI) instead of pretrained ones; what "
            "they were fine-tuned on holds no such questions.",
        ],
        missing,
        facts,
    )
    if not answers:
        return nothing(record)
    rows, changes = [], []
    for name, models in answers.items():
        outcomes = {
            model: {row["id"]: float(row["right"]) for row in found}
            for model, found in models.items()
        }
        everything = [row["id"] for found in models.values() for row in found]
        mine = accuracies(outcomes, dict.fromkeys(everything, ALL))
        rows += [{**row, "set": name, "chance": _chance(models)} for row in mine]
        compared = differences(outcomes, next(iter(outcomes)), facts["seed"])
        changes += [{"set": name, **change} for change in compared]
    record["accuracies"], record["differences"] = rows, changes
    labels = {model: label(model) for models in answers.values() for model in models}
    chances = {row["chance"] for row in rows}
    return _draw_accuracies(
        record, rows, labels, chances.pop() if len(chances) == 1 else None
    ), record


def _chance(models: Mapping[str, Sequence[Record]]) -> float:
    """The share that guessing gets right."""
    rows = [row for found in models.values() for row in found]
    return sum(1 / len(row["probabilities"]) for row in rows) / len(rows)
