"""A plan as a table for a terminal."""

from collections.abc import Sequence

from cai.core.units import amount, rough_duration
from cai.plan.rehearsal import Count
from cai.plan.stages import Plan, Stage

HEADER = ("stage", "jobs", "new", "reused", "GPUs", "GPU-hours", "time", "disk", "why")
LINES = 6  # reasons of a stage that are shown
AFTER = 3  # stages that a stage follows from, that are shown


def show(plan: Plan) -> str:
    """The table, what it sums up to, and what its marks mean."""
    if not plan.stages:
        return f"{plan.settings.results}: nothing to be done"
    rows = [HEADER, *(row for stage in plan.stages for row in _rows(stage)), _total(plan)]
    marks = [
        *(
            ["* estimated (docs/costs.md, estimates): no earlier run was measured"]
            if any(stage.is_estimated for stage in plan.stages)
            else []
        ),
        *(f"* {stage.name}: {line}" for stage in plan.stages for line in stage.how),
        *(
            ["<= at most: what follows from an answer that is still to come may be known, or fail"]
            if not plan.count.exact
            else []
        ),
        *(
            [">= at least: jobs marked ?, or named below, are of unknown length"]
            if plan.is_least
            else []
        ),
        *(f"not known, counted as none: {line}" for line in _shown(plan.unknown)),
        *(
            [f"not planned: {', '.join(plan.spared)}: they run if what is made for them differs"]
            if plan.spared
            else []
        ),
    ]
    return "\n".join([_aligned(rows), "", summary(plan), *marks])


def summary(plan: Plan) -> str:
    """One line: jobs, answers, GPU-hours."""
    count = plan.count
    return (
        f"{plan.settings.results}: {plan.jobs} jobs to run, {plan.up_to_date} up to date; "
        f"{_number(count.new, count)} new answers, {count.reused:,} reused; "
        f"{_bill(plan)} GPU-hours, {_time(plan)} of jobs one after another{_unknown(plan)}"
    )


def _bill(plan: Plan) -> str:
    at_least = ">= " if plan.is_least_bill else ""
    return f"{at_least}{plan.gpu_hours:,.1f}{_mark(plan.stages)}"


def _time(plan: Plan) -> str:
    """A time of zero is left out where it only means that nothing is known."""
    if plan.is_least and not plan.seconds:
        return "?"
    at_least = ">= " if plan.is_least else ""
    return f"{at_least}{rough_duration(plan.seconds)}{_mark(plan.stages)}"


def _unknown(plan: Plan) -> str:
    return f", {plan.unknown_jobs} jobs unknown" if plan.unknown_jobs else ""


def _rows(stage: Stage) -> list[tuple[str, ...]]:
    count = stage.count
    gpus = max((cost.gpus for cost in stage.costs), default=0)
    mark = "*" if stage.is_estimated else ""
    why = _shown(stage.why)
    after = [*stage.after[:AFTER], *(["..."] if len(stage.after) > AFTER else [])]
    follows = f"after {', '.join(after)}" if after else ""
    first, *rest = [*why, *([follows] if follows else [])] or [""]
    row = (
        stage.name,
        str(stage.jobs),
        "" if count is None else _number(count.new, count),
        "" if count is None else f"{count.reused:,}",
        str(gpus or ""),
        "" if not gpus else _known(f"{stage.gpu_hours:,.1f}{mark}", stage),
        _known(f"{rough_duration(stage.seconds)}{mark}", stage),
        amount(stage.disk) if stage.disk else "",
        first,
    )
    return [row, *(("",) * (len(HEADER) - 1) + (line,) for line in rest)]


def _known(text: str, stage: Stage) -> str:
    """A sum over a stage's jobs: a lower bound if some are not known, ? if none is."""
    if not stage.unknown:
        return text
    return f">= {text}" if len(stage.unknown) < stage.jobs else "?"


def _total(plan: Plan) -> tuple[str, ...]:
    count = plan.count
    return (
        "total",
        str(plan.jobs),
        _number(count.new, count),
        f"{count.reused:,}",
        "",
        _bill(plan),
        _time(plan),
        amount(sum(stage.disk for stage in plan.stages)),
        "",
    )


def _shown(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return [*lines[:LINES], *more]


def _mark(stages: Sequence[Stage]) -> str:
    return "*" if any(stage.is_estimated for stage in stages) else ""


def _number(value: int, count: Count) -> str:
    return f"{value:,}" if count.exact or not value else f"<= {value:,}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of equal width: names and reasons to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers, why in rows:
        cells = [name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:-1]), why]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
