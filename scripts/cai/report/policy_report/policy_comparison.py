"""The last stages side by side: what each came to, how far it went from SL-CAI, what it cost.

All answered the same held-out prompts, so every difference is paired by prompt. It is called one
only if its p-value, adjusted for all tests of the page (Holm), is below 0.05. Intervals and tests
cover the prompts and the sampling of answers, not another seed of training.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cai.core.errors import fail_if
from cai.evaluation import tables
from cai.evaluation.summary import METRICS, Metric, Rows, category_metrics, measure
from cai.evaluation.warnings import warning_list
from cai.evaluation.warnings.answer_checks import answer_checks
from cai.evaluation.warnings.result_warnings import ReadersWarning, unfinished
from cai.files.records import Record, read_json, read_records
from cai.report import reading
from cai.report.comparison import judge_together
from cai.report.reading import Sample
from cai.running.attempts import read_entries
from cai.settings.last_stages import START
from cai.statistics import intervals
from cai.steps.likelihoods import Likelihood

COLLAPSE = ("repetition", "length drift", "diversity")  # checks of answers against SL-CAI's
DRAWN, SHOWN = 60, 8  # prompts of each set: those looked at, and those shown


@dataclass(frozen=True)
class Part:
    """A job that a policy needs beside those that all of them share.

    Attributes:
        name: of the rule.
        manifest: of a training.
        costs: the journals' cost files of jobs that ask.
        estimate: seconds that the configuration states, for what was not measured.
    """

    name: str
    manifest: Path | None = None
    costs: Sequence[Path] = ()
    estimate: float | None = None


@dataclass(frozen=True)
class Policy:
    """A last stage: what it did, how likely its answers are, and what made it.

    Attributes:
        name: of the policy.
        rows: its joined records, see :func:`cai.evaluation.summary.read_model`.
        own: log-probabilities of its answers by itself; None: not measured.
        start: the same answers' by SL-CAI.
        parts: what it needs of its own.
    """

    name: str
    rows: Rows
    own: Path | None = None
    start: Path | None = None
    parts: Sequence[Part] = field(default=())


def compare_policies(start: Rows, policies: Sequence[Policy], seed: int) -> Record:
    """All that is known of the policies, as data.

    Args:
        start: SL-CAI's joined records.
        policies: in the order of the configuration.
        seed: of the bootstrap and of the tests.

    Returns:
        ``models``: SL-CAI and the policies, names and labels; ``metrics``: a row for each measure,
        with an estimate for each model; ``tests``: a row for each measure and pair of models, with
        the change, its p-value, the adjusted one and the verdict; ``kl`` and ``costs``: a row for
        each policy.
    """
    models: dict[str, Rows] = {START: start, **{each.name: each.rows for each in policies}}
    shared = set.intersection(*(set(rows) for rows in models.values()))
    fail_if(not shared, "the policies have no held-out prompts in common")
    common = {name: {key: rows[key] for key in sorted(shared)} for name, rows in models.items()}
    measures = [METRICS[0], *category_metrics(common), *METRICS[1:]]
    measured = [measure(metric, common, seed) for metric in measures]
    tests = [
        test
        for metric in measures
        for pair in itertools.combinations(common, 2)
        if (test := _test(metric, common, pair, seed))
    ]
    judge_together(tests)
    return {
        "level": intervals.LEVEL,
        "seed": seed,
        "prompts": len(shared),
        "models": [{"name": name, "label": tables.label(name)} for name in models],
        "metrics": [row for row in measured if len(row["estimates"]) > 1],
        "tests": tests,
        "kl": [_divergence(policy, seed) for policy in policies],
        "costs": [_cost(policy) for policy in policies],
    }


def collapse(compared: Record, answers: Sequence[Path], seed: int) -> list[Record]:
    """Signs that a policy has collapsed: answers that repeat themselves, do not end, are all one.

    Args:
        compared: what :func:`compare_policies` gives.
        answers: of SL-CAI and of each policy.
        seed: of the bootstrap.
    """
    measured = {metric["name"]: metric for metric in compared["metrics"]}
    checks = [asdict(one) for one in answer_checks(answers, seed) if one.what in COLLAPSE]
    found = [ReadersWarning.of_check(check) for check in checks if check["raised"]]
    for model in compared["models"]:
        found += unfinished(model, measured)
    return warning_list.listed(found, ())


def _test(
    metric: Metric, models: Mapping[str, Rows], pair: tuple[str, str], seed: int
) -> Record | None:
    """The change of a measure from one model to another, paired by prompt; None without pairs."""
    early, late = pair
    found = measure(metric, {name: models[name] for name in pair}, seed)
    if late not in found["differences"]:
        return None
    change = found["differences"][late]
    if "p" not in change:
        before, after = (metric.values(models[name]) for name in pair)
        keys = sorted(before.keys() & after.keys())
        values = [after[key] for key in keys], [before[key] for key in keys]
        change["p"] = intervals.sign_flip(*values, seed)
    known = ("name", "label", "kind", "set", "category", "good")
    change = {name: change[name] for name in ("n", "value", "low", "high", "p")}
    return {"from": early, "to": late, **{name: found[name] for name in known}, "change": change}


def _divergence(policy: Policy, seed: int) -> Record:
    """KL(policy, SL-CAI) in nats: the mean of how much likelier the policy finds its own answers.

    An estimate of the divergence where answers are sampled at temperature 1 from all tokens; else
    of its likeness on the answers that were given. Never known to be below 0 for one answer alone.
    """
    told: Record = {"policy": policy.name, "label": tables.label(policy.name)}
    if policy.own is None or policy.start is None:
        return {**told, "answer": None, "token": None}
    own, start = (
        {row["id"]: row for row in read_records(path, Likelihood)}
        for path in (policy.own, policy.start)
    )
    keys = sorted(own.keys() & start.keys())
    fail_if(not keys, f"{policy.own}: no answer that {policy.start} has, too")
    ratios = [own[key]["log_probability"] - start[key]["log_probability"] for key in keys]
    tokens = sum(own[key]["tokens"] for key in keys)
    return {
        **told,
        "answer": intervals.mean(ratios, seed)._asdict(),
        "token": sum(ratios) / tokens if tokens else None,
    }


def _cost(policy: Policy) -> Record:
    """What a policy takes beyond what all of them share; an estimate is marked as one."""
    parts = [_part(part) for part in policy.parts]
    known = [part for part in parts if part["source"] != "unknown"]
    return {
        "policy": policy.name,
        "label": tables.label(policy.name),
        "parts": parts,
        "seconds": round(sum(part["seconds"] for part in known), 1),
        "gpu_hours": round(sum(part["gpu_hours"] for part in known), 4),
        "estimated": any(part["source"] == "estimated" for part in parts),
        "unknown": [part["name"] for part in parts if part["source"] == "unknown"],
    }


def _part(part: Part) -> Record:
    """Seconds and GPU-hours of a job, over all of its starts, as they were measured."""
    seconds = hours = 0.0
    measured = False
    if part.manifest is not None and part.manifest.is_file():
        manifest = read_json(part.manifest)
        if "seconds" in manifest:
            measured = True
            seconds, hours = manifest["seconds"], manifest.get("gpu_hours", 0.0)
    for entry in (entry for path in part.costs for entry in read_entries(path)):
        measured = True
        seconds += entry["seconds"]
        hours += entry["seconds"] * entry["gpus"] / 3600
    if not measured and part.estimate is not None:
        told = {"seconds": part.estimate, "gpu_hours": 0.0, "source": "estimated"}
        return {"name": part.name, **told}
    source = "measured" if measured else "unknown"
    return {"name": part.name, "seconds": seconds, "gpu_hours": hours, "source": source}


def transcripts(answers: Sequence[Path], truth: Sequence[Path]) -> dict[str, Record]:
    """A few prompts of each set to which the models answered in different ways.

    Args:
        answers: of SL-CAI and of each policy.
        truth: what a classifier says of them, if there is one.
    """
    found = reading.read_transcripts(answers, truth, Sample(harmful=DRAWN, helpful=DRAWN))
    for part in found.values():
        part["shown"] = [one for one in part["shown"] if reading.differ(one)][:SHOWN]
    return found
