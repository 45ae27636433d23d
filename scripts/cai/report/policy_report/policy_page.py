"""The last stages side by side as a page, as a table for a terminal and as CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.evaluation import tables
from cai.evaluation.warnings import warning_list
from cai.figures import drawing
from cai.files.records import Record
from cai.report import drawings, page
from cai.report.comparison_page import parted

HEADLINES = ("harmless", "helpful", "win_rate_harmful", "reward_harmful")  # the first one measured


CAPTION = "On the same held-out prompts. Bars are 95% intervals."
FRONTIER = "Better to the right and to the top. " + CAPTION


def draw(compared: Record) -> drawing.Drawing | None:
    """Harmlessness, helpfulness, over-refusal, win rates, rewards; None if there is none."""
    if not any(drawing.is_drawn(metric) for metric in compared["metrics"]):
        return None
    drawn = drawing.draw_evaluation(compared)
    drawn.title = "The last stages"
    return drawn


def render(
    compared: Record,
    transcripts: Mapping[str, Record],
    sampled: bool,
    pictures: Mapping[str, Path],
) -> str:
    """The comparison as HTML.

    Args:
        compared: what :func:`cai.report.policy_report.policy_comparison.compare_policies` gives.
        transcripts: what :func:`cai.report.policy_report.policy_comparison.transcripts` gives.
        sampled: whether answers were sampled at temperature 1 without a cut.
        pictures: of the figures that were drawn: :func:`draw`'s as ``figure``, the one of
            :mod:`cai.report.policy_report.frontier` as ``frontier``.
    """
    captions = {"figure": CAPTION, "frontier": FRONTIER}
    figures = [
        drawings.read_figure(pictures[name]) | {"caption": caption}
        for name, caption in captions.items()
        if name in pictures
    ]
    told = ("level", "prompts", "models")
    return page.render(
        "policies.html.j2",
        **{name: compared[name] for name in told},
        headline=headline(compared),
        rows=_rows(compared),
        pairs=_pairs(compared),
        kl=[_divergence(row) for row in compared["kl"]],
        costs=[_cost(row) for row in compared["costs"]],
        transcripts=transcripts,
        sampled=sampled,
        warnings=warning_list.grouped(compared["warnings"]),
        figures=figures,
        palette=drawings.palette(figures),
        sections=[
            ("results", "Results"),
            ("tests", "Differences"),
            ("kl", "How far each went"),
            ("cost", "What each took"),
            ("transcripts", "Answers that differ"),
        ],
    )


def headline(compared: Record) -> str:
    """What was measured first of all, for each model, in one sentence."""
    measured = {row["name"]: row for row in compared["metrics"]}
    parts: list[str] = []
    for name in HEADLINES:
        if name not in measured or (parts and name.endswith("harmful")):
            continue
        metric = measured[name]
        values = [
            f"{model['label']} {parted(tables.estimate_text(metric, estimate))[0]}"
            for model in compared["models"]
            if (estimate := metric["estimates"].get(model["name"]))
        ]
        parts.append(f"{metric['label']}: {', '.join(values)}.")
    return " ".join(parts)


def _rows(compared: Record) -> list[Record]:
    """The rows of the table of results, as texts."""
    return [
        {
            "label": row["label"],
            "category": row["category"],
            "sizes": tables.sizes(row["estimates"].values()),
            "cells": [
                parted(tables.estimate_text(row, found)) if found else ("", "")
                for model in compared["models"]
                for found in [row["estimates"].get(model["name"])]
            ],
        }
        for row in compared["metrics"]
    ]


def _pairs(compared: Record) -> list[Record]:
    """The tests by pair of models, as texts; the pairs of last stages come first."""
    pairs: dict[tuple[str, str], list[Record]] = {}
    for test in compared["tests"]:
        pairs.setdefault((test["from"], test["to"]), []).append(test)
    start = compared["models"][0]["name"]
    return [
        {
            "from": tables.label(early),
            "to": tables.label(late),
            "found": ", ".join(f"{t['label']} {t['verdict']}" for t in tests if t["verdict"]),
            "rows": [_described(test) for test in tests],
        }
        for (early, late), tests in sorted(pairs.items(), key=lambda pair: pair[0][0] == start)
    ]


def _described(test: Record) -> Record:
    return {
        "label": test["label"],
        "category": test["category"],
        "n": test["change"]["n"],
        "change": parted(tables.change_text(test, test["change"])),
        "p": tables.p_text(test["change"]["adjusted_p"]),
        "verdict": test["verdict"],
    }


def _divergence(row: Record) -> Record:
    if row["answer"] is None:
        return {"label": row["label"], "answer": "not measured", "token": ""}
    answer = "{value:.2f} [{low:.2f}, {high:.2f}]".format(**row["answer"])
    return {"label": row["label"], "answer": answer, "token": f"{row['token']:.3f}"}


def _cost(row: Record) -> Record:
    """A policy's cost as texts; what is estimated has a star, what is not known is said."""
    whole = f">= {row['seconds']:,.0f}" if row["unknown"] else f"{row['seconds']:,.0f}"
    mark = "*" if row["estimated"] else ""
    source = "unknown in part" if row["unknown"] else "estimated" if mark else "measured"
    return {
        "label": row["label"],
        "parts": [_cost_part(part) for part in row["parts"]],
        "source": source,
        "seconds": whole + mark,
        "gpu_hours": f"{row['gpu_hours']:,.2f}{mark}",
    }


def _cost_part(part: Record) -> Record:
    if part["source"] == "unknown":
        return {"name": part["name"], "source": "unknown", "seconds": "", "gpu_hours": ""}
    mark = "*" if part["source"] == "estimated" else ""
    seconds, hours = f"{part['seconds']:,.0f}{mark}", f"{part['gpu_hours']:,.2f}{mark}"
    return {
        "name": part["name"],
        "source": part["source"],
        "seconds": seconds,
        "gpu_hours": hours,
    }


def plain(compared: Record) -> str:
    """The results as a table for a terminal, with KL divergence and cost; then the warnings."""
    kl = {row["policy"]: _divergence(row)["answer"] for row in compared["kl"]}
    costs = {row["policy"]: _cost(row) for row in compared["costs"]}
    names = [model["name"] for model in compared["models"]]
    rows = [[row["label"], *map(" ".join, row["cells"])] for row in _rows(compared)]
    rows.append(["KL from SL-CAI (nats an answer)", *(kl.get(name, "") for name in names)])
    for field, title in (("gpu_hours", "GPU-hours"), ("seconds", "Seconds")):
        rows.append([title, *(costs[name][field] if name in costs else "" for name in names)])
    table = tables.plain(["", *(model["label"] for model in compared["models"])], rows)
    warned = [warning_list.sentence(warning) for warning in compared["warnings"]]
    return "\n".join([table, *warned])


CSV_FIELDS = ("metric", "set", "category", "model", "against", "n", "value", "low", "high")
CSV_TEST = ("p", "adjusted_p", "verdict")


def csv_rows(compared: Record) -> list[list[Any]]:
    """Header and rows: each estimate, then each change from one model to another, then KL."""
    rows: list[list[Any]] = [[*CSV_FIELDS, *CSV_TEST]]
    numbers = ("n", "value", "low", "high")
    for row in compared["metrics"]:
        kind = [row["name"], row["set"], row["category"]]
        for model, found in row["estimates"].items():
            rows.append([*kind, model, "", *_of(found, numbers), "", "", ""])
    for row in compared["tests"]:
        kind = [row["name"], row["set"], row["category"], row["to"], row["from"]]
        found = _of(row["change"], (*numbers, "p", "adjusted_p"))
        rows.append([*kind, *found, row["verdict"]])
    start = compared["models"][0]["name"]
    for row in (row for row in compared["kl"] if row["answer"]):
        kind = ["kl", "", "", row["policy"], start]
        rows.append([*kind, *_of(row["answer"], numbers), "", "", ""])
    return rows


def _of(row: Record, names: Sequence[str]) -> list[Any]:
    return [row[name] for name in names]
