"""What this project takes of Snakemake beyond its documented interface.

Snakemake promises nothing of these names. They are used here alone, and a version is accepted only
if the tests of this module have passed with it. To take a newer Snakemake: pin it in
``envs/controller.txt``, run those tests, mend what fails here, and raise ``BELOW``.
"""

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any

from packaging.version import Version

FROM, BELOW = "9.27", "9.28"

_own: dict[str, Any] = {}  # Snakemake's methods that replace() has replaced


def complaints(version: str | None = None) -> list[str]:
    """A line if a Snakemake, by default this one, is not among those that are accepted."""
    from snakemake import __version__

    found = version or __version__
    if Version(FROM) <= Version(found) < Version(BELOW):
        return []
    return [
        f"Snakemake: found {found}; accepted: from {FROM}, below {BELOW}; "
        "`make controller` installs the one that envs/controller.txt names"
    ]


def submitted(workflow: Any) -> set[str]:
    """The names of the rules whose jobs are submitted to an executor: those that are not local."""
    return {rule.name for rule in workflow.rules} - workflow._localrules


def given_values(workflow: Any) -> list[str]:
    """The words after ``--config`` as they were written; jobs are given the same ones."""
    words = workflow.config_settings.config_args
    return list(words) if isinstance(words, list | tuple) else []


def profile_resources(workflow: Any) -> dict[str, Mapping[str, Any]]:
    """The resources that a profile or a command line gives, by rule; a change counts."""
    return workflow.resource_settings._parsed_overwrite_resources


def expanded_resources(workflow: Any, rule: str) -> Mapping[str, Any]:
    """The resources of a rule's jobs, whatever their wildcards.

    Raises:
        ValueError: a resource that Snakemake cannot read, with all that it says.
    """
    from snakemake.iocontainers import InputFiles
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        return workflow.get_rule(rule).expand_resources({}, InputFiles(), attempt=1)
    except WorkflowError as error:
        raise ValueError(str(error)) from None


def params(job: Any) -> list[str]:
    """A job's parameters as Snakemake records them: texts without names, in order."""
    return job.dag.workflow.persistence._params(job)


def inputs(job: Any) -> list[str]:
    """A job's inputs as Snakemake records them."""
    return job.dag.workflow.persistence._input(job)


def replace(
    update_needrun: Callable[..., Awaitable[None]], finish: Callable[..., Awaitable[bool]]
) -> None:
    """Have Snakemake call these in the place of two methods of its DAG; they get the DAG first."""
    from snakemake.dag import DAG

    for name, method in {"update_needrun": update_needrun, "finish": finish}.items():
        _own.setdefault(name, getattr(DAG, name))
        setattr(DAG, name, method)


def overlook_command(kept: Callable[[Any], bool]) -> None:
    """Have Snakemake take the command lines of those jobs that ``kept`` names as unchanged."""
    from snakemake.persistence import PersistenceBase

    own = _own.setdefault("code_changed", PersistenceBase.code_changed)

    def code_changed(persistence: Any, job: Any, file: Any = None) -> Any:
        if kept(job):
            return iter(()) if file is None else False
        return own(persistence, job, file=file)

    PersistenceBase.code_changed = code_changed


async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
    """Snakemake's own: find the jobs that have to run."""
    await _own["update_needrun"](dag, *arguments, **options)


async def finish(dag: Any, job: Any, *arguments: Any, **options: Any) -> bool:
    """Snakemake's own: take a job as done. Returns whether others are ready now."""
    return await _own["finish"](dag, job, *arguments, **options)


def needed(dag: Any) -> Set[Any]:
    """The jobs that have to run, those that are done among them."""
    return dag._needrun


def take_out(dag: Any, spared: Set[Any], waiting: Set[Any]) -> None:
    """Take jobs out of those that have to run.

    Args:
        dag: Snakemake's.
        spared: the jobs.
        waiting: those of them that may have to run after all; what depends on them waits.
    """
    for job in spared:
        dag.reason(job).clear()
    dag._needrun -= spared
    unsettled = dag._needrun | waiting
    for job in dag._needrun:
        dag._n_until_ready[job] = sum(before in unsettled for before in dag.dependencies[job])
    dag._len = len(dag._finished | dag._needrun)
