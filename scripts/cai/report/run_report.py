"""The report of a run: one HTML file that needs nothing else, and no network; and its data.

It tells a story: what was run and when, what came of it, what to be careful about, then the tables,
the figures, the texts, the judge, and all that the numbers were made of.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cai.core.errors import fail_if
from cai.evaluation import tables
from cai.evaluation.headline import headline
from cai.evaluation.warnings import warning_list
from cai.evaluation.warnings.result_warnings import (
    ReadersWarning,
    judge_warnings,
    step_warnings,
    summary_warnings,
)
from cai.files.records import Record, read_json
from cai.report import drawings, page, reading, run_facts
from cai.report.comparison_page import described
from cai.report.reading import Sample
from cai.settings.configuration import Settings
from cai.settings.constitution import Principle
from cai.settings.judges import AnyJudge, ChatJudge, RandomJudge
from cai.settings.sources import Source

CAPTIONS = {
    "harmlessness": "What each model did on held-out prompts. Bars are 95% intervals.",
    "ppo_curves": "Means over the rollouts of each step, and over the validation prompts.",
    "dpo_curves": "Means over the comparisons of each step. A reward is the log-probability of an "
    "answer, less that by SL-CAI.",
    "best_of_n_curves": "From SL-CAI, on the answers that the reward model likes best.",
    "training_curves": "From the base model to SL-CAI, and from SL-CAI to the reward model.",
}
MAIN_FIGURE = "harmlessness"  # the one beside the headline
LEDGER = ".ledger.json"
REPORT = ".report.json"


@dataclass(frozen=True)
class Sources:
    """The files that a report is made of; what a list lacks, the report leaves out.

    Beside ledgers, answers and the rest their manifests are looked for: they say when and where.
    """

    answers: Sequence[Path]
    truth: Sequence[Path] = ()
    figures: Sequence[Path] = ()
    ledgers: Sequence[Path] = ()
    judge_reports: Sequence[Path] = ()
    chains: Sequence[Path] = ()
    manifests: Sequence[Path] = ()
    calibration: Path | None = None
    checks: Path | None = None
    command: str = ""
    sample: Sample = field(default_factory=Sample)


def collect(
    summary: Record, principles: Sequence[Principle], settings: Settings, sources: Sources
) -> Record:
    """What the report says, as data: all of it but drawings, transcripts and chains."""
    judges, ledgers = read_judge_reports(sources.judge_reports), read_ledgers(sources.ledgers)
    checks = read_checks(sources.checks) if sources.checks else []
    found = all_warnings(summary, checks, judges, ledgers, principles)
    checkpoints = [read_json(path) for path in sources.manifests]
    others = run_facts.beside(sources.ledgers, sources.answers)
    known = [*others, *(one for one in checkpoints if one not in others)]
    names = [principle.id for principle in principles]
    return {
        "headline": headline(summary),
        "warnings": warning_list.listed(found, settings.evaluation.expected),
        "facts": run_facts.run_facts(settings, names, known, sources.command),
        "summary": summary,
        "principles": [principle.model_dump() for principle in principles],
        "settings": settings.model_dump(mode="json"),
        "judges": judges,
        "checks": checks,
        "calibration": read_json(sources.calibration) if sources.calibration else None,
        "ledgers": ledgers,
        "manifests": checkpoints,
    }


def all_warnings(
    summary: Record,
    checks: Sequence[Record],
    judges: Sequence[Record],
    ledgers: Sequence[Record],
    principles: Sequence[Principle],
) -> list[ReadersWarning]:
    """What the checks between stages, the summary, the judge and the steps give rise to."""
    preferences = [principle.id for principle in principles if principle.preference]
    checked = {check["what"] for check in checks}
    return [
        *(ReadersWarning.of_check(check) for check in checks if check["raised"]),
        *(one for one in summary_warnings(summary) if one.what not in checked),
        *judge_warnings(judges, preferences),
        *step_warnings(ledgers),
    ]


def render(content: Record, settings: Settings, sources: Sources) -> str:
    """The report as HTML, from what :func:`collect` gives."""
    figures = [drawings.read_figure(path) for path in sources.figures]
    supported = [_with_caption(figure) for figure in figures if figure["supported"]]
    main, others = _main_figure(supported)
    chains = reading.read_chains(sources.chains, sources.sample.chains)
    return page.render(
        "report.html.j2",
        **content | {"warnings": warning_list.grouped(content["warnings"])},
        edit=_edit(content.get("before")),
        course=_course(content["summary"]["models"]),
        rows=result_rows(content["summary"]),
        changes=tables.changes(content["summary"]),
        settings_text=settings.model_dump_json(indent=2),
        origins=origins(settings),
        main=main,
        figures=others,
        unsupported=[figure for figure in figures if not figure["supported"]],
        palette=drawings.palette(figures),
        transcripts=reading.read_transcripts(sources.answers, sources.truth, sources.sample),
        chains=chains,
        judge_basis=judge_basis(settings.judge, len(content["principles"])),
        cost=cost(content["manifests"]),
        sections=_sections(content, bool(others), bool(chains)),
    )


def _edit(compared: Record | None) -> Record | None:
    """What the last edit changed, see :func:`cai.report.before_after.since`, with its table."""
    if compared is None:
        return None
    last = compared["models"][-1]
    return {**compared, "label": tables.label(last), "rows": described(compared, last)}


def _course(models: Sequence[Record]) -> str:
    return tables.course([model["name"] for model in models], [model["label"] for model in models])


def _sections(content: Record, figures: bool, chains: bool) -> list[tuple[str, str]]:
    """The parts of the page after the warnings, with their titles, in the page's order."""
    parts = [
        ("results", "Results", True),
        ("figures", "Figures", figures),
        ("transcripts", "Answers side by side", True),
        ("chains", "Critiques and revisions", chains),
        ("judge", "The judge", content["judges"]),
        ("checks", "Checks between stages", content["checks"]),
        ("settings", "Constitution, data, settings", True),
        ("checkpoints", "Checkpoints and cost", content["manifests"]),
        ("ledgers", "Records", content["ledgers"]),
    ]
    return [(name, title) for name, title, is_there in parts if is_there]


def _main_figure(figures: Sequence[Record]) -> tuple[Record | None, list[Record]]:
    """The figure that stands beside the headline, if the run has it, and the others."""
    main = next((one for one in figures if one["name"] == f"figure-{MAIN_FIGURE}"), None)
    return main, [figure for figure in figures if figure is not main]


def _with_caption(figure: Record) -> Record:
    """A figure without a caption gets the one that the report knows for it."""
    known = CAPTIONS.get(figure["name"].removeprefix("figure-"), "")
    return figure | {"caption": figure["caption"] or known}


def judge_basis(judge: AnyJudge, principles: int) -> str:
    """What a judgement is based on, in one or two sentences."""
    if isinstance(judge, RandomJudge):
        return "The judge is a coin: a control, which shows what happens without a constitution."
    pairwise = judge.pairwise if isinstance(judge, ChatJudge) else judge
    if pairwise is None:
        return (
            "The judge is shown the whole constitution and all answers to a prompt, and names the "
            "best and the worst one."
        )
    if pairwise.constitution == "whole":
        return "Each comparison is judged by the whole constitution at once."
    count = min(pairwise.principles_per_comparison, principles)
    if count == principles:
        return f"Each comparison is judged by all {principles} principles, one at a time."
    return (
        f"Each comparison is judged by {count} of the {principles} principles, drawn for it. Where "
        "a principle has nothing to do with the request, the judge has no reason to prefer either "
        "answer."
    )


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
    """What was checked between stages: ``checks`` with stage, what, raised, weight and words."""
    content = read_json(path)
    fail_if("checks" not in content, f"{path}: no checks: the field 'checks' is missing")
    for check in content["checks"]:
        for name in ("stage", "what", "raised", "weight", "told", "advice"):
            fail_if(name not in check, f"{path}: a check without the field {name!r}")
    checks: list[Record] = content["checks"]
    return checks


def cost(manifests: Iterable[Record]) -> Record:
    """Seconds and GPU-hours of what the manifests account for."""
    known = list(manifests)
    return {name: sum(one.get(name) or 0 for one in known) for name in ("seconds", "gpu_hours")}


# Tables


def result_rows(summary: Record) -> list[Record]:
    """The rows of the table of results: a label, the set, and a cell for each model."""
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
    """What is known of the judge in each use of it; the shards of one use are put together."""
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
