"""Conversions and trainings are spared an edit of our code: they run if their inputs change.

Snakemake runs a job again whenever one before it runs. After an edit of a program, a module
(:mod:`cai.workflow.code`) or a rule's command, the jobs before a training mostly make the same
files again.
So such a training, and what follows from nothing else, is not planned. When the jobs before it are
done, it is looked at again, in the same run: it runs if its inputs are not those that it had, by
content. What depends on it waits until then.

Snakemake has no way to say so in a rule; here two methods of its DAG are wrapped.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from snakemake.dag import DAG

from cai.workflow import dag as plans
from cai.workflow.code import KEPT, is_mark, program_of

Why = Literal["code", "other"]  # an edit of code alone, or anything else

_update_needrun, _finish = DAG.update_needrun, DAG.finish


def install() -> None:
    """Have this process spare conversions and trainings in what it plans and runs."""
    DAG.update_needrun, DAG.finish = update_needrun, finish


async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
    """Snakemake's, and then take out the jobs that are spared for now."""
    await _update_needrun(dag, *arguments, **options)
    dag.spared, dag.awaited = set(), set()
    if dag.workflow.touch or not any(_is_kept(job) for job in dag._needrun):
        return
    dag.spared, dag.awaited = await _spared(dag)
    for job in dag.spared:
        dag.reason(job).clear()
    dag._needrun -= dag.spared
    waiting = _waiting(dag)
    unsettled = dag._needrun | waiting
    for job in dag._needrun:
        dag._n_until_ready[job] = sum(before in unsettled for before in dag._dependencies[job])
    dag._len = len(dag._finished | dag._needrun)
    _tell(dag, waiting)


def _waiting(dag: Any) -> set[Any]:
    """The spared jobs that are looked at again: those with a job before them that is to run."""
    waiting: set[Any] = set()
    for job in (job for level in dag.toposorted() for job in level if job in dag.spared):
        if any(before in dag._needrun or before in waiting for before in dag._dependencies[job]):
            waiting.add(job)
    return waiting


async def finish(dag: Any, job: Any, *arguments: Any, **options: Any) -> bool:
    """Snakemake's, and then look again at the jobs that were spared because of this one."""
    ready = await _finish(dag, job, *arguments, **options)
    if dag.awaited.isdisjoint(job if job.is_group() else [job]):
        return ready
    await dag.postprocess()
    return True


async def _spared(dag: Any) -> tuple[set[Any], set[Any]]:
    """The jobs that need not run for now, and those that have to be done before that is known."""
    why: dict[Any, Why] = {}
    spared: set[Any] = set()
    awaited: set[Any] = set()
    for job in (job for level in dag.toposorted() for job in level if job in dag._needrun):
        before = [each for each in dag._dependencies[job] if each in why]
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
    if any(others) or (change and not _same_values(persistence, job)):
        return "other"
    if _is_kept(job):
        return None
    reason.params_changed = change
    reason.code_changed = any(persistence.code_changed(job))
    return "code" if change or reason.code_changed else None


def _same_values(persistence: Any, job: Any) -> bool:
    """Whether a job's parameters hold the values that they held, in whatever grouping.

    That an option now stands in the command, say, and not in a parameter, is an edit of our rules.
    """
    now = set(_values(persistence._params(job)))
    recorded = (persistence.params(path) for path in job.output)
    return all(set(_values(texts)) == now for texts in recorded if texts is not None)


def _values(texts: Iterable[str]) -> Iterator[str]:
    """The values in parameters as Snakemake records them, without options' names and our code."""
    waiting = [plans.value_of(text) for text in texts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
        elif not is_mark(value) and not str(value).startswith("--"):
            yield str(value)


def _is_kept(job: Any) -> bool:
    return program_of(job.rule.shellcmd) in KEPT


def _tell(dag: Any, waiting: set[Any]) -> None:
    """Say once what is not planned."""
    names = dict.fromkeys(job.rule.name for job in waiting if _is_kept(job))
    if names and not getattr(dag, "told", False):
        dag.told = True
        print(
            f"Not planned: {', '.join(sorted(names))}, nor what follows from them alone: before "
            "them only our code has changed. They run if their inputs come out otherwise.",
            file=sys.stderr,
        )
