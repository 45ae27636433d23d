#!/usr/bin/env python
"""Show what a run will do, why, how much is new, and what it costs; nothing is run or changed.

    plan.py [options] [arguments of snakemake]
    plan.py --profile slurm results/rl_cai.nemo
    plan.py --compare other.yaml --profile slurm      what another constitution would change

For each stage: its jobs; the answers that would be asked for and those that the journals hold
already; GPU-hours and time, as earlier runs measured them or, with a star, by stated estimates;
disk; and the reasons, in terms of principles, settings and files. Only the options given here are
this program's own; all others are Snakemake's. Exit code 1: the plan is above the budget; 4: it
may be, since the known part is within it and another part is unknown.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from cai.core import cli
from cai.core.changes import changes
from cai.core.errors import fail_if
from cai.plan.show import show, summary
from cai.plan.stages import Plan, make_plan
from cai.settings.constitution import Principle, load_constitution
from cai.workflow.dag import dry_run

OVER, UNSURE = 1, 4  # exit codes: of a plan above the budget, and of one that may be


def main() -> None:
    """Read the command line, plan, print."""
    options, arguments = _parser().parse_known_args()
    plans = [make_plan(dry_run(arguments))]
    if options.compare:
        plans.append(make_plan(dry_run(_with_constitution(arguments, options.compare))))
    for line in dict.fromkeys(line for plan in plans for line in plan.warnings):
        print(line, file=sys.stderr)
    if options.json:
        print(json.dumps(_as_json(plans), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_as_text(plans)))
    if options.budget is not None:
        _check_budget(plans[-1], options.budget)


def _check_budget(plan: Plan, budget: float) -> None:
    """End with an exit code of its own if the plan is above the budget, or may be."""
    found = f"{plan.gpu_hours:,.1f} GPU-hours of {budget:,.1f}"
    if plan.gpu_hours > budget:
        print(f"over the budget: {found}", file=sys.stderr)
        raise SystemExit(OVER)
    if plan.is_least_bill:
        missing = [f"{plan.unknown_jobs} jobs unknown"] if plan.unknown_jobs else []
        why = "; ".join([*missing, *plan.unknown])
        print(f"perhaps over the budget: at least {found}: {why}", file=sys.stderr)
        raise SystemExit(UNSURE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="the plan as JSON")
    parser.add_argument(
        "--budget",
        type=_budget,
        metavar="GPUH",
        help="end with exit code 1 above it, 4 if it may be",
    )
    parser.add_argument(
        "--compare", type=cli.existing_file, metavar="CONSTITUTION",
        help="plan with this constitution, too, and show the difference",
    )  # fmt: skip
    return parser


def _budget(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    fail_if(
        not (math.isfinite(hours) and hours >= 0),
        f"--budget: found {text!r}; accepted: a number of GPU-hours, 0 or more",
    )
    return hours


def _with_constitution(arguments: Sequence[str], path: Path) -> list[str]:
    """The arguments with another constitution among those of ``--config``, or as the only one."""
    setting, given = f"constitution={path}", list(arguments)
    if "--config" in given:
        given.insert(given.index("--config") + 1, setting)
        return given
    end = given.index("--") if "--" in given else len(given)
    return [*given[:end], "--config", setting, *given[end:]]


def _as_json(plans: Sequence[Plan]) -> object:
    if len(plans) == 1:
        return plans[0].as_dict()
    return {
        "now": plans[0].as_dict(),
        "other": plans[1].as_dict(),
        "principles": _differences(plans),
    }


def _as_text(plans: Sequence[Plan]) -> list[str]:
    if len(plans) == 1:
        return [show(plans[0])]
    now, other = plans
    return [
        f"{now.settings.constitution} -> {other.settings.constitution}",
        *(f"  {line}" for line in _differences(plans) or ["the same principles"]),
        "",
        f"with {other.settings.constitution}:",
        show(other),
        "",
        f"with {now.settings.constitution}, as it is: {summary(now)}",
    ]


def _differences(plans: Sequence[Plan]) -> list[str]:
    before, now = (_texts(load_constitution(plan.settings.constitution)) for plan in plans)
    return changes("principles", before, now)


def _texts(principles: Sequence[Principle]) -> list[str]:
    return [principle.model_dump_json(exclude_none=True) for principle in principles]


if __name__ == "__main__":
    cli.run(main)
