"""The report of a run: one HTML file that needs nothing else, and no network; and its data.

What a person reads is chosen by hash, not by hand: which prompts and which chains are shown depends
on their ids alone, so that a better-looking sample cannot be picked.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cai.constitution import Principle
from cai.data.sources import Source
from cai.digests import digest
from cai.errors import fail_if
from cai.evaluation import drawings, page, tables
from cai.evaluation.alerts import judge_alerts, step_alerts
from cai.records import Record, read_json, read_jsonl, uniform
from cai.settings import Model, Settings

CAPTIONS = {
    "harmlessness": "What each model did on held-out prompts. Bars are 95% intervals.",
    "ppo_curves": "Means over the rollouts of each step, and over the validation prompts.",
    "training_curves": "From the base model to SL-CAI, and from SL-CAI to the reward model.",
}
LEDGER = ".ledger.json"
REPORT = ".report.json"


@dataclass(frozen=True)
class Sample:
    """How much a reader is shown."""

    harmful: int = 4
    helpful: int = 4
    chains: int = 4


@dataclass(frozen=True)
class Sources:
    """The files that a report is made of; what a list lacks, the report leaves out."""

    answers: Sequence[Path]
    figures: Sequence[Path] = ()
    ledgers: Sequence[Path] = ()
    judge_reports: Sequence[Path] = ()
    chains: Sequence[Path] = ()
    manifests: Sequence[Path] = ()
    calibration: Path | None = None
    alarms: Path | None = None
    sample: Sample = field(default_factory=Sample)


def collect(
    summary: Record, principles: Sequence[Principle], settings: Settings, sources: Sources
) -> Record:
    """What the report tells, as data: all of it but drawings, transcripts and chains."""
    judges, ledgers = read_judge_reports(sources.judge_reports), read_ledgers(sources.ledgers)
    preferences = [principle.id for principle in principles if principle.preference]
    checks = read_checks(sources.alarms) if sources.alarms else []
    return {
        "warnings": [
            *(f"{check['stage']}: {check['told']} {check['advice']}" for check in raised(checks)),
            *summary["warnings"],
            *judge_alerts(judges, preferences),
            *step_alerts(ledgers),
        ],
        "facts": facts(settings),
        "summary": summary,
        "principles": [principle.model_dump() for principle in principles],
        "settings": settings.model_dump(mode="json"),
        "judges": judges,
        "checks": checks,
        "calibration": read_json(sources.calibration) if sources.calibration else None,
        "ledgers": ledgers,
        "manifests": [read_json(path) for path in sources.manifests],
    }


def render(content: Record, settings: Settings, sources: Sources) -> str:
    """The report as HTML, from what :func:`collect` gives."""
    summary = content["summary"]
    figures = [drawings.read_figure(path) for path in sources.figures]
    transcripts = read_transcripts(sources.answers, sources.sample)
    chains = read_chains(sources.chains, sources.sample.chains)
    return page.render(
        "report.html.j2",
        **content,
        rows=headline(summary),
        changes=tables.changes(summary),
        told=settings.model_dump_json(indent=2),
        origins=origins(settings),
        figures=[with_caption(figure) for figure in figures if figure["supported"]],
        unsupported=[figure for figure in figures if not figure["supported"]],
        palette=drawings.palette(figures),
        transcripts=transcripts,
        chains=chains,
        cost=cost(content["manifests"]),
        sections=[
            (name, title)
            for name, title, is_there in (
                ("results", "Results", True),
                ("figures", "Figures", figures),
                ("transcripts", "Answers side by side", True),
                ("chains", "Critiques and revisions", chains),
                ("checks", "Checks between stages", content["checks"]),
                ("judge", "The judge", content["judges"]),
                ("run", "What was run", True),
                ("checkpoints", "Checkpoints and cost", content["manifests"]),
                ("ledgers", "Records", content["ledgers"]),
            )
            if is_there
        ],
    )


def with_caption(figure: Record) -> Record:
    """A figure that tells nothing of itself gets the caption that the report knows for it."""
    known = CAPTIONS.get(figure["name"].removeprefix("figure-"), "")
    return figure | {"caption": figure["caption"] or known}


def facts(settings: Settings) -> dict[str, str]:
    """What was run, as names and values."""
    judge = settings.preferences.judge
    return {
        "Results": f"{settings.results}/",
        "Constitution": settings.constitution,
        "Base model": _model(settings.models.base),
        "Instruct model": _model(settings.models.instruct),
        "Critique-revision rounds": str(settings.supervised.rounds),
        "Judge": getattr(settings.judge, "model", None) or judge,
        "Seed": str(settings.seed),
        "Settings": digest(settings.model_dump(mode="json"))[:16],
    }


def _model(model: Model) -> str:
    return f"{model.source} at {model.revision[:12]}" if model.revision else model.source


def origins(settings: Settings) -> list[Record]:
    """The datasets: what they are for, where they come from, and at which revision."""
    datasets = settings.datasets
    named = [
        ("Red-team prompts", datasets.red_team),
        ("Helpful dialogues", datasets.helpful_sft),
        *(("Comparisons of helpfulness", source) for source in datasets.helpful_preferences),
        *([("Held-out helpful prompts", own)] if (own := settings.evaluation.helpful) else []),
    ]
    return [{"use": use, **_origin(source)} for use, source in named]


def _origin(source: Source) -> Record:
    part = f" ({source.data_dir})" if source.data_dir else ""
    return {"source": f"{source.source}{part}", "revision": source.revision or "local file"}


def read_checks(path: Path) -> list[Record]:
    """What was looked at between stages: ``checks`` with stage, what, raised, told and advice."""
    content = read_json(path)
    fail_if("checks" not in content, f"{path}: no checks: the field 'checks' is missing")
    for check in content["checks"]:
        for name in ("stage", "what", "raised", "told", "advice"):
            fail_if(name not in check, f"{path}: a check without the field {name!r}")
    return content["checks"]


def raised(checks: Iterable[Record]) -> list[Record]:
    """The checks that are alarms, the worst first."""
    alarms = [check for check in checks if check["raised"]]
    return sorted(alarms, key=lambda check: check.get("level") != "warning")


def cost(manifests: Iterable[Record]) -> Record:
    """Seconds and GPU-hours of what the manifests account for."""
    known = list(manifests)
    return {name: sum(one.get(name) or 0 for one in known) for name in ("seconds", "gpu_hours")}


# Tables


def headline(summary: Record) -> list[Record]:
    """The rows of the headline table: a label, the set, and a cell for each model."""
    return [
        {
            "label": metric["label"],
            "category": metric["category"],
            "sizes": tables.sizes(metric["estimates"].values()),
            "cells": [_cell(metric, model["name"]) for model in summary["models"]],
        }
        for metric in summary["metrics"]
    ]


def _cell(metric: Record, model: str) -> Record | None:
    estimate = metric["estimates"].get(model)
    if estimate is None:
        return None
    value, _, interval = tables.estimate_text(metric, estimate).partition(" [")
    return {"value": value, "interval": f"[{interval}", "verdict": _verdict(metric, model)}


def _verdict(metric: Record, model: str) -> str:
    """Whether a model is better or worse than the stage before, beyond the change's interval."""
    change = metric["differences"].get(model)
    direction = (change["low"] > 0) - (change["high"] < 0) if change else 0
    return {1: "better", -1: "worse", 0: ""}[metric["good"] * direction]


def read_ledgers(paths: Iterable[Path]) -> list[Record]:
    """The counts of each step, shards added up, in the order of the paths."""
    steps: dict[str, Record] = {}
    for path in paths:
        ledger = read_json(path)
        for name in ("step", "in", "out", "dropped", "rejected"):
            fail_if(name not in ledger, f"{path}: not a ledger: the field {name!r} is missing")
        name = _step_name(path, ledger["step"])
        new = {"name": name, "in": 0, "out": 0, "failed": 0, "dropped": Counter()}
        total = steps.setdefault(name, new)
        total["in"] += ledger["in"]
        total["out"] += ledger["out"]
        total["failed"] += ledger.get("failed", len(ledger["rejected"]))
        total["dropped"].update(ledger["dropped"])
    return list(steps.values())


def _step_name(path: Path, step: str) -> str:
    """The step, and what it was done to unless that is a shard's number."""
    stem = path.name.removesuffix(LEDGER)
    return step if stem.isdigit() else f"{step}: {path.parent.name}/{stem}"


def read_judge_reports(paths: Iterable[Path]) -> list[Record]:
    """What is told of the judge in each use of it; the shards of one use are put together."""
    uses: dict[str, list[Record]] = {}
    for path in paths:
        content = read_json(path)
        report = content.get("judge", content)
        fail_if(
            "comparisons" not in report, f"{path}: not a judge's report: no field 'comparisons'"
        )
        stem = path.name.removesuffix(REPORT)
        use = path.parent.name if stem.isdigit() else f"{path.parent.name}: {tables.label(stem)}"
        uses.setdefault(use, []).append(report)
    return [{"use": use, **_merged(shards)} for use, shards in uses.items()]


def _merged(shards: Sequence[Record]) -> Record:
    """Counts added up, and shares averaged by the number of judged comparisons."""
    counts = {f: sum(shard[f] for shard in shards) for f in ("comparisons", "judged", "ties")}
    shares = (
        "confidence",
        "order_agreement",
        "first_preferred",
        "principle_agreement",
    )
    failed: Counter[str] = Counter()
    for shard in shards:
        failed.update(shard["failed"])
    asked = counts["judged"] + failed.total()
    drawn = {name for shard in shards for names in shard["principles"] for name in names.split("+")}
    return {
        **counts,
        **{name: _weighted(shards, name, "judged") for name in shares},
        "failed": dict(failed.most_common()),
        "failure_rate": failed.total() / asked if asked else None,
        "principles": sorted(drawn),
        "by_principle": _by_name([shard["principles"] for shard in shards], "agreement"),
        "by_temperature": _by_name(
            [(shard.get("temperature") or {}).get("by_temperature", {}) for shard in shards],
            "preferred",
        ),
        "usage": _usage([shard["usage"] for shard in shards if shard.get("usage")]),
    }


def _by_name(shards: Sequence[Mapping[str, Record]], share: str) -> dict[str, Record]:
    """Shards' tables as one: comparisons added up, a share of them averaged."""
    merged = {}
    for name in sorted({name for shard in shards for name in shard}):
        parts = [shard[name] for shard in shards if name in shard]
        total = sum(part["comparisons"] for part in parts)
        merged[name] = {"comparisons": total, share: _weighted(parts, share, "comparisons")}
    return merged


def _usage(usages: Sequence[Record]) -> Record:
    """What was asked of the judge: questions, those that the journal answered, and tokens."""
    total = {name: sum(usage[name] for usage in usages) for name in ("questions", "reused")}
    return total | {"tokens": sum(sum(usage["tokens"].values()) for usage in usages)}


def _weighted(parts: Sequence[Record], name: str, weight: str) -> float | None:
    known = [(part[name], part[weight]) for part in parts if part.get(name) is not None]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None


# Texts


def read_transcripts(answers: Sequence[Path], sample: Sample) -> dict[str, list[Record]]:
    """By set of prompts, a few prompts with the answer of every model."""
    models = {path.stem: {row["id"]: row for row in read_jsonl(path)} for path in answers}
    first, *others = models.values()
    common = [row for key, row in first.items() if all(key in other for other in others)]
    return {
        name: [
            {
                "prompt": row["prompt"],
                "answers": [
                    {"model": tables.label(model), **_answer(rows[row["id"]])}
                    for model, rows in models.items()
                ],
            }
            for row in _drawn((row for row in common if row["set"] == name), count)
        ]
        for name, count in (("harmful", sample.harmful), ("helpful", sample.helpful))
    }


def _answer(row: Record) -> Record:
    return {"text": row["answer"], "finished": row["finish"] == "stop"}


def read_chains(paths: Sequence[Path], count: int) -> list[Record]:
    """A few responses with their critiques and revisions."""
    return _drawn(itertools.chain.from_iterable(map(_records, paths)), count)


def _records(path: Path) -> Iterator[Record]:
    for row in read_jsonl(path):
        missing = {"id", "prompt", "response", "rounds"} - row.keys()
        fail_if(
            missing, f"{path}: not a revision: the field {min(missing, default='')!r} is missing"
        )
        yield row


def _drawn(rows: Iterable[Record], count: int) -> list[Record]:
    return heapq.nsmallest(count, rows, key=lambda row: uniform("report", row["id"]))
