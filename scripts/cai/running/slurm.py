"""What Slurm knows: how jobs ended, which are left over, what its partitions take.

Where a command of Slurm is absent or does not answer, that is unknown, which is no error.
"""

import math
import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 30.0  # seconds for an answer; a busy slurmctld takes its time
GPUS = re.compile(r"\bgpu(?::([^:,()]+))?:(\d+)")  # of a node: gpu:h100:8(S:0-1),nvme:1
LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")  # days-hours:minutes:seconds
ELSEWHERE = "slurm_cluster", "cluster", "clusters"  # resources that name another cluster


def _ask(*command: str) -> list[list[str]] | None:
    """The lines of a command's answer, split at ``|``; None if there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return [line.split("|") for line in done.stdout.splitlines() if "|" in line]


def minutes(text: str) -> int | None:
    """A time limit of Slurm in whole minutes, rounded up; None if there is none.

    >>> minutes("1-00:30:00"), minutes("30:00"), minutes("infinite")
    (1470, 30, None)
    """
    match = LIMIT.fullmatch(text.strip())
    if not match:
        return None
    days, hours, whole, seconds = (int(part or 0) for part in match.groups())
    return math.ceil(((days * 24 + hours) * 60 + whole) + seconds / 60)


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        state: Slurm's word for it, such as TIMEOUT or NODE_FAIL.
        limit: its time limit in minutes.
        nodes: those that it ran on, as Slurm abbreviates them; empty if it never started.
    """

    state: str
    limit: int | None = None
    nodes: str = ""


def ended(jobs: Sequence[str]) -> dict[str, Ended]:
    """How jobs ended, by their ids; jobs that Slurm has forgotten are left out."""
    found: dict[str, Ended] = {}
    for ask in (_of_the_queue, _of_the_accounting):
        missing = [job for job in jobs if job not in found]
        answer = ask(",".join(missing)) if missing else None
        for job, state, limit, nodes in answer or []:
            word = (state.split() or [""])[0]  # "CANCELLED by 1000"
            place = "" if nodes.startswith("None") else nodes.strip("()")
            found[job.strip()] = Ended(word, minutes(limit), place)
    return found


def _of_the_queue(jobs: str) -> list[list[str]] | None:
    fields = "--format=%i|%T|%l|%N"
    return _ask("squeue", "--noheader", "--states=all", f"--jobs={jobs}", fields)


def _of_the_accounting(jobs: str) -> list[list[str]] | None:
    fields = "--format=JobID,State,Timelimit,NodeList"
    return _ask("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={jobs}", fields)


def leftovers(rules: Collection[str], workdir: Path | str) -> list[str]:
    """Jobs of these rules that an earlier Snakemake left in Slurm, a line each.

    To be asked before jobs are submitted: it takes every job of this user and folder for an earlier
    one. They are known by the comment that Snakemake's executor gives a job: ``rule_NAME``, or
    ``rule_NAME_wildcards_VALUES``.
    """
    own = f"--user={os.getuid()}"
    found = _ask("squeue", "--noheader", own, "--format=%i|%T|%Z|%k") or []
    here = os.path.realpath(workdir)
    lines = []
    for job, state, folder, comment in (row for row in found if len(row) == 4):
        name, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
        if not comment.startswith("rule_") or name not in rules:
            continue
        if os.path.realpath(folder) == here:
            which = f"{name} ({wildcards})" if wildcards else name
            lines.append(
                f"rule {which}: Slurm job {job} of an earlier snakemake is still "
                f"{state.lower()}: wait for it, or scancel {job}"
            )
    return lines


@dataclass(frozen=True)
class Request:
    """What a job asks Slurm for; None is not asked for.

    Attributes:
        partition: one, or several between commas; None is the default one.
        minutes: time limit.
        nodes: how many.
        gres: GPUs of a node, such as ``gpu:8`` or ``gpu:h100:8``.
        cpus: CPUs of a node.
        mem_mb: memory of a node.
    """

    partition: str | None = None
    minutes: int | None = None
    nodes: int = 1
    gres: str | None = None
    cpus: int | None = None
    mem_mb: int | None = None


def request_of(resources: Mapping[str, Any]) -> Request:
    """What Snakemake's Slurm executor asks for with these resources of a rule.

    Resources that are not known yet, because they depend on files, count as not asked for; so do
    all of a job for another cluster than this one.
    """

    def number(name: str) -> int | None:
        value = resources.get(name)
        return value if isinstance(value, int) and value > 0 else None

    if any(resources.get(name) for name in ELSEWHERE):
        return Request()
    gres = resources.get("gres")
    tasks = number("tasks_per_node") if resources.get("mpi") else None
    each = number("cpus_per_task")
    return Request(
        partition=str(resources.get("slurm_partition") or "") or None,
        minutes=number("runtime"),
        nodes=number("nodes") or 1,
        gres=gres if isinstance(gres, str) and gres.startswith("gpu") else None,
        cpus=each * (tasks or 1) if each else None,
        mem_mb=number("mem_mb"),
    )


@dataclass(frozen=True)
class Nodes:
    """Nodes of a kind: how many, and what each has."""

    count: int
    gpus: Mapping[str, int]
    cpus: int
    mem_mb: int


@dataclass(frozen=True)
class Partition:
    """A partition: its time limit in minutes (None: without end) and its nodes."""

    limit: int | None
    nodes: list[Nodes]
    is_default: bool = False


def partitions() -> dict[str, Partition] | None:
    """The cluster's partitions; None if Slurm does not say."""
    rows = _ask("sinfo", "--all", "--noheader", "--exact", "--format=%P|%l|%D|%G|%c|%m")
    return None if rows is None else _partitions(rows)


def _partitions(rows: list[list[str]]) -> dict[str, Partition]:
    found: dict[str, Partition] = {}
    for name, limit, count, gres, cpus, memory in rows:
        at = name.removesuffix("*")
        empty = Partition(minutes(limit), [], is_default=name.endswith("*"))
        counts: Counter[str] = Counter()
        for kind, number in GPUS.findall(gres):
            counts[kind] += int(number)
        kind = Nodes(int(count), counts, int(cpus.rstrip("+")), int(memory.rstrip("+")))
        found.setdefault(at, empty).nodes.append(kind)
    return found


def problems(requests: Mapping[str, Request]) -> list[str]:
    """What no partition of the cluster gives a rule, a line each.

    Args:
        requests: by the names of the rules.
    """
    cluster = partitions()
    if not cluster:
        return []
    return [
        f"profile: rule {rule}: {line}"
        for rule, request in requests.items()
        for line in _refusals(request, cluster)
    ]


def _refusals(request: Request, cluster: Mapping[str, Partition]) -> list[str]:
    """Why none of the partitions that are asked for takes the job: what the first one lacks."""
    default = [name for name, partition in cluster.items() if partition.is_default]
    names = request.partition.split(",") if request.partition else default
    unknown = [name for name in names if name not in cluster]
    if unknown:
        there = ", ".join(sorted(cluster))
        return [f"slurm_partition: no partition {unknown[0]} in this cluster, only {there}"]
    found = [list(_lacks(request, name, cluster[name])) for name in names]
    return found[0] if found and all(found) else []


def _lacks(request: Request, name: str, partition: Partition) -> Iterator[str]:
    limit = partition.limit
    if limit is not None and request.minutes is not None and request.minutes > limit:
        yield f"runtime {request.minutes} min is over partition {name}'s limit of {limit} min"
    kinds = partition.nodes
    if not kinds:
        return
    with_gpus = [kind for kind in kinds if _has_gpus(kind, request.gres)]
    if not with_gpus:
        most = max(kinds, key=lambda kind: kind.count)
        yield f"no node of partition {name} has {request.gres}, most have {_gpus(most)}"
        return
    cpus, memory = max(k.cpus for k in with_gpus), max(k.mem_mb for k in with_gpus)
    such = f"no node of partition {name}" + (f" with {request.gres}" if request.gres else "")
    if (request.cpus or 0) > cpus:
        yield f"{request.cpus} CPUs a node: {such} has more than {cpus}"
    if (request.mem_mb or 0) > memory:
        yield f"mem_mb {request.mem_mb}: {such} has more than {memory}"
    fitting = sum(
        kind.count
        for kind in with_gpus
        if kind.cpus >= (request.cpus or 0) and kind.mem_mb >= (request.mem_mb or 0)
    )
    if cpus >= (request.cpus or 0) and memory >= (request.mem_mb or 0) and fitting < request.nodes:
        yield f"nodes {request.nodes}: partition {name} has {fitting} that fit"


def _has_gpus(kind: Nodes, gres: str | None) -> bool:
    if not gres:
        return True
    _, _, asked = gres.partition(":")
    model, _, count = asked.rpartition(":")
    if not count.isdecimal():  # gpu:h100 is one of them
        model, count = asked, "1"
    has = kind.gpus.get(model, 0) if model else sum(kind.gpus.values())
    return has >= int(count)


def _gpus(kind: Nodes) -> str:
    each = [":".join(["gpu", *filter(None, [model]), str(n)]) for model, n in kind.gpus.items()]
    return ",".join(each) or "no GPU"
