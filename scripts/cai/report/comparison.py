"""Two runs side by side: what was different, what changed, and what it cost.

Both answered the same held-out prompts, so every difference is paired by prompt. It is called a
difference only if its p-value, adjusted for all tests (Holm), is below 0.05. The
intervals and tests cover the prompts and the sampling of answers. They do not cover another seed of
training, which needs more runs.
"""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cai.core.errors import fail_if
from cai.evaluation import tables
from cai.evaluation.summary import JOINED, METRICS, category_metrics, measure, read_model
from cai.evaluation.warnings import warning_list
from cai.files.records import Record, read_json, read_jsonl, uniform
from cai.provenance.manifest import content_digest
from cai.report import run_cost
from cai.report.changed_settings import principles_differences, settings_differences
from cai.report.comparison_headline import headline
from cai.report.run_cost import Took
from cai.report.run_report import cost
from cai.settings.constitution import STAGE_TEXTS
from cai.statistics import intervals

SIGNIFICANT = 0.05  # of p-values after Holm's adjustment
SHOWN = 12  # prompts of each set


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: what its report says, and what each model did on each prompt.

    Attributes:
        name: how it is called.
        report: the report's data, see :func:`cai.report.run_report.collect`.
        models: by model, the joined records by id, see :func:`cai.evaluation.summary.read_model`.
        took: what it took.
    """

    name: str
    report: Record
    models: dict[str, dict[str, Record]]
    took: Took = field(default_factory=Took)


def read_run(name: str, folder: Path) -> FinishedRun:
    """Read a finished run, with what its own files took.

    Raises:
        UserError: if it has no report, or its files do not belong together.
    """
    path = folder / "report.json"
    fail_if(not path.is_file(), f"{path}: no such file: the run is not finished, make its report")
    return run_of(name, folder, read_json(path), run_cost.took(folder))


def run_of(name: str, folder: Path, report: Record, took: Took) -> FinishedRun:
    """A run of which the report's data are known, with the answers that are in its folder."""
    names = [model["name"] for model in report["summary"]["models"]]
    models = {model: _rows(folder / "evaluation", model) for model in names}
    return FinishedRun(name, report, models, took)


def _rows(folder: Path, model: str) -> dict[str, Record]:
    paths = {source: folder / source / f"{model}.jsonl" for source in JOINED}
    there = {source: path if path.is_file() else None for source, path in paths.items()}
    return read_model(folder / "answers" / f"{model}.jsonl", there)


def compare(a: FinishedRun, b: FinishedRun, seed: int, judged: Path | None = None) -> Record:
    """All that is known of two runs, as data.

    Args:
        a: the run that b is compared with.
        b: the other one.
        seed: of the bootstrap and of the tests.
        judged: the last model's answers in b against those in a, as judge_answers.py writes them.

    Returns:
        ``headline``: the answer in one sentence; ``took``: what b and the judge's comparisons
        took, see :class:`cai.report.run_cost.Took`; ``runs``: names, settings' digests and costs;
        ``settings``: fields that differ, with both values; ``principles``: each with
        what became of it and its texts as runs of words;
        ``metrics``: a row for each model and measure, with both estimates, the change from a to
        b, its p-value, the adjusted one and the verdict; ``head_to_head``: by set, how often b's
        answer is preferred, and the ``judge``; ``changed``: the prompts by what became of them;
        ``same_answers``: how many of the prompts have the same answer in both;
        ``transcripts``; ``notes``: what is not compared, and why.

    Raises:
        UserError: if the runs share no prompts.
    """
    models, same = _models(a, b)
    last = models[-1]
    reasons, left_out = uncomparable(a, b)
    rows = [row for model in models for row in _metrics(a, b, model, left_out, seed)]
    duels, judge = _head_to_head(judged, seed) if judged else ([], None)
    judge_together([*rows, *duels])
    took = run_cost.together(b.took, run_cost.of_judging(judged)) if judged else b.took
    return {
        "headline": headline(rows, duels, str(took)),
        "took": took._asdict(),
        "runs": [_run(run, other) for run, other in ((a, b), (b, a))],
        "level": intervals.LEVEL,
        "seed": seed,
        "models": models,
        "prompts": len(_common(a, b, last)),
        "same_answers": sum(
            one["answer"] == other["answer"] for _, one, other in _pairs(a, b, last)
        ),
        "settings": settings_differences(a.report["settings"], b.report["settings"]),
        "principles": principles_differences(a.report["principles"], b.report["principles"]),
        "metrics": rows,
        "head_to_head": duels,
        "judge": judge,
        "changed": _changed(a, b, last),
        "transcripts": _transcripts(a, b, last),
        "notes": [*reasons, *map(_left_out, same)],
        "warnings": _warnings(a, b),
    }


def _models(a: FinishedRun, b: FinishedRun) -> tuple[list[str], list[str]]:
    """The models to compare, those whose answers differ, and the others that both runs have.

    The last one is compared even if nothing differs.
    """
    both = [name for name in a.models if name in b.models]
    models = [name for name in both if not _same(a, b, name)] or both[-1:]
    fail_if(
        not all(_common(a, b, model) for model in models),
        f"{a.name} and {b.name} have no held-out prompts in common",
    )
    return models, [name for name in both if name not in models]


def _common(a: FinishedRun, b: FinishedRun, model: str) -> list[str]:
    """The ids of the prompts that a model answered in both runs, in their order."""
    return sorted(a.models[model].keys() & b.models[model].keys())


def _left_out(model: str) -> str:
    return f"{tables.label(model)} is left out: its answers are the same in both runs."


def _warnings(a: FinishedRun, b: FinishedRun) -> list[Record]:
    """The warnings of both runs, each with the run that it is about; one of both stands once."""
    first, second = (_read_warnings(run) for run in (a, b))
    named = [
        *(("both runs", warning) for warning in first if warning in second),
        *((a.name, warning) for warning in first if warning not in second),
        *((b.name, warning) for warning in second if warning not in first),
    ]
    return warning_list.ranked(
        [{**warning, "about": _joined(name, warning["about"])} for name, warning in named]
    )


def _read_warnings(run: FinishedRun) -> list[Record]:
    """The warnings of a run's report, each once."""
    found: list[Record] = []
    for warning in map(warning_list.as_record, run.report["warnings"]):
        if warning not in found:
            found.append(warning)
    return found


def _joined(run: str, about: str) -> str:
    return f"{run}: {about}" if about else run


def _same(a: FinishedRun, b: FinishedRun, model: str) -> bool:
    """Whether a model gave the same answers in both runs: as one that both share does."""
    answers = ({key: row["answer"] for key, row in run.models[model].items()} for run in (a, b))
    return next(answers) == next(answers)


def _run(run: FinishedRun, other: FinishedRun) -> Record:
    """What a run is, and its cost: all of it, and the part that was made for both runs."""
    report = run.report
    theirs = {one["sha256"] for one in other.report["manifests"]}
    both = [one for one in report["manifests"] if one["sha256"] in theirs]
    return {
        "name": run.name,
        "facts": report["facts"],
        "cost": cost(report["manifests"]),
        "shared": cost(both),
        "manifests": report["manifests"],
        "judges": report["judges"],
    }


# What is not compared


def uncomparable(a: FinishedRun, b: FinishedRun) -> tuple[list[str], set[str]]:
    """What cannot be compared: the reasons as sentences, and how the names of its metrics begin."""
    notes, names = [], set()
    if _judging(a) != _judging(b):
        names.add("win_rate")
        notes.append(
            "Judge win rates are left out: the judges go by different principles or settings."
        )
    if _reward_model(a) is None or _reward_model(a) != _reward_model(b):
        names.add("reward")
        notes.append("Rewards are left out: each run has its own reward model.")
    return notes, names


def _judging(run: FinishedRun) -> Any:
    preferences = run.report["settings"]["preferences"]
    judge = preferences["judge"], preferences["judges"][preferences["judge"]]
    [text] = STAGE_TEXTS["preference"]
    return judge, {row["id"]: row[text] for row in run.report["principles"] if row[text]}


def _reward_model(run: FinishedRun) -> str | None:
    known = {one["artefact"]: content_digest(one) for one in run.report["manifests"]}
    return known.get("reward_model.nemo")


# What came of it


def _metrics(
    a: FinishedRun, b: FinishedRun, model: str, left_out: set[str], seed: int
) -> Iterator[Record]:
    """The measures of one model in both runs, on all prompts that both answered."""
    shared = _common(a, b, model)
    runs = {
        side: {key: run.models[model][key] for key in shared} for side, run in (("a", a), ("b", b))
    }
    for metric in [METRICS[0], *category_metrics(runs), *METRICS[1:]]:
        if metric.name.startswith(tuple(left_out)):
            continue
        measured = measure(metric, runs, seed)
        if len(measured["estimates"]) < 2 or "b" not in measured["differences"]:
            continue
        late, early = (metric.values(runs[side]) for side in ("b", "a"))
        keys = sorted(late.keys() & early.keys())
        change = measured["differences"]["b"]
        if "p" not in change:
            pair = [late[key] for key in keys], [early[key] for key in keys]
            change["p"] = intervals.sign_flip(*pair, seed)
        yield {
            "model": model,
            **{
                name: measured[name]
                for name in ("name", "label", "kind", "set", "category", "good")
            },
            "a": measured["estimates"]["a"],
            "b": measured["estimates"]["b"],
            "change": {name: change[name] for name in ("n", "value", "low", "high", "p")},
        }


def _head_to_head(judged: Path, seed: int) -> tuple[list[Record], Record]:
    """By set, the mean probability that b's answer is preferred, compared with one half."""
    sets: dict[str, list[float]] = {}
    for row in read_jsonl(judged):
        sets.setdefault(row["set"], []).append(row["p_first"])
    rows = []
    for name, shares in sorted(sets.items()):
        won = intervals.mean(shares, seed)
        p = intervals.sign_flip(shares, [0.5] * len(shares), seed)
        change = {"value": won.value - 0.5, "low": won.low - 0.5, "high": won.high - 0.5, "p": p}
        rows.append({"set": name, "good": 1, **won._asdict(), "change": change})
    return rows, read_json(judged.with_suffix(".report.json"))["judge"]


def judge_together(rows: Sequence[Record]) -> None:
    """Give each row the adjusted p-value of its change, and whether it is a difference."""
    adjusted = intervals.holm([row["change"]["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        direction = (row["change"]["value"] > 0) - (row["change"]["value"] < 0)
        row["change"]["adjusted_p"] = p
        row["verdict"] = ""
        if p < SIGNIFICANT and direction:
            words = {1: "better", -1: "worse", 0: "higher" if direction > 0 else "lower"}
            row["verdict"] = words[row["good"] * direction]


def _changed(a: FinishedRun, b: FinishedRun, model: str) -> list[Record]:
    """By set: how many prompts were good in both runs, in one of them, in neither."""
    counts: dict[str, dict[str, int]] = {}
    for _, one, other in _pairs(a, b, model):
        if "truth" not in one or "truth" not in other:
            continue
        was, now = _good(one), _good(other)
        names = {(1, 1): "both", (1, 0): "only a", (0, 1): "only b", (0, 0): "neither"}
        row = counts.setdefault(one["set"], dict.fromkeys(names.values(), 0))
        row[names[was, now]] += 1
    return [{"set": name, **row} for name, row in sorted(counts.items())]


def _good(row: Record) -> int:
    return int(bool(row["truth"]["harmless" if row["set"] == "harmful" else "helpful"]))


def _pairs(a: FinishedRun, b: FinishedRun, model: str) -> Iterator[tuple[str, Record, Record]]:
    for key in _common(a, b, model):
        yield key, a.models[model][key], b.models[model][key]


def _transcripts(a: FinishedRun, b: FinishedRun, model: str) -> dict[str, list[Record]]:
    """By set, the prompts whose answers differ, most first; they are not typical ones."""
    found: dict[str, list[tuple[Any, Record]]] = {"harmful": [], "helpful": []}
    shifts = _shifts(a, b, model)
    for key, one, other in _pairs(a, b, model):
        category = one.get("truth", {}).get("category")
        if one["answer"] == other["answer"]:
            continue
        changed, alike = _alike(one, other)
        rank = (not changed, -shifts[one["set"], category], alike, uniform("comparison", key))
        shown = {
            "prompt": one["prompt"],
            "category": category,
            "verdict": _outcome(one, other, {"a": a.name, "b": b.name}),
            "answers": [
                {
                    "model": f"{run.name}{_kind(row)}",
                    "text": row["answer"],
                    "finished": row["finish"] == "stop",
                }
                for run, row in ((a, one), (b, other))
            ],
        }
        found[one["set"]].append((rank, shown))
    return {
        name: [shown for _, shown in sorted(rows, key=lambda row: row[0])[:SHOWN]]
        for name, rows in found.items()
    }


def _shifts(a: FinishedRun, b: FinishedRun, model: str) -> Counter[tuple[str, str | None]]:
    """By set and category, by how many prompts the runs differ in what is good."""
    shifts: Counter[tuple[str, str | None]] = Counter()
    for _, one, other in _pairs(a, b, model):
        if "truth" in one and "truth" in other:
            shifts[one["set"], one["truth"]["category"]] += _good(other) - _good(one)
    return Counter({place: abs(shift) for place, shift in shifts.items()})


def _alike(one: Record, other: Record) -> tuple[bool, float]:
    """Whether the verdict changed, and how similar the texts are, from 0 to 1."""
    known = "truth" in one and "truth" in other
    changed = known and _good(one) != _good(other)
    words, others = one["answer"].split(), other["answer"].split()
    return changed, difflib.SequenceMatcher(None, words, others, autojunk=False).ratio()


def _outcome(one: Record, other: Record, names: Mapping[str, str]) -> str:
    """In which of the runs the answer is good, in words; empty if that is not known."""
    if "truth" not in one or "truth" not in other:
        return ""
    what = "harmless" if one["set"] == "harmful" else "helpful"
    where = {
        (1, 1): "in both",
        (1, 0): f"only in {names['a']}",
        (0, 1): f"only in {names['b']}",
        (0, 0): "in neither",
    }
    return f"{what} {where[_good(one), _good(other)]}"


def _kind(row: Record) -> str:
    kind = row.get("truth", {}).get("kind")
    return f" ({kind})" if kind else ""
