"""How a NeMo program is started: in this process's machine, by srun, and in which container.

The one module that knows srun, containers and devices. What it needs to know of a job stands in
:class:`Launch`; rules make it from a job's resources, which a profile sets. A command names the
sizes by the words NODES, DEVICES (processes a node) and RANKS (all processes), which are filled in
when the program starts: so neither the identity of a training nor a reason to run it again depends
on the number of its nodes.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cai import process
from cai.cli import describe
from cai.errors import UserError, fail_if

LOOPBACK = "127.0.0.1"
GRES = re.compile(r"gpu(?::(?=[\w.-]*[A-Za-z])[\w.-]+)?(?::(?P<count>\d+))?")
PORT = 'from cai.process import free_port; print(free_port(""))'


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _variables(value: Any) -> Any:
    pairs = [word.partition("=") for word in _words(value)] if isinstance(value, str) else None
    if pairs is None:
        return value
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("expected NAME=VALUE, separated by spaces")
    return {name: text for name, _, text in pairs}


def _mounts(value: Any) -> Any:
    return [mount for mount in value.split(",") if mount] if isinstance(value, str) else value


class Launch(BaseModel):
    """What a job has been given, and how programs are started with it.

    The fields that are not described are those of Snakemake's resources of the same name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    launcher: Literal["direct", "srun", "pyxis", "apptainer"] = Field(
        "direct", description="direct, srun, or srun with one of the two kinds of container"
    )
    nodes: int = Field(1, ge=1)
    first_node: int = Field(0, ge=0, description="of the job's nodes, the first that is used")
    gres: str | None = Field(None, description="GPUs of a node, such as gpu:8 or gpu:h100:8")
    first_device: int | None = Field(
        None, ge=0, description="of the node's GPUs, the first of a part; None: all are used"
    )
    gpu_memory: int = Field(80, ge=1, description="GB of a GPU")
    processes: int = Field(1, ge=1, description="of a node, where there is no GPU")
    one_task: bool = Field(False, description="one process a node, which has all of its GPUs")
    cpus_per_task: int | None = Field(None, ge=1)
    mem_mb: int | None = Field(None, ge=1, description="memory of a node; None: all of the job's")
    container: str | None = Field(None, description="image, as pyxis or apptainer name it")
    mounts: Annotated[list[str], BeforeValidator(_mounts)] = Field(
        [], description="host:container[:flags], beside the working directory"
    )
    environment: Annotated[dict[str, str], BeforeValidator(_variables)] = {}
    mpi: str | None = Field(None, description="of srun: --mpi")
    srun_options: Annotated[list[str], BeforeValidator(_words)] = []
    address: str = Field("{node}", description="how other nodes reach a node of this name")
    allocation: list[str] = Field(
        [], description="options of srun that ask for an own allocation, outside of any job"
    )
    minutes: int | None = Field(None, ge=1, description="time limit of the job")
    margin: int = Field(15, ge=0, description="minutes before it at which a training stops")
    attempt: int = Field(1, ge=1, description="counts the submissions of the job")

    @model_validator(mode="after")
    def _consistent(self) -> "Launch":
        contained = self.launcher in ("pyxis", "apptainer")
        if contained and not self.container:
            raise ValueError(f"launcher {self.launcher} needs a container")
        if self.gres and not GRES.fullmatch(self.gres):
            raise ValueError(f"gres: expected gpu:N or gpu:TYPE:N, found {self.gres}")
        try:
            self.address.format(node="")
        except (KeyError, IndexError, ValueError):
            raise ValueError(
                f"node_address: expected a text with {{node}} at most, found {self.address}"
            ) from None
        if self.launcher == "direct" and (self.nodes > 1 or self.first_node):
            raise ValueError(f"launcher direct runs on one node, found {self.nodes} nodes")
        return self

    @property
    def devices(self) -> int:
        """Processes a node: one for each GPU."""
        if self.gres is None:
            return self.processes
        return int(GRES.fullmatch(self.gres)["count"] or 1)

    @property
    def ranks(self) -> int:
        """Processes in all."""
        return self.nodes * self.devices

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.ranks if self.gres else 0

    @property
    def seconds(self) -> int | None:
        """After which a training has to stop, so that it can save before the job's time limit."""
        if self.minutes is None:
            return None
        return 60 * (self.minutes - min(self.margin, self.minutes // 2))


RESOURCES = {  # the names under which a profile gives them
    "launcher": "launcher",
    "nodes": "nodes",
    "gres": "gres",
    "gpu_memory": "gpu_memory_gb",
    "processes": "processes",
    "cpus_per_task": "cpus_per_task",
    "container": "container",
    "mounts": "mounts",
    "environment": "environment",
    "mpi": "mpi_type",
    "srun_options": "srun_options",
    "address": "node_address",
    "minutes": "runtime",
    "margin": "stop_before",
    "attempt": "attempt",
}


def launch_of(resources: Mapping[str, Any], rule: str = "") -> Launch:
    """The launch that a job's resources describe.

    Raises:
        UserError: the resource, what was found and what is accepted.
    """
    given = {field: resources[name] for field, name in RESOURCES.items() if resources.get(name)}
    if given.get("cpus_per_task", 1) < 0:  # the executor's way to ask for none
        del given["cpus_per_task"]
    return _checked(given, rule)


def split(resources: Mapping[str, Any], rule: str = "") -> tuple[Launch, Launch]:
    """PPO's one allocation as two: the critic's part and the actor's.

    The critic has the first ``critic_nodes`` nodes. On a single node it has ``critic_gpus`` of its
    GPUs, and that share of its memory. Without GPUs and with one node, both have all of it.

    Raises:
        UserError: the resource, what was found and what is accepted.
    """
    whole = launch_of(resources, rule)
    where = _where(rule)
    if whole.nodes > 1:
        critic = resources.get("critic_nodes") or 1
        fail_if(
            not 0 < critic < whole.nodes,
            f"{where}critic_nodes: must be from 1 to {whole.nodes - 1} of {whole.nodes} nodes, "
            f"found {critic}",
        )
        actor = {"nodes": whole.nodes - critic, "first_node": critic}
        return whole.model_copy(update={"nodes": critic}), whole.model_copy(update=actor)
    if not whole.gres:
        return whole, whole
    fail_if(
        whole.devices < 2,
        f"{where}critic_gpus: PPO on one node needs 2 GPUs or more, found {whole.gres}",
    )
    gpus, critic = whole.devices, resources.get("critic_gpus") or whole.devices // 2
    fail_if(
        not 0 < critic < gpus,
        f"{where}critic_gpus: must be from 1 to {gpus - 1} of {gpus} GPUs, found {critic}",
    )
    memory = resources.get("mem_mb")
    return _share(whole, 0, critic, memory), _share(whole, critic, gpus - critic, memory)


def outside(resources: Mapping[str, Any], rule: str = "", minutes: int = 15) -> Launch:
    """The launch of a short program that asks Slurm itself for a place, with a rule's resources.

    Raises:
        UserError: the resource, what was found and what is accepted.
    """
    options = {
        "partition": resources.get("slurm_partition"),
        "account": resources.get("slurm_account"),
        "qos": resources.get("qos"),
        "constraint": resources.get("constraint"),
        "mem": resources.get("mem_mb"),
        "time": minutes,
    }
    asked = [f"--{name}={value}" for name, value in options.items() if value]
    return launch_of(resources, rule).model_copy(update={"allocation": asked})


def _share(whole: Launch, first: int, gpus: int, mem_mb: Any) -> Launch:
    gres = f"{whole.gres.removesuffix(f':{whole.devices}')}:{gpus}"
    memory = int(mem_mb) * gpus // whole.devices if mem_mb else None
    return whole.model_copy(update={"gres": gres, "mem_mb": memory, "first_device": first})


def _checked(given: Mapping[str, Any], rule: str) -> Launch:
    try:
        return Launch.model_validate(dict(given))
    except ValidationError as error:
        field, _, complaint = describe(error).partition(": ")
        name = "" if field == "value" else f"{RESOURCES.get(field, field)}: "
        raise UserError(f"{_where(rule)}{name}{complaint}") from None


def _where(rule: str) -> str:
    return f"profile: resources of rule {rule}: " if rule else "resources: "


class Launcher:
    """Starts programs as a :class:`Launch` says."""

    def __init__(self, launch: Launch | None = None) -> None:
        self.launch = launch or Launch()

    @property
    def is_direct(self) -> bool:
        """Whether programs run on this machine, as children of this process."""
        return self.launch.launcher == "direct"

    def sized(self, command: Sequence[str]) -> list[str]:
        """The command with NODES, DEVICES and RANKS filled in, see :func:`filled`."""
        sizes = {
            "NODES": self.launch.nodes,
            "DEVICES": self.launch.devices,
            "RANKS": self.launch.ranks,
        }
        return filled(command, sizes)

    def command(
        self, command: Sequence[str], environment: Mapping[str, str], name: str = ""
    ) -> list[str]:
        """The whole command line that starts a program, for a job's first node.

        Args:
            command: the program and its arguments.
            environment: variables of its own, which the container must not replace.
            name: of the job step.
        """
        program = self.sized(command)
        if self.is_direct:
            return program
        return [*self._srun(name, [*self.launch.environment, *environment]), *self._inside(program)]

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """The variables that a program is started with, beside those of this process."""
        return {**self.launch.environment, **self._devices(), **own}

    def _devices(self) -> dict[str, str]:
        """A part of this machine's GPUs; with srun, Slurm gives each step its own."""
        first, count = self.launch.first_device, self.launch.devices
        if first is None or not self.is_direct:
            return {}
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        all_of_them = given.split(",") if given else [str(i) for i in range(first + count)]
        return {"CUDA_VISIBLE_DEVICES": ",".join(all_of_them[first : first + count])}

    def host(self) -> str:
        """Where the first of the launch's nodes is reached from all of them.

        Raises:
            UserError: outside a Slurm job.
        """
        if self.is_direct:
            return LOOPBACK
        return self.launch.address.format(node=nodes_of_the_job()[self.launch.first_node])

    def free_port(self) -> str:
        """A TCP port that is free on the first of the launch's nodes."""
        if self.is_direct:
            return str(process.free_port())
        if self.launch.first_node == 0:
            return str(process.free_port(""))
        place = self.launch.model_copy(
            update={"nodes": 1, "gres": None, "processes": 1, "cpus_per_task": 1, "mem_mb": None}
        )
        srun = Launcher(place.model_copy(update={"launcher": "srun"}))
        asked = srun.command([sys.executable, "-c", PORT], {}, "port")
        there = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(asked, capture_output=True, text=True, env=there)
        said = done.stdout.strip()
        fail_if(not said.isdecimal(), f"{shlex.join(asked[:6])} ...: {done.stderr.strip()[-300:]}")
        return said

    def _srun(self, name: str, variables: Sequence[str]) -> list[str]:
        launch = self.launch
        tasks = 1 if launch.one_task else launch.devices
        cpus = launch.cpus_per_task and launch.cpus_per_task * launch.devices // tasks
        options = {
            "job-name": name or None,
            "nodes": launch.nodes,
            "ntasks": launch.nodes * tasks,
            "ntasks-per-node": tasks,
            "relative": None if launch.allocation else launch.first_node,
            "cpus-per-task": cpus,
            "gres": launch.gres or "none",
            "mem": launch.mem_mb,
            "chdir": os.getcwd(),
            "export": "ALL",
            "kill-on-bad-exit": 1,
            "mpi": launch.mpi,
        }
        if launch.launcher == "pyxis":
            options |= {
                "container-image": launch.container,
                "container-mounts": ",".join([f"{os.getcwd()}:{os.getcwd()}", *launch.mounts]),
                "container-workdir": os.getcwd(),
                "container-env": ",".join(sorted(set(variables))) or None,
            }
        given = [f"--{key}={value}" for key, value in options.items() if value is not None]
        own = ["--no-container-mount-home"] if launch.launcher == "pyxis" else []
        sharing = launch.allocation or (["--overlap"] if launch.mem_mb is None else ["--exact"])
        return ["srun", *given, *sharing, *own, *launch.srun_options]

    def _inside(self, program: list[str]) -> list[str]:
        if self.launch.launcher != "apptainer":
            return program
        here = os.getcwd()
        binds = [option for bind in [here, *self.launch.mounts] for option in ("--bind", bind)]
        gpus = ["--nv"] if self.launch.gres else []
        options = ["--no-home", *gpus, "--pwd", here, *binds]
        return ["apptainer", "exec", *options, self.launch.container, *program]


def filled(command: Sequence[str], words: Mapping[str, object]) -> list[str]:
    """The command with words filled in where they are a whole argument, or one's whole value."""

    def fill(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if equals:
            return f"{key}={words[value]}" if value in words else argument
        return str(words.get(argument, argument))

    return [fill(argument) for argument in command]


def nodes_of_the_job() -> list[str]:
    """The names of this Slurm job's nodes, in Slurm's order.

    Raises:
        UserError: outside a Slurm job, or when Slurm does not answer.
    """
    job = os.environ.get("SLURM_JOB_ID")
    fail_if(not job, "this launcher needs a Slurm job: run snakemake with --profile slurm")
    given = _slurm("squeue", "--noheader", "--jobs", job, "--format", "%N")
    return _slurm("scontrol", "show", "hostnames", given).split()


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]} does not answer: {error}") from None
    fail_if(done.returncode, f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
