"""What Snakemake would do and why: a dry run inside this process, as data.

Snakemake gives the reasons of a job only up to the first one: a job that runs anyway, because of
another job, is not looked at again. Here each job is asked for all of its own.
"""

import ast
import asyncio
import difflib
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from cai.core.changes import NOTHING, changes, edits
from cai.core.errors import UserError, fail_if
from cai.workflow import command_line, snakemake_internals
from cai.workflow.code import KEPT, edited, is_mark, program_of

_workflows: list[Any] = []
Files = tuple[list[str], list[str], list[str]]  # missing and incomplete outputs, updated inputs


def resources(workflow: Any, name: str) -> Mapping[str, Any]:
    """What a profile gives a rule's jobs, whatever their wildcards.

    Raises:
        UserError: a resource that Snakemake cannot read.
    """
    try:
        return snakemake_internals.expanded_resources(workflow, name)
    except ValueError as error:
        words = [line.strip() for line in str(error).splitlines()]
        line = next((line for line in words if line.startswith("Resource ")), " ".join(words))
        raise UserError(f"profile: resources of rule {name}: {line}") from None


def unknown_rules(workflow: Any, estimated: Iterable[str] = ()) -> Iterator[str]:
    """Names that are no rule's; a line each.

    Args:
        workflow: whose profile gives resources by the names of rules.
        estimated: names under ``estimates.jobs`` of the configuration.
    """
    rules = [rule.name for rule in workflow.rules]
    named = {
        "profile: set-resources": snakemake_internals.profile_resources(workflow),
        "estimates.jobs": estimated,
    }
    for place, names in named.items():
        for name in sorted(set(names) - set(rules)):
            close = difflib.get_close_matches(name, rules, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            yield f"{place}: {name}: no rule of this name{meant}"


def share_resources(workflow: Any, like: Mapping[str, str]) -> None:
    """Give rules the resources that a profile gives other rules, unless it names them itself.

    Called before the rules are read.

    Args:
        workflow: whose profile gives resources by the names of rules.
        like: of a rule, the one whose resources it has.
    """
    given = snakemake_internals.profile_resources(workflow)
    for name, other in like.items():
        if other in given:
            given.setdefault(name, given[other])


def register(workflow: Any) -> None:
    """Called by the Snakefile: the workflow that this process is about to plan or run."""
    _workflows[:] = [workflow]


@dataclass(frozen=True)
class ParamChange:
    """A parameter of a rule: what Snakemake recorded when the job ran, and what it is now.

    Snakemake records values without their names: a value that is gone is taken to be the former one
    of the new value that is most like it. Either is ``NOTHING`` if there was or is no such value.
    """

    name: str
    before: Any
    now: Any

    def lines(self) -> list[str]:
        """What has changed in it: which key, which override, which principle."""
        return changes(self.name, self.before, self.now)


@dataclass(frozen=True)
class Reasons:
    """Why a job has to run.

    Attributes:
        missing: outputs that are not there.
        incomplete: outputs of a job that was killed.
        updated: inputs that are newer than the outputs and not what they were.
        made: inputs that other jobs of this run make, each with that job's name.
        params: parameters that have changed.
        inputs: names of inputs that were added (+) to the rule's or taken (-) from them.
        edited: programs and modules that its job runs, and whose code has changed.
        code: the command of the rule has changed.
        software: the software environment of the rule has changed.
        forced: asked for on the command line.
    """

    missing: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    made: dict[str, str] = field(default_factory=dict)
    params: tuple[ParamChange, ...] = ()
    inputs: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    code: bool = False
    software: bool = False
    forced: bool = False

    def own(self) -> list[str]:
        """Short lines for what does not follow from another job."""
        return [
            *([f"missing: {', '.join(self.missing)}"] if self.missing else []),
            *([f"incomplete: {', '.join(self.incomplete)}"] if self.incomplete else []),
            *(f"updated: {path}" for path in self.updated),
            *(line for param in self.params for line in param.lines()),
            *(f"input {path}" for path in self.inputs),
            *edits(self.edited),
            *(["the rule's command has changed"] if self.code else []),
            *(["the software environment has changed"] if self.software else []),
            *(["forced"] if self.forced else []),
        ]


@dataclass(frozen=True)
class PlannedJob:
    """A job of the plan. ``needed`` says whether it has to run; paths are as in the rules.

    ``command`` is the command line of one that has to, empty if it has none.
    """

    rule: str
    wildcards: dict[str, str]
    input: tuple[str, ...]
    output: tuple[str, ...]
    log: tuple[str, ...]
    benchmark: str | None
    command: str
    params: dict[str, Any]
    resources: dict[str, Any]
    is_local: bool
    needed: bool
    reasons: Reasons

    @property
    def name(self) -> str:
        """The rule and its wildcards, such as ``revisions 3``."""
        return " ".join([self.rule, *self.wildcards.values()])


@dataclass(frozen=True)
class DryRun:
    """A dry run's jobs, those that need not run too, each after those it depends on.

    Attributes:
        jobs: without the target rules, which run nothing.
        config: the merged configuration.
        warnings: lines of the checks that the workflow makes before it starts.
        spared: rules whose jobs run only if their new inputs differ from the old ones.
        submissions: how often a job that fails is tried, at most.
    """

    config: dict[str, Any]
    jobs: list[PlannedJob]
    warnings: list[str]
    spared: list[str]
    submissions: int = 1

    @property
    def needed(self) -> list[PlannedJob]:
        """The jobs that have to run."""
        return [job for job in self.jobs if job.needed]


def dry_run(arguments: Sequence[str]) -> DryRun:
    """Plan what ``snakemake ARGUMENTS`` would do, without running, writing or printing.

    Raises:
        UserError: what Snakemake says against it.
        SystemExit: what the workflow's own checks say, a line each.
    """
    with _snakemake(arguments, dryrun=True) as (workflow, said):
        warnings = command_line.warnings(arguments)
        warnings += [line for line in said.splitlines() if line.startswith("warning: ")]
        config = dict(workflow.globals["config"])
        dag = workflow.persistence.dag
        spared = sorted({job.rule.name for job in getattr(dag, "spared", ())})
        submissions = 1 + workflow.execution_settings.retries
        return DryRun(config, list(_jobs(dag)), warnings, spared, submissions)


def touch(arguments: Sequence[str]) -> None:
    """Have Snakemake take the outputs of the planned jobs as up to date: ``snakemake --touch``.

    Of each it records the parameters, inputs and code as they are now.

    Raises:
        UserError: what Snakemake says against it.
    """
    with _snakemake(arguments, touch=True, no_hooks=True):
        pass


@contextmanager
def _snakemake(arguments: Sequence[str], **options: bool) -> Iterator[tuple[Any, str]]:
    """Run Snakemake in this process; yields the workflow and what was said on stderr."""
    from snakemake.cli import args_to_api, parse_args
    from snakemake.settings.enums import Quietness

    arguments = command_line.separated(arguments)
    command_line.check(arguments)
    _workflows.clear()
    said = io.StringIO()
    errors: list[str] = []
    with _listening(errors), redirect_stdout(io.StringIO()), redirect_stderr(said):
        try:
            parser, args = parse_args(list(arguments))
            vars(args).update(options)
            args.quiet = {Quietness.RULES, Quietness.PROGRESS}  # a dry run ends before the jobs
            done = args_to_api(args, parser)
        except SystemExit as end:
            fail_if(isinstance(end.code, int), f"snakemake: {_last(said.getvalue())}")
            raise
        except Exception as error:  # of a command line: Snakemake prints others itself
            raise UserError(f"snakemake: {error}") from None
        fail_if(not done, f"snakemake: {_described(errors)}")
        planned = [each for each in _workflows if each.persistence is not None]
        fail_if(not planned, "snakemake: these arguments plan no jobs")
        yield planned[0], said.getvalue()


@contextmanager
def _listening(errors: list[str]) -> Iterator[None]:
    """Collect Snakemake's errors: it takes away the handlers of its logger, but not the filters."""

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            errors.append(record.getMessage())
        return True

    logger = logging.getLogger("snakemake.logging")
    logger.addFilter(collect)
    try:
        yield
    finally:
        logger.removeFilter(collect)


def _described(errors: Sequence[str]) -> str:
    """Snakemake's errors in one line; of a stack trace, what it ends with."""
    texts = (_last(text) if "Traceback" in text else text for text in errors)
    return " ".join(" ".join(texts).split())


def _last(text: str) -> str:
    return text.rstrip().rpartition("\n")[2].strip()


def _jobs(dag: Any) -> Iterator[PlannedJob]:
    needed = set(dag.needrun_jobs())
    jobs = [
        job
        for level in dag.toposorted()
        for job in sorted(level, key=lambda job: (job.rule.name, str(job.wildcards)))
        if job.output
    ]
    for job, files in zip(jobs, asyncio.run(_all_files(dag, jobs)), strict=True):
        yield PlannedJob(
            rule=job.rule.name,
            wildcards=dict(job.wildcards.items()),
            input=tuple(map(str, job.input)),
            output=tuple(map(str, job.output)),
            log=tuple(map(str, job.log)),
            benchmark=str(job.benchmark) if job.benchmark else None,
            command=job.shellcmd if job in needed and job.is_shell else "",
            params={name: value for name, value in job.params.items() if not is_mark(value)},
            resources=dict(job.resources.items()),
            is_local=job.is_local,
            needed=job in needed,
            reasons=_reasons(dag, job, needed, files),
        )


def _reasons(dag: Any, job: Any, needed: set[Any], files: Files) -> Reasons:
    reason, persistence = dag.reason(job), dag.workflow.persistence
    missing, incomplete, updated = files
    change = persistence.params_changed(job)
    makers = dag.dependencies[job]
    return Reasons(
        missing=tuple(missing) if job in needed else (),
        incomplete=tuple(incomplete),
        updated=tuple(updated),
        made={
            str(path): " ".join([maker.rule.name, *maker.wildcards])
            for maker, paths in makers.items()
            if maker in needed
            for path in sorted(paths)
        },
        params=tuple(_params(persistence, job)),
        inputs=tuple(_inputs(persistence, job)),
        edited=tuple(edited(change.only_old | change.only_new) if change else ()),
        code=program_of(job.rule.shellcmd) not in KEPT and any(persistence.code_changed(job)),
        software=any(persistence.software_stack_changed(job)),
        forced=bool(reason.forced) and not incomplete,
    )


async def _all_files(dag: Any, jobs: Sequence[Any]) -> list[Files]:
    return [await changed_files(dag, job) for job in jobs]


async def changed_files(dag: Any, job: Any) -> Files:
    """Outputs that are missing, or of a killed job; inputs that are new, by Snakemake's rules."""
    missing = [str(path) for path in job.output if not await path.exists()]
    incomplete = list(map(str, await dag.workflow.persistence.incomplete(job)))
    oldest = await job.output_mintime
    updated = []
    for path in job.input if oldest is not None else []:
        if await path.exists() and await path.is_newer(oldest) and not await _same(dag, job, path):
            updated.append(str(path))
    return missing, incomplete, updated


async def _same(dag: Any, job: Any, path: Any) -> bool:
    """Whether an input has the content that it had when the job ran, as far as recorded."""
    if not await path.is_checksum_eligible(dag.max_checksum_file_size):
        return False
    known = dag.workflow.persistence.input_checksums(job, path)
    return len(known) == 1 and await path.is_same_checksum(known.pop(), dag.max_checksum_file_size)


def _inputs(persistence: Any, job: Any) -> Iterator[str]:
    if not any(persistence.input_changed(job)):
        return
    now, before = set(snakemake_internals.inputs(job)), set(persistence.input(job.output[0]) or [])
    yield from (f"+{path}" for path in sorted(now - before))
    yield from (f"-{path}" for path in sorted(before - now))


def _params(persistence: Any, job: Any) -> Iterator[ParamChange]:
    """The parameters that differ from what is recorded of the first output that differs."""
    if not persistence.params_changed(job) or same_values(persistence, job):
        return
    current = snakemake_internals.params(job)
    recorded = next(
        params
        for params in map(persistence.params, job.output)
        if params is not None and set(params) != set(current)
    )
    gone = Counter(recorded) - Counter(current)
    new = Counter(current) - Counter(recorded)
    left = sorted(text for text in gone.elements() if not is_mark(value_of(text)))
    for name, value in job.params.items():
        if not new[repr(value)] or is_mark(value):
            continue
        new[repr(value)] -= 1
        before = _most_like(repr(value), left)
        if before is not None:
            left.remove(before)
        yield ParamChange(name, NOTHING if before is None else value_of(before), value)
    for before in left:
        yield ParamChange("a parameter", value_of(before), NOTHING)


def same_values(persistence: Any, job: Any) -> bool:
    """Whether a job's parameters hold the values that they held, in whatever grouping.

    That an option now stands in the command, say, and not in a parameter, is an edit of our rules.
    """
    now = set(_values(snakemake_internals.params(job)))
    recorded = (persistence.params(path) for path in job.output)
    return all(set(_values(texts)) == now for texts in recorded if texts is not None)


def _values(texts: Iterable[str]) -> Iterator[str]:
    """The values in parameters as Snakemake records them, without options' names and our code."""
    waiting = [value_of(text) for text in texts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
        elif not is_mark(value) and not str(value).startswith("--"):
            yield str(value)


def _most_like(text: str, others: Sequence[str]) -> str | None:
    """The one most like a text; prefixes decide between long ones, which are slow to compare."""

    def alike(other: str) -> tuple[bool, float]:
        matcher = difflib.SequenceMatcher(None, text[:400], other[:400], autojunk=False)
        return type(value_of(other)) is type(value_of(text)), matcher.quick_ratio()

    return max(others, key=alike, default=None)


def value_of(text: str) -> Any:
    """A parameter as Snakemake records it, as a value; one that is no literal stays a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
