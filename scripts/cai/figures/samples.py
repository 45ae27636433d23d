"""The appendix's tables: answers of each stage side by side, and chains of critiques."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cai.evaluation.tables import label
from cai.figures.artefact import Artefact, frame
from cai.figures.drawing import BLUE, GREY, SETTINGS, Drawing, Rows
from cai.figures.selection import first_by_hash, first_of_each_set
from cai.files.records import Record
from cai.steps.answers import Answered
from cai.steps.critique import Chain

COLUMNS = 60  # characters of a line
LINE = 0.16  # inches
WIDTH = 4.4  # inches
LONGEST = 600  # characters of a text in the drawing; the files beside it have all
Block = Sequence[tuple[str, str]]  # who says what; the prompt comes first

DEPARTURES = [
    "The paper's samples are chosen by its authors; these are the first in the order of a hash."
]
NO_INTERVALS = "none: these are examples"


def draw_answers(answers: Mapping[str, Sequence[Answered]], options: Record) -> Artefact:
    """A prompt and each model's answer, for some prompts of each set.

    Args:
        answers: by model, in the order of the stages.
        options: the seed and the settings.
    """
    by_id = {model: {row["id"]: row for row in rows} for model, rows in answers.items()}
    common = set.intersection(*(set(rows) for rows in by_id.values()))
    first = next(iter(answers.values()))
    sets = sorted({row["set"] for row in first})
    known = [row for row in first if row["id"] in common]
    chosen = first_of_each_set(known, sets, options["samples"]["prompts"])
    blocks = [
        [
            (f"Prompt ({row['set']})", row["prompt"]),
            *((label(model), rows[row["id"]]["answer"]) for model, rows in by_id.items()),
        ]
        for row in chosen
    ]
    rows = [
        [row["id"], row["set"], row["prompt"], label(model), rows[row["id"]]["answer"]]
        for row in chosen
        for model, rows in by_id.items()
    ]
    header = ["id", "set", "prompt", "model", "answer"]
    method = ["Answers of each stage to the same held-out prompts, as the evaluation sampled them."]
    return _artefact("Appendix D", "Samples of each stage", blocks, (header, rows), method, options)


def draw_chains(chains: Sequence[Chain], options: Record) -> Artefact:
    """Prompts with the first response and every critique and revision of it."""
    chosen = first_by_hash(chains, options["samples"]["prompts"])
    blocks = [[("Prompt", row["prompt"]), *_steps(row)] for row in chosen]
    rows = [
        [row["id"], row["prompt"], number, who, text]
        for row in chosen
        for number, (who, text) in enumerate(_steps(row))
    ]
    header = ["id", "prompt", "place", "what", "text"]
    method = [
        "Critiques and revisions of helpful-only answers to held-out red-team prompts, each round "
        "under a principle drawn for it."
    ]
    return _artefact(
        "Appendix A", "Critiques and revisions", blocks, (header, rows), method, options
    )


def _steps(row: Chain) -> list[tuple[str, str]]:
    steps = [("Response", row["response"])]
    for step in row["rounds"]:
        name = f"{step['round']} ({step['principle']})"
        if step["critique"] is not None:
            steps.append((f"Critique {name}", step["critique"]))
        steps.append((f"Revision {name}", step["revision"]))
    return steps


def _artefact(
    figure_name: str,
    title: str,
    blocks: Sequence[Block],
    table: tuple[list[str], Rows],
    method: list[str],
    options: Record,
) -> Artefact:
    header, rows = table
    note = f"n = {len(blocks)} held-out prompts, the first in the order of a hash; seed {{}}"
    note = note.format(options["seed"])
    figure = _figure(title, blocks, note)
    description = (
        f"{title}: {len(blocks)} prompts; the texts are in the CSV file beside the figure."
    )
    return Artefact(
        figure_name,
        Drawing(title, description, figure, header, rows),
        method,
        DEPARTURES,
        options["samples"],
        {"prompts": len(blocks)},
        options["seed"],
        NO_INTERVALS,
        {"rows": [dict(zip(header, row, strict=True)) for row in rows]},
    )


def _figure(title: str, blocks: Sequence[Block], note: str) -> Figure:
    lines = [line for block in blocks for line in _lines(block)]
    height = LINE * (len(lines) + 4)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height))
        frame(figure, title, note, y=1 - 0.5 * LINE / height)
        for number, (text, style) in enumerate(lines):
            place = 1 - LINE * (number + 2.5) / height
            # a dollar sign is a dollar sign, not the beginning of a formula
            figure.text(0.02, place, text, va="top", parse_math=False, **style)
    return figure


def _lines(block: Block) -> list[tuple[str, dict[str, Any]]]:
    lines: list[tuple[str, dict[str, Any]]] = []
    for place, (who, text) in enumerate(block):
        weight = {"fontweight": "bold", "color": BLUE if place == 0 else GREY, "fontsize": 8}
        lines.append((who, weight))
        wrapped = textwrap.wrap(textwrap.shorten(text, LONGEST, placeholder=" ..."), COLUMNS)
        lines += [(line, {"fontsize": 8.5}) for line in wrapped or [""]]
    return [*lines, ("", {})]
