"""Accept that a change does not matter: an artefact is up to date, for a reason that is recorded.

What Snakemake would run again is the artefact's own job and those that only follow from it. Their
outputs are touched by Snakemake itself (``--touch``), which records the current parameters,
inputs and code; the reason, and why each job would have run, go into their manifests.
"""

import getpass
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.files.records import write_json
from cai.provenance.manifest import SUFFIX, content_digest, identity, load_manifest, manifest_path
from cai.workflow.dag import PlannedJob, dry_run, touch


@dataclass(frozen=True)
class Adoption:
    """What would be adopted.

    Attributes:
        jobs: with their reasons, the artefact's own first.
        left: jobs behind them that have a reason of their own, or wait for one that has.
    """

    jobs: dict[str, tuple[PlannedJob, list[str]]]
    left: list[PlannedJob]


def adopt(artefact: str, why: str, arguments: Sequence[str]) -> None:
    """Take an artefact, and what is stale only because of it, as up to date; print what was done.

    Args:
        artefact: a file that the workflow makes.
        why: the reason, as it is recorded.
        arguments: of Snakemake: the profile and configuration of the run.

    Raises:
        UserError: if it is up to date, if a file is missing, or if a job before it has to run.
    """
    artefact = os.path.normpath(artefact)
    adoption = plan(artefact, arguments)
    _touch([job for job, _ in adoption.jobs.values()], arguments)
    _record(adoption, why)
    for name, (_, reasons) in adoption.jobs.items():
        print(f"adopted: {name}", *(f"  {reason}" for reason in reasons), sep="\n")
    for job in adoption.left:
        reasons = job.reasons.own() or [
            f"follows {name}" for name in set(job.reasons.made.values())
        ]
        print(f"left alone: {job.name}", *(f"  {reason}" for reason in reasons), sep="\n")


def plan(artefact: str, arguments: Sequence[str]) -> Adoption:
    """Find what adopting an artefact would adopt, without any change.

    Raises:
        UserError: why it cannot be adopted.
    """
    jobs = dry_run([*arguments, "--", "all", artefact]).jobs
    own = next((job for job in jobs if artefact in job.output), None)
    if own is None:
        raise UserError(f"{artefact}: no rule makes it")
    fail_if(not own.needed, f"{artefact}: is up to date; there is nothing to adopt")
    _check(own, artefact, {job.name: job for job in jobs})
    adopted = {own.name: (own, own.reasons.own())}
    left: list[PlannedJob] = []
    for job in jobs:  # each after those it depends on
        makers = set(job.reasons.made.values())
        behind = not makers.isdisjoint({*adopted, *(each.name for each in left)})
        if job is own or not behind:
            continue
        if makers <= adopted.keys() and not job.reasons.own():
            adopted[job.name] = (job, [f"follows {name}" for name in sorted(makers)])
        else:
            left.append(job)
    return Adoption(adopted, left)


def _check(own: PlannedJob, artefact: str, jobs: dict[str, PlannedJob]) -> None:
    lost = ", ".join([*own.reasons.missing, *own.reasons.incomplete])
    fail_if(lost, f"{artefact}: cannot be adopted: missing or not whole: {lost}")
    before = [
        f"{name} ({'; '.join(jobs[name].reasons.own()) or 'follows others'})"
        for name in sorted(set(own.reasons.made.values()))
    ]
    fail_if(
        before,
        f"{artefact}: cannot be adopted: a job before it has to run: {', '.join(before)}; adopt "
        "what that makes first, or run it",
    )
    gone = [path for path in own.input if not Path(path).exists()]
    fail_if(gone, f"{artefact}: cannot be adopted: an input is missing: {', '.join(gone)}")
    fail_if(own.reasons.forced, f"{artefact}: cannot be adopted while its job is forced")


def _touch(jobs: Sequence[PlannedJob], arguments: Sequence[str]) -> None:
    """Have Snakemake touch the jobs' outputs; a checkpoint's manifest stays trusted afterwards."""
    models = [Path(path) for job in jobs for path in job.output if path.endswith(".nemo")]
    true = [path for path in models if identity(path) == _known(path)]
    touch([*arguments, "--", *(job.output[0] for job in jobs)])
    for job in jobs:
        if job.benchmark and Path(job.benchmark).exists():  # Snakemake takes it for an output
            os.utime(job.benchmark)
    for path in true:
        changed = path.stat().st_ctime_ns
        os.utime(manifest_path(path), ns=(changed, changed))


def _known(path: Path) -> str | None:
    beside = manifest_path(path)
    return content_digest(load_manifest(beside)) if beside.exists() else None


def _record(adoption: Adoption, why: str) -> None:
    """Add the reason to the manifests; their times stay, as other jobs take them for inputs."""
    when, who = time.strftime("%Y-%m-%dT%H:%M:%S%z"), getpass.getuser()
    for job, reasons in adoption.jobs.values():
        for path in filter(lambda path: path.endswith(SUFFIX), job.output):
            touched = Path(path).stat().st_mtime_ns
            manifest = load_manifest(Path(path))
            entry = {"when": when, "why": why, "who": who, "reasons": reasons}
            manifest.setdefault("adopted", []).append(entry)
            write_json(path, manifest)
            os.utime(path, ns=(touched, touched))
