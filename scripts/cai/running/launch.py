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

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from cai.core.cli import describe
from cai.core.errors import UserError, fail_if
from cai.core.fields import Section
from cai.core.project import SCRIPTS
from cai.running import process

LOOPBACK = "127.0.0.1"
MARKS = {"-": None, "+": True}  # before a variable's name: not passed on, passed on as it is
VARIABLE = re.compile(r"[A-Za-z_]\w*")
GRES = re.compile(r"gpu(?::(?=[\w.-]*[A-Za-z])[\w.-]+)?(?::(?P<count>\d+))?")
PORT = 'from cai.running.process import free_port; print(free_port(""))'
# An image has a Python and libraries of its own; the host's paths would lead it astray.
HOSTS_OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
LANGUAGE = ("LANG", "LC_ALL")  # pyxis drops them where they are not named
THREADS = (  # Snakemake sets them for each job, to 1 where a rule has no threads
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOTO_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
CONTAINER_OPTIONS = {  # NeMo writes into the image's folders, which are read-only by default
    "pyxis": ["--container-writable"],
    "apptainer": ["--writable-tmpfs"],
}
IMAGES = {"pyxis": ".sqsh", "apptainer": ".sif"}  # how the names of files end
STEP_GRACE = 60.0  # seconds for the tasks to end, and for the image to be removed
NAMED = "--container-name"
HOME = ".envs/home"  # of NeMo's programs in a container, for what they keep between runs


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
    "container_options": "container_options",
    "address": "node_address",
    "minutes": "runtime",
    "margin": "stop_before",
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
        given = self.environment(environment)
        kept = [name for name, value in given.items() if value is not None]
        return [*self._srun(name, kept), *self._inside(program)]

    def environment(self, own: Mapping[str, str]) -> dict[str, str | None]:
        """The variables that a program is started with, beside those of this process.

        What the profile gives (``environment``) wins over what is worked out here, and the
        program's own over both. None: one that this process may have and the program must not.
        """
        return {
            **self._threads(),
            **self._containers(),
            **self._devices(),
            **{name: _as_here(name, text) for name, text in self.launch.environment.items()},
            **own,
        }

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, name: str
    ) -> process.Program:
        """Start a program in the background.

        Args:
            command: the program and its arguments.
            environment: variables of its own.
            log: where its output goes.
            name: of the job step, which no other step of the job has at the same time.
        """
        line, given = self.command(command, environment, name), self.environment(environment)
        if self.is_direct:
            return process.Program(line, log, given)
        return process.Program(line, log, given, ask=lambda: end_step(name), grace=STEP_GRACE)

    def _threads(self) -> dict[str, str | None]:
        """Threads of a process: Snakemake's shell sets 1, for jobs that are one process."""
        cpus = self.launch.cpus_per_task
        if cpus is not None:
            each = cpus * (self.launch.devices if self.launch.one_task else 1)
            return dict.fromkeys(THREADS, str(each))
        return {} if self.is_direct else dict.fromkeys(THREADS)

    def _containers(self) -> dict[str, str | None]:
        """What a container needs, and what of the host has no place in it."""
        if not self.launch.contained:
            return {}
        found: dict[str, str | None] = dict.fromkeys(HOSTS_OWN)
        language = {name: os.environ[name] for name in LANGUAGE if os.environ.get(name)}
        found |= language or {"LANG": "C.UTF-8"}
        if self.launch.launcher == "pyxis":  # apptainer takes it as an option only
            found["HOME"] = _home()
        if not self.launch.gres:
            # NVIDIA's images ask for all GPUs, and a node without a driver then refuses to start
            found["NVIDIA_VISIBLE_DEVICES"] = "void"
        return found

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

    def temporary(self) -> Path | None:
        """The folder of this host that is TMPDIR for programs; None: a container's own memory."""
        chosen = self.launch.environment.get("TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        if not self.launch.contained:
            return Path(chosen)
        mounts = [
            mount.split(":") for mount in [f"{os.getcwd()}:{os.getcwd()}", *self.launch.mounts]
        ]
        inside = {Path(parts[1] if len(parts) > 1 else parts[0]): parts[0] for parts in mounts}
        for folder in (Path(chosen), Path("/tmp")):  # Python takes the second without the first
            for target in sorted(inside, key=lambda path: -len(path.parts)):
                if folder.is_relative_to(target):
                    return Path(inside[target]) / folder.relative_to(target)
        return Path("/tmp") if self.launch.launcher == "apptainer" else None

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
        there = process.with_variables({"PYTHONPATH": str(SCRIPTS)})
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
                "container-image": launch.image,
                "container-mounts": ",".join([f"{os.getcwd()}:{os.getcwd()}", *launch.mounts]),
                "container-workdir": os.getcwd(),
                "container-env": ",".join(sorted(set(variables))) or None,
            }
        given = [f"--{key}={value}" for key, value in options.items() if value is not None]
        own = []
        if launch.launcher == "pyxis":
            own = ["--no-container-mount-home", *launch.writable]
        sharing = launch.allocation or (["--overlap"] if launch.mem_mb is None else ["--exact"])
        return ["srun", *given, *sharing, *own, *launch.srun_options]

    def _inside(self, program: list[str]) -> list[str]:
        if self.launch.launcher != "apptainer":
            return program
        here = os.getcwd()
        binds = [option for bind in [here, *self.launch.mounts] for option in ("--bind", bind)]
        gpus = ["--nv"] if self.launch.gres else []
        options = [*self.launch.writable, "--home", _home(), *gpus, "--pwd", here, *binds]
        return ["apptainer", "exec", *options, self.launch.image, *program]


def _home() -> str:
    """A folder for what programs in a container keep under HOME; it is made if it is not there.

    It is the same one on all nodes, since the working directory is on a file system that they
    share. The user's own home is left out: its packages and settings are not the image's.
    """
    folder = Path.cwd() / HOME
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _as_here(name: str, text: str | bool | None) -> str | None:
    return os.environ.get(name) if isinstance(text, bool) else text


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


def end_step(name: str) -> bool:
    """Ask Slurm to end a step of this job: SIGTERM to its tasks, and to nothing else.

    A signal to srun would be answered by SIGKILL for what cleans up after the tasks, too, and an
    image that was unpacked for the step would stay on the node.

    Returns:
        Whether there is such a step, and Slurm has been told.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    try:
        steps = _slurm("squeue", "--noheader", "--steps", "--jobs", job, "--format", "%i|%j")
        known = (line.strip().partition("|") for line in steps.splitlines())
        found = [step for step, _, called in known if called == name]
        for step in found:
            _slurm("scancel", "--signal=TERM", step)
        return bool(found)
    except UserError:
        return False


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]} does not answer: {error}") from None
    fail_if(done.returncode, f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
