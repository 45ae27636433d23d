"""The plan: for each stage what will run and why, how much of it is new, and what it costs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cai.checks.amounts import Sizes
from cai.checks.rule_kinds import kind_of
from cai.core.errors import UserError
from cai.core.progress import Progress
from cai.files.records import Record
from cai.plan.costs import Cost, Costs
from cai.plan.disk import disk
from cai.plan.rehearsal import Count, Rehearsal
from cai.running.launch import launch_of
from cai.settings.configuration import Settings
from cai.workflow import experiments
from cai.workflow.dag import DryRun, PlannedJob

MANY = 100  # jobs, from which on a plan shows its progress


@dataclass
class Stage:
    """All planned jobs of a rule.

    Attributes:
        name: of the rule.
        why: what of its own has changed: principles, settings, files; none if it only follows.
        after: the stages that make its inputs anew.
        counts: the questions of each job that asks a model, by the job's name.
        costs: of each job.
        disk: bytes that its jobs write, or keep while they run.
    """

    name: str
    jobs: int = 0
    why: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    disk: int = 0

    @property
    def count(self) -> Count | None:
        """The questions of all its jobs; None if it asks no model."""
        total = Count()
        for count in self.counts.values():
            total = total.plus(count)
        return total if self.counts else None

    @property
    def seconds(self) -> float:
        """Of all jobs, one after another."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def gpu_hours(self) -> float:
        """Of all jobs."""
        return sum(cost.gpu_hours for cost in self.costs)

    @property
    def is_estimated(self) -> bool:
        """Whether any of it is estimated by formulas and not measured."""
        return any(cost.source == "estimated" for cost in self.costs)

    @property
    def unknown(self) -> list[Cost]:
        """The jobs whose cost is unknown."""
        return [cost for cost in self.costs if cost.source == "unknown"]

    @property
    def how(self) -> list[str]:
        """What its estimates come from, where that is worth a line."""
        return list(dict.fromkeys(cost.how for cost in self.costs if cost.how))

    def as_dict(self) -> Record:
        """The stage as JSON has it."""
        count = self.count
        return {
            "stage": self.name,
            "jobs": self.jobs,
            "why": self.why,
            "after": self.after,
            "new": count and count.new,
            "reused": count and count.reused,
            "sure": count and count.sure,
            "exact": count and count.exact,
            "by_job": {name: each._asdict() for name, each in self.counts.items()},
            "gpus": max((cost.gpus for cost in self.costs), default=0),
            "seconds": round(self.seconds, 1),
            "gpu_hours": round(self.gpu_hours, 4),
            "source": sorted({cost.source for cost in self.costs}),
            "how": self.how,
            "unknown_jobs": len(self.unknown),
            "disk": self.disk,
        }


@dataclass
class Plan:
    """What a run would do.

    Attributes:
        settings: of the run.
        stages: in the order of the workflow.
        up_to_date: jobs that need not run.
        unknown: what would have to be stated for a better estimate.
        warnings: of the workflow's own checks.
        spared: stages that run only if their new inputs differ from the old ones.
    """

    settings: Settings
    stages: list[Stage]
    up_to_date: int
    unknown: list[str]
    warnings: list[str]
    spared: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """The jobs of all stages."""
        return sum(stage.jobs for stage in self.stages)

    @property
    def gpu_hours(self) -> float:
        """The bill, without what is not known."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def unknown_jobs(self) -> int:
        """Jobs whose cost is unknown."""
        return sum(len(stage.unknown) for stage in self.stages)

    @property
    def is_least(self) -> bool:
        """Whether the time is a lower bound: some jobs, or numbers of records, are not known."""
        return bool(self.unknown_jobs or self.unknown)

    @property
    def is_least_bill(self) -> bool:
        """Whether the GPU-hours are a lower bound."""
        on_gpus = any(cost.gpus for stage in self.stages for cost in stage.unknown)
        return on_gpus or bool(self.unknown)

    @property
    def seconds(self) -> float:
        """Of all jobs, one after another."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def count(self) -> Count:
        """The questions of all stages."""
        total = Count()
        for stage in self.stages:
            total = total.plus(stage.count or Count())
        return total

    def as_dict(self) -> Record:
        """The plan as JSON has it."""
        return {
            "results": self.settings.results,
            "constitution": self.settings.constitution,
            "jobs": self.jobs,
            "up_to_date": self.up_to_date,
            "new": self.count.new,
            "reused": self.count.reused,
            "seconds": round(self.seconds, 1),
            "gpu_hours": round(self.gpu_hours, 4),
            "disk": sum(stage.disk for stage in self.stages),
            "estimated": any(stage.is_estimated for stage in self.stages),
            "unknown": self.unknown,
            "unknown_jobs": self.unknown_jobs,
            "lower_bound": {"seconds": self.is_least, "gpu_hours": self.is_least_bill},
            "spared": self.spared,
            "stages": [stage.as_dict() for stage in self.stages],
        }


def make_plan(run: DryRun) -> Plan:
    """Count and estimate what a dry run would run; nothing is asked, nothing is written."""
    settings = experiments.check(run.config).settings
    sizes = Sizes(settings)
    costs = Costs(settings, sizes)
    rehearsal = Rehearsal((path for job in run.needed for path in job.output), sizes.records)
    stages: dict[str, Stage] = {}
    what = "plan" if len(run.needed) > MANY else None
    with Progress(len(run.needed), what, "jobs") as progress:
        for job in run.needed:
            stage = stages.setdefault(job.rule, Stage(job.rule))
            count = _rehearsed(rehearsal, job)
            if count is not None:
                stage.counts[job.name] = count
            stage.jobs += 1
            stage.why += (line for line in _why(job) if line not in stage.why)
            stage.after += (name for name in _after(job) if name not in stage.after)
            stage.costs.append(costs.of(job, count))
            stage.disk += disk(job, count, settings, sizes)
            progress.advance()
    return Plan(
        settings,
        list(stages.values()),
        len(run.jobs) - len(run.needed),
        sorted(sizes.unknown),
        [*run.warnings, *_too_short(run, stages.values())],
        run.spared,
    )


def _too_short(run: DryRun, stages: Iterable[Stage]) -> Iterator[str]:
    """Time limits that a job does not end in, however often it is submitted; a line a rule."""
    launches = {job.rule: launch_of(job.resources, job.rule) for job in run.needed}
    for stage in stages:
        launch, most = launches[stage.name], max(cost.seconds for cost in stage.costs)
        trains = kind_of(stage.name).what in ("training", "ppo")  # it stops before its limit
        given = (launch.seconds if trains else 60 * (launch.minutes or 0)) or 0
        if launch.minutes and most > given * run.submissions:
            yield (
                f"warning: profile: rule {stage.name}: runtime: found {launch.minutes} min x "
                f"{run.submissions} submissions (1 + retries); accepted: more than the "
                f"{most / 60:,.0f} min that the plan expects a job to take"
            )


def _rehearsed(rehearsal: Rehearsal, job: PlannedJob) -> Count | None:
    try:
        return rehearsal.rehearse(job.command)
    except UserError as error:
        raise UserError(f"{job.name}: {error}") from None


def _why(job: PlannedJob) -> list[str]:
    """The job's own reasons; outputs that were never made are one reason, whatever their number."""
    lines = job.reasons.own()
    if set(job.reasons.missing) == set(job.output):
        return ["not made yet", *(line for line in lines if not line.startswith("missing: "))]
    return lines


def _after(job: PlannedJob) -> Iterable[str]:
    """The rules of the jobs whose results the job takes."""
    return dict.fromkeys(maker.partition(" ")[0] for maker in job.reasons.made.values())
