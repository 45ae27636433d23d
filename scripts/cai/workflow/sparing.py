"""Conversions and trainings do not run for an edit of our code, only if their inputs change.

Snakemake runs a job again whenever one before it runs. After an edit of a program, a module
(:mod:`cai.workflow.code`) or a rule's command, the jobs before a training mostly make the same
files again. So such a training, and what follows from nothing else, is not planned. When the jobs
before it are done, it is looked at again, in the same run: it runs if its inputs are not those that
it had, by content. What depends on it waits until then.

Snakemake has no way to say so in a rule; here two methods of its DAG are replaced.
"""

import sys
from collections.abc import Set
from typing import Any, Literal

from cai.workflow import dag as plans
from cai.workflow import snakemake_internals
from cai.workflow.code import KEPT, program_of

Why = Literal["code", "other"]  # an edit of code alone, or anything else


def install() -> None:
    """Have this process spare conversions and trainings in what it plans and runs."""
    snakemake_internals.replace(update_needrun, finish)
    snakemake_internals.overlook_command(_is_kept)


async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
    """Snakemake's, and then take out the jobs that are spared for now."""
    await snakemake_internals.update_needrun(dag, *arguments, **options)
    dag.spared, dag.awaited = set(), set()
    needed = snakemake_internals.needed(dag)
    if dag.workflow.touch or not any(_is_kept(job) for job in needed):
        return
    dag.spared, dag.awaited = await _spared(dag)
    waiting = _waiting(dag, needed - dag.spared)
    snakemake_internals.take_out(dag, dag.spared, waiting)
    _tell(dag, waiting)


def _waiting(dag: Any, planned: Set[Any]) -> set[Any]:
    """The spared jobs that are looked at again: those with a job before them that is to run."""
    waiting: set[Any] = set()
    for job in (job for level in dag.toposorted() for job in level if job in dag.spared):
        if any(before in planned or before in waiting for before in dag.dependencies[job]):
            waiting.add(job)
    return waiting


async def finish(dag: Any, job: Any, *arguments: Any, **options: Any) -> bool:
    """Snakemake's, and then look again at the jobs that were spared because of this one."""
    ready = await snakemake_internals.finish(dag, job, *arguments, **options)
    if dag.awaited.isdisjoint(job if job.is_group() else [job]):
        return ready
    await dag.postprocess()
    return True


async def _spared(dag: Any) -> tuple[set[Any], set[Any]]:
    """The jobs that need not run for now, and those that have to be done before that is known."""
    why: dict[Any, Why] = {}
    spared: set[Any] = set()
    awaited: set[Any] = set()
    needed = snakemake_internals.needed(dag)
    for job in (job for level in dag.toposorted() for job in level if job in needed):
        before = [each for each in dag.dependencies[job] if each in why]
        reasons = {why[each] for each in before}
        if "other" not in reasons and (own := await _own(dag, job)):
            reasons.add(own)
        if "other" in reasons:
            why[job] = "other"
        elif not reasons or (_is_kept(job) and reasons == {"code"}):
            spared.add(job)
            awaited.update(before)
        else:
            why[job] = "code"
    return spared, awaited


async def _own(dag: Any, job: Any) -> Why | None:
    """Why a job would run if none before it did; Snakemake has not asked that of all of them."""
    reason, persistence = dag.reason(job), dag.workflow.persistence
    others = [
        reason.forced,
        job.rule in dag.forcerules,
        not dag.forcefiles.isdisjoint(job.output),
        not job.output,  # a target rule
        *await plans.changed_files(dag, job),
        any(persistence.input_changed(job)),
        any(persistence.software_stack_changed(job)),
    ]
    change = persistence.params_changed(job)
    if any(others) or (change and not plans.same_values(persistence, job)):
        return "other"
    if _is_kept(job):
        return None
    reason.params_changed = change
    reason.code_changed = any(persistence.code_changed(job))
    return "code" if change or reason.code_changed else None


def _is_kept(job: Any) -> bool:
    return program_of(job.rule.shellcmd) in KEPT


def _tell(dag: Any, waiting: set[Any]) -> None:
    """Say once what is not planned."""
    names = dict.fromkeys(job.rule.name for job in waiting if _is_kept(job))
    if names and not getattr(dag, "announced", False):
        dag.announced = True
        print(
            f"Not planned: {', '.join(sorted(names))}, nor what follows from them alone: before "
            "them only our code has changed. They run if their inputs change.",
            file=sys.stderr,
        )
