"""How a NeMo program is started: on this machine or by srun, and in which container.

:mod:`cai.running.launcher` makes the command lines. What it needs to know of a job is in
:class:`Launch`; rules make it from a job's resources, which a profile sets. A command names the
sizes by the words NODES, DEVICES (processes a node) and RANKS (all processes), which are filled in
when the program starts: so neither the identity of a training nor a reason to run it again depends
on the number of its nodes.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from cai.core.cli import field_and_complaint
from cai.core.errors import UserError, fail_if
from cai.core.fields import Section

MARKS = {"-": None, "+": True}  # before a variable's name: not passed on, passed on as it is
VARIABLE = re.compile(r"[A-Za-z_]\w*")
GRES = re.compile(r"gpu(?::(?=[\w.-]*[A-Za-z])[\w.-]+)?(?::(?P<count>\d+))?")
CONTAINER_OPTIONS = {  # NeMo writes into the image's folders, which are read-only by default
    "pyxis": ["--container-writable"],
    "apptainer": ["--writable-tmpfs"],
}
IMAGES = {"pyxis": ".sqsh", "apptainer": ".sif"}  # how the names of files end
NAMED = "--container-name"


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _variables(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found: dict[str, str | bool | None] = {}
    for word in _words(value):
        name, equals, text = word.partition("=")
        if not equals and name[:1] in MARKS and VARIABLE.fullmatch(name[1:]):
            found[name[1:]] = MARKS[name[0]]
        elif equals and VARIABLE.fullmatch(name):
            found[name] = text
        else:
            raise ValueError("expected NAME=VALUE, -NAME or +NAME, separated by spaces")
    return found


def _mounts(value: Any) -> Any:
    return [mount for mount in value.split(",") if mount] if isinstance(value, str) else value


class Launch(Section):
    """What a job has been given, and how programs are started with it.

    The fields that are not described are those of Snakemake's resources of the same name.
    """

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
    environment: Annotated[dict[str, str | bool | None], BeforeValidator(_variables)] = Field(
        {},
        description="variables of NeMo's programs; None: one that they must not have, True: one "
        "that they have as it is here, although it holds a key or a token",
    )
    mpi: str | None = Field(None, description="of srun: --mpi")
    srun_options: Annotated[list[str], BeforeValidator(_words)] = Field([])
    container_options: Annotated[list[str] | None, BeforeValidator(_words)] = Field(
        None, description="further options of the container; None: those that make it writable"
    )
    address: str = Field("{node}", description="how other nodes reach a node of this name")
    allocation: list[str] = Field(
        [], description="options of srun that ask for an own allocation, outside of any job"
    )
    minutes: int | None = Field(None, ge=1, description="time limit of the job")
    margin: int = Field(15, ge=0, description="minutes before it at which a training stops")
    silence: float = Field(
        60, gt=0, description="minutes without a word in its log after which a training is ended"
    )
    attempt: int = Field(1, ge=1, description="counts the submissions of the job")

    @model_validator(mode="after")
    def _consistent(self) -> "Launch":
        if self.contained and not self.container:
            raise ValueError(f"launcher {self.launcher} needs a container")
        if self.contained and (found := [sign for sign in ",:" if sign in os.getcwd()]):
            raise ValueError(
                f"launcher {self.launcher} cannot mount this folder, {os.getcwd()}: found "
                f"{found[0]!r} in its name; move the project to a folder without it"
            )
        if any(option.startswith(NAMED) for option in [*self.srun_options, *self.writable]):
            raise ValueError(
                f"srun_options: found {NAMED}; accepted: none, for two steps on a node would both "
                "make the container of that name"
            )
        if self.gres and not GRES.fullmatch(self.gres):
            raise ValueError(f"gres: expected gpu:N or gpu:TYPE:N, found {self.gres}")
        if self.devices < 1:
            raise ValueError(f"gres: expected gpu:N with 1 GPU or more, found {self.gres}")
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
    def contained(self) -> bool:
        """Whether programs run in a container."""
        return self.launcher in ("pyxis", "apptainer")

    @property
    def writable(self) -> list[str]:
        """Options of the container beside its image and mounts."""
        if self.container_options is not None:
            return self.container_options
        return CONTAINER_OPTIONS.get(self.launcher, [])

    @property
    def image(self) -> str | None:
        """The container; a file's absolute path, since a name without a slash is a registry's.

        Raises:
            UserError: it is named as a file of this folder, and there is none.
        """
        if not self.container:
            return None
        path = Path(self.container).expanduser()
        if path.is_file():
            return os.path.abspath(path)
        missing = self.names_a_file and not path.is_absolute()  # others may be a node's own
        fail_if(missing, f"container: {self.container}: no such file in {os.getcwd()}")
        return self.container

    @property
    def names_a_file(self) -> bool:
        """Whether the container must be a file: a path, or a name that ends as files do."""
        name = self.container or ""
        return name.startswith(("/", "./", "../", "~")) or name.endswith(tuple(IMAGES.values()))

    @property
    def devices(self) -> int:
        """Processes a node: one for each GPU."""
        found = GRES.fullmatch(self.gres or "")
        return int(found["count"] or 1) if found else self.processes

    @property
    def one_process(self) -> "Launch":
        """For a program that is one process on the first node and needs no GPU."""
        alone = {"nodes": 1, "gres": None, "first_device": None, "processes": 1, "mem_mb": None}
        return self.model_copy(update=alone)

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
    "container_options": "container_options",
    "address": "node_address",
    "minutes": "runtime",
    "margin": "stop_before",
    "silence": "stop_if_silent",
    "attempt": "attempt",
}

EMPTY = ("container_options",)  # for which an empty text says something: there are none


def launch_of(resources: Mapping[str, Any], rule: str = "") -> Launch:
    """The launch that a job's resources describe.

    Raises:
        UserError: the resource, what was found and what is accepted.
    """
    given = {
        field: resources[name]
        for field, name in RESOURCES.items()
        if resources.get(name) is not None and (resources[name] != "" or field in EMPTY)
    }
    cpus = given.get("cpus_per_task")
    if isinstance(cpus, int) and cpus < 0:  # the executor's way to ask for none
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
        critic = _given(resources, "critic_nodes", 1)
        fail_if(
            not _is_from(1, critic, whole.nodes - 1),
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
    gpus = whole.devices
    critic = _given(resources, "critic_gpus", gpus // 2)
    fail_if(
        not _is_from(1, critic, gpus - 1),
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


def _given(resources: Mapping[str, Any], name: str, default: int) -> Any:
    """A resource as it was given, 0 among them; the default where it was not."""
    value = resources.get(name)
    return default if value is None or value == "" else value


def _is_from(least: int, value: Any, most: int) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and least <= value <= most


def _share(whole: Launch, first: int, gpus: int, mem_mb: Any) -> Launch:
    gres = f"{str(whole.gres).removesuffix(f':{whole.devices}')}:{gpus}"
    memory = int(mem_mb) * gpus // whole.devices if mem_mb else None
    return whole.model_copy(update={"gres": gres, "mem_mb": memory, "first_device": first})


def _checked(given: Mapping[str, Any], rule: str) -> Launch:
    try:
        return Launch.model_validate(dict(given))
    except ValidationError as error:
        field, complaint = field_and_complaint(error)
        name = f"{RESOURCES.get(field, field)}: " if field else ""
        raise UserError(f"{_where(rule)}{name}{complaint}") from None


def _where(rule: str) -> str:
    return f"profile: resources of rule {rule}: " if rule else "resources: "
