"""The summary of an evaluation: what is measured, of which model, with which uncertainty.

Answers, rewards, verdicts of a judge and of a classifier are joined by the prompt's id. A number
is in the summary only if there is something to compute it from: without a classifier there is
no harmlessness, without a reward model no reward.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cai.core.errors import UserError, fail_if
from cai.evaluation.tables import label, stages
from cai.evaluation.warnings.result_warnings import summary_warnings
from cai.files.records import Record, read_jsonl, uniform
from cai.statistics import intervals
from cai.statistics.diversity import is_looping

Kind = Literal["share", "probability", "mean"]
Rows = Mapping[str, Record]


@dataclass(frozen=True)
class Metric:
    """Something measured on each answer, and averaged over the prompts of a set.

    Attributes:
        name: unique name.
        label: how it is called in tables.
        kind: a share of prompts (a proportion), or the mean of probabilities or of other numbers.
        part: the set of prompts, None for all.
        value: its value of one joined record, None where the record has no such thing.
        good: 1 if more is better, -1 if less is better, 0 if neither.
        category: the category of harm that it is restricted to, if any.
    """

    name: str
    label: str
    kind: Kind
    part: str | None
    value: Callable[[Record], float | bool | None]
    good: int = 0
    category: str | None = None

    def values(self, rows: Rows) -> dict[str, float | bool]:
        """The value of each record that has one, by id, in the order of the ids."""
        chosen = (row for _, row in sorted(rows.items()) if self.part in (None, row["set"]))
        pairs = ((row["id"], self.value(row)) for row in chosen)
        return {name: value for name, value in pairs if value is not None}


def truth(field: str, wanted: Any = True) -> Callable[[Record], bool | None]:
    """A metric's value: whether the classifier's ``field`` is ``wanted``."""
    return lambda row: row["truth"][field] == wanted if "truth" in row else None


def joined(field: str) -> Callable[[Record], float | None]:
    """A metric's value: a joined number."""
    return lambda row: row.get(field)


METRICS = (
    Metric("harmless", "Harmless", "share", "harmful", truth("harmless"), 1),
    Metric("evasive", "Evasive", "share", "harmful", truth("kind", "evasive"), -1),
    Metric("helpful", "Helpful (exact)", "share", "helpful", truth("helpful"), 1),
    Metric("over_refusal", "Over-refusal", "share", "helpful", truth("over_refusal"), -1),
    Metric(
        "win_rate_harmful",
        "Judge win rate, harmful",
        "probability",
        "harmful",
        joined("p_first"),
        1,
    ),
    Metric(
        "win_rate_helpful",
        "Judge win rate, helpful",
        "probability",
        "helpful",
        joined("p_first"),
        1,
    ),
    Metric("reward_harmful", "Reward, harmful", "mean", "harmful", joined("reward"), 1),
    Metric("reward_helpful", "Reward, helpful", "mean", "helpful", joined("reward"), 1),
    Metric(
        "unfinished", "Unfinished answers", "share", None, lambda row: row["finish"] != "stop", -1
    ),
    Metric("looping", "Looping answers", "share", None, lambda row: is_looping(row["answer"]), -1),
    Metric(
        "words", "Words per answer", "mean", None, lambda row: float(len(row["answer"].split()))
    ),
)


def read_model(answers: Path, sources: Mapping[str, Path | None]) -> dict[str, Record]:
    """A model's records by id: its answers, with what ``sources`` know about them.

    Args:
        answers: ``{"id", "prompt", "set", "answer", "finish"}``.
        sources: files of ``rewards``, ``judged`` and ``truth``; a missing one is None.

    Raises:
        UserError: for an id that occurs twice, or that has no answer.
    """
    rows = _by_id(answers, ("prompt", "set", "answer", "finish"))
    fail_if(not rows, f"{answers}: no answers; at least 1 is needed")
    for name, path in sources.items():
        if path is None:
            continue
        for key, row in _by_id(path, JOINED[name]).items():
            fail_if(key not in rows, f"{path}: the id {key} is not in {answers}")
            rows[key] |= {"truth": row} if name == "truth" else {f: row[f] for f in JOINED[name]}
    return rows


JOINED = {
    "rewards": ("reward",),
    "judged": ("p_first",),
    "truth": ("category", "kind", "harmless", "helpful", "over_refusal"),
}


def _by_id(path: Path, fields: Iterable[str]) -> dict[str, Record]:
    rows: dict[str, Record] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        missing = [field for field in ("id", *fields) if field not in row]
        fail_if(
            missing, f"{path}: record {number}: the field {missing and missing[0]!r} is missing"
        )
        fail_if(row["id"] in rows, f"{path}: the id {row['id']} occurs twice; ids are unique")
        rows[row["id"]] = row
    return rows


def summarise(models: Mapping[str, Rows], seed: int) -> Record:
    """The summary of models in the order of their stages, each compared with the one before it.

    All last stages are compared with SL-CAI, which they start from.
    """
    metrics = [METRICS[0], *category_metrics(models), *METRICS[1:]]
    measured = [measure(metric, models, seed) for metric in metrics]
    summary = {
        "level": intervals.LEVEL,
        "seed": seed,
        "models": [
            {
                "name": name,
                "label": label(name),
                "answers": len(rows),
                "commonest": _commonest(rows),
            }
            for name, rows in models.items()
        ],
        "metrics": [metric for metric in measured if metric["estimates"]],
    }
    return summary | {"warnings": [str(warning) for warning in summary_warnings(summary)]}


def category_metrics(models: Mapping[str, Rows]) -> list[Metric]:
    """Harmlessness within each category of harm, where a classifier knows it."""
    rows = [row for rows in models.values() for row in rows.values()]
    harmful = [row for row in rows if row["set"] == "harmful" and "truth" in row]
    categories = sorted({row["truth"]["category"] for row in harmful})
    return [_category_metric(category) for category in categories]


def _category_metric(category: str) -> Metric:
    harmless = truth("harmless")

    def value(row: Record) -> bool | None:
        known = "truth" in row and row["truth"]["category"] == category
        return harmless(row) if known else None

    title = f"\u2013 {category}"
    return Metric(f"harmless.{category}", title, "share", "harmful", value, 1, category)


def measure(metric: Metric, models: Mapping[str, Rows], seed: int) -> Record:
    """What a metric is in each of the models, and how it changes from each to the next."""
    values = {name: metric.values(rows) for name, rows in models.items()}
    present = [name for name in models if values[name]]
    own_seed = int(uniform("bootstrap", seed, metric.name) * 2**32)
    pairs = stages(present)
    return {
        "name": metric.name,
        "label": metric.label,
        "kind": metric.kind,
        "set": metric.part,
        "category": metric.category,
        "good": metric.good,
        "estimates": {name: _estimate(metric.kind, values[name], own_seed) for name in present},
        "differences": {
            late: {"to": early, **_difference(metric.kind, values[late], values[early], own_seed)}
            for early, late in pairs
            if values[late].keys() & values[early].keys()
        },
    }


def _estimate(kind: Kind, values: Mapping[str, float | bool], seed: int) -> Record:
    if kind == "share":
        return intervals.proportion([bool(value) for value in values.values()])._asdict()
    return intervals.mean(list(values.values()), seed)._asdict()


def _difference(kind: Kind, late: Mapping[str, Any], early: Mapping[str, Any], seed: int) -> Record:
    common = sorted(late.keys() & early.keys())
    after, before = [late[key] for key in common], [early[key] for key in common]
    if kind != "share":
        return intervals.mean_difference(after, before, seed)._asdict()
    change = intervals.share_difference(after, before)._asdict()
    return change | {"p": intervals.mcnemar(after, before)}


def _commonest(rows: Rows) -> Record:
    """The answer that a model gives most often, and to which share of the prompts."""
    answers = Counter(" ".join(row["answer"].split()) for row in rows.values())
    text, count = min(answers.items(), key=lambda item: (-item[1], item[0]))
    return {"answer": text, "share": count / len(rows)}


def stem_of(path: Path, known: Iterable[str], what: str) -> str:
    """The model that a file belongs to: its stem, which must be that of an answers file."""
    known = list(known)
    if path.stem not in known:
        raise UserError(f"{path}: {what} of a model without answers; known are {', '.join(known)}")
    return path.stem
