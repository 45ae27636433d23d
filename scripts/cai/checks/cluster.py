"""Checks, before anything is submitted, that a profile gives the jobs what they need."""

import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.checks import amounts, contract, sizing
from cai.checks.preflight import check_surroundings, missing_key, sources
from cai.checks.rule_kinds import PPO, RULES, kind_of
from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.files.records import read_json, write_json
from cai.running import slurm
from cai.running.launch import RESOURCES, Launch, launch_of, outside, split
from cai.running.launcher import Launcher
from cai.running.process import with_variables
from cai.settings.configuration import Model, Settings

Resources = Mapping[str, Any]
OURS = (*RESOURCES.values(), "critic_nodes", "critic_gpus")
SITES = (  # of Snakemake and of its Slurm executor, whose names look like ours
    *("mem_mb", "mem_mib", "mem_mb_per_cpu", "disk_mb", "disk_mib", "tmpdir", "mpi", "gpu", "gpus"),
    *("tasks", "tasks_per_node", "tasks_per_gpu", "ntasks_per_gpu", "cpus_per_gpu", "gpu_model"),
)
LIKELY = 0.84  # likeness of two names from which on one is the other, misspelt
CONVERTING = "convert_model"  # a job in NeMo's container without GPUs
CONTAINERS = re.compile(r"pyxis: |\[ERROR\]|^FATAL: ")  # lines of pyxis, enroot and apptainer


def check_jobs(
    settings: Settings, resources: Mapping[str, Resources]
) -> tuple[list[str], list[str]]:
    """Check all that is known before a run, without a network, a GPU or NeMo.

    Args:
        settings: of the run.
        resources: of each rule, as a profile gives them.

    Returns:
        What cannot work, and what is worth a warning; a line each.

    Raises:
        UserError: a resource that cannot be read.
    """
    found = launches(settings, resources)
    requests = {
        rule: slurm.request_of(given)
        for rule, given in resources.items()
        if launch_of(given, rule).launcher != "direct"
    }
    problems = [
        *misspelt(resources),
        *late_stops(resources),
        *contract.problems(settings),
        *placement_problems(settings, resources),
        *sizing.problems(settings, found),
        *amounts.problems(settings),
        *slurm.problems(requests),
    ]
    unsure = [*unseen(settings, found), *filter(None, [missing_key(settings)])]
    return problems, [*sizing.warnings(settings, found), *unsure]


def check_start(
    settings: Settings, resources: Mapping[str, Resources], rules: Collection[str]
) -> list[str]:
    """Check what only a real run of these rules needs; a line for each thing that is missing.

    Raises:
        UserError: NeMo is not there, or the judge's key.
    """
    found = launches(settings, resources, rules)
    here = {rule for rule in rules if launch_of(resources.get(rule, {})).launcher == "direct"}
    check_surroundings(settings, rules, here)
    problems = [
        *sizing.problems(settings, found),
        *amounts.problems(settings, rules),
        *unseen(settings, found),
        *slurm.leftovers(rules, os.getcwd()),
    ]
    if not problems and settings.nemo.check and any(kind_of(rule).programs for rule in rules):
        check_nemo(settings, resources[CONVERTING], rules)
    return problems


def check_nemo(settings: Settings, resources: Resources, rules: Collection[str] = ()) -> None:
    """Ask NeMo's own configurations, where the jobs will find them, for the overrides they take.

    On a cluster that is a short CPU job in the container, outside of the workflow: as a rule it
    would be a reason to run others again. What has been asked once is not asked again.

    Args:
        settings: of the run.
        resources: of the rule convert_model, which needs no GPU.
        rules: that are to run.

    Raises:
        UserError: with a line for each thing that NeMo would refuse.
    """
    launch, commands = outside(resources, CONVERTING), contract.commands(settings, rules)
    report = Path(settings.results, "checks/nemo.json")
    around = [launch.writable, launch.mounts, launch.environment] if launch.contained else []
    asked = digest([commands, launch.launcher, launch.container, *around])
    if report.exists() and read_json(report).get("asked") == asked:
        return
    report.parent.mkdir(parents=True, exist_ok=True)
    program = [settings.nemo.python, "scripts/check_nemo.py"]
    done = _asked_nemo(
        [*program, "--commands", json.dumps(commands), "--output", str(report)], launch
    )
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    ours = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    fail_if(done.returncode, "\nerror: ".join(ours or _telling(said)))
    for line in said:
        if line.startswith("warning: "):
            print(line, file=sys.stderr)
    write_json(report, read_json(report) | {"asked": asked})


def _asked_nemo(command: Sequence[str], launch: Launch) -> subprocess.CompletedProcess[str]:
    """Run scripts/check_nemo.py where the jobs will find NeMo."""
    launcher = Launcher(launch)
    image = ["--image", launch.container] if launch.container else []
    # on this machine the first job imports the same, and has waited for nothing
    tries = [] if launcher.is_direct else ["--imports"]
    where = "" if launcher.is_direct else " in a short CPU job"
    print(f"checks NeMo's configurations{where}", file=sys.stderr, flush=True)
    try:
        return subprocess.run(
            launcher.command([*command, *image, *tries], {}, "check_nemo"),
            env=with_variables(launcher.environment({})),
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise UserError(f"nemo.python: {error.filename}: {error.strerror}") from None


def _telling(said: Sequence[str]) -> list[str]:
    """Why a container did not start, which srun's last lines do not say; else these."""
    reasons = [line for line in said if CONTAINERS.search(line)]
    return reasons or list(said[-3:])


def launches(
    settings: Settings, resources: Mapping[str, Resources], asked: Collection[str] = ()
) -> dict[str, Launch]:
    """How each NeMo program of a run is started, by rule; PPO's by its parts, critic and actor.

    Args:
        settings: of the run.
        resources: of each rule, as a profile gives them.
        asked: rules of last stages that the run makes, beside its ``policies``.

    Raises:
        UserError: the resource, what was found and what is accepted.
    """
    made = {*asked, *settings.policies}
    found = {CONVERTING: launch_of(resources[CONVERTING], CONVERTING)}
    for rule, kind in RULES.items():
        runs = rule in resources and kind.needs_gpus(settings.preferences.judge)
        left = kind.is_choice and rule not in made
        if not runs or left or _is_checked_as_another(rule, resources):
            continue
        if kind.what != "ppo":
            found[rule] = launch_of(resources[rule], rule)
        elif rule == PPO:
            found["critic"], found["actor"] = split(resources[rule], rule)
    return found


def _is_checked_as_another(rule: str, resources: Mapping[str, Resources]) -> bool:
    """Whether a rule repeats another's programs with its resources."""
    kind = kind_of(rule)
    same = kind.like is not None and kind.programs == kind_of(kind.like).programs
    return same and _as_another(rule, resources)


def _as_another(rule: str, resources: Mapping[str, Resources]) -> bool:
    """Whether a problem of a rule is already reported for the rule that it repeats."""
    other = kind_of(rule).like
    return other is not None and resources.get(rule) == resources.get(other)


def placement_problems(settings: Settings, resources: Mapping[str, Resources]) -> Iterator[str]:
    """Rules that lack GPUs, or do not use theirs; and those that could not call srun."""
    on_cpu, judge = is_cpu(settings), settings.preferences.judge
    for rule, given in resources.items():
        kind, launch = kind_of(rule), launch_of(given, rule)
        needs = kind.needs_gpus(judge)
        if launch.launcher == "direct" or not kind.programs or _as_another(rule, resources):
            continue
        if needs and not launch.gres and not on_cpu:
            yield f"profile: rule {rule}: runs NeMo, so it needs gres, such as gpu:8; found none"
        if not needs and launch.gres:
            yield (
                f"profile: rule {rule}: found gres {launch.gres}, but the judge is "
                f"{judge}, which needs no GPU here"
            )
        if needs and not given.get("mpi"):
            yield f"profile: rule {rule}: needs mpi: srun, since its program calls srun itself"
        alone = kind.what == "generation" and settings.server.kind == "openai"
        if alone and launch.nodes > 1:
            yield (
                f"profile: rule {rule}: found nodes: {launch.nodes}; accepted: 1, since a server "
                "of kind openai is one process"
            )


def misspelt(resources: Mapping[str, Resources]) -> Iterator[str]:
    """Resources whose names are almost those that are read here; others are a site's own."""
    known = {*OURS, *SITES, "_nodes", "_cores"}  # the last are Snakemake's own
    for rule, given in resources.items():
        if _as_another(rule, resources):
            continue
        for name in sorted(given.keys() - known):
            if likely := difflib.get_close_matches(name, OURS, n=1, cutoff=LIKELY):
                yield f"profile: resources of rule {rule}: found {name}; accepted: {likely[0]}"


def late_stops(resources: Mapping[str, Resources]) -> Iterator[str]:
    """Trainings that would have to stop before they begin."""
    for rule, given in resources.items():
        margin, minutes = given.get("stop_before"), given.get("runtime")
        trains = kind_of(rule).what in ("training", "ppo") and not _as_another(rule, resources)
        if trains and isinstance(margin, int) and isinstance(minutes, int) and margin >= minutes:
            yield (
                f"profile: resources of rule {rule}: stop_before: found {margin}; accepted: fewer "
                f"minutes than runtime, which are {minutes}"
            )


def is_cpu(settings: Settings) -> bool:
    """Whether NeMo runs on CPUs, as in the demo."""
    return settings.nemo.overrides.sft.get("trainer.accelerator") == "cpu"


def unseen(settings: Settings, found: Mapping[str, Launch]) -> Iterator[str]:
    """What this host does not see, but the jobs need: container, mounts, a cache without a hub.

    On a login node that may be no mistake, so a dry run warns of it and a run refuses.
    """
    files = {
        launch.container
        for launch in found.values()
        if launch.container is not None and launch.names_a_file
    }
    for container in sorted(files):
        if not Path(container).expanduser().exists():
            yield f"profile: container: {container}: no such file on this host"
    for mount in sorted({mount for launch in found.values() for mount in launch.mounts}):
        if not Path(mount.partition(":")[0]).exists():
            yield f"profile: mounts: {mount}: no such folder on this host"
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield from _not_cached(settings)


def _not_cached(settings: Settings) -> Iterator[str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for field, name, revision, kind in _hub_sources(settings):
        try:
            snapshot_download(name, revision=revision, repo_type=kind, local_files_only=True)
        except LocalEntryNotFoundError:
            yield (
                f"{field}: {name}@{revision} is not in the cache, and HF_HUB_OFFLINE is set: fill "
                "the cache on a host with a network (HF_HOME), or give local files"
            )


def _hub_sources(settings: Settings) -> Iterator[tuple[str, str, str | None, str]]:
    models: dict[str, Model] = {"base": settings.models.base, "instruct": settings.models.instruct}
    for name, model in models.items():
        if not model.is_local:
            yield f"models.{name}.source", model.source, model.revision, "model"
    for field, source in sources(settings):
        if field.startswith("datasets.") and source.is_on_hub:
            yield f"{field}.source", source.source, source.revision, "dataset"
