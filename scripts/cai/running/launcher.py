"""Starts programs as a launch says: here, by srun, in a container."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.core.project import SCRIPTS
from cai.running import process
from cai.running.launch import Launch

LOOPBACK = "127.0.0.1"
PORT = 'from cai.running.process import free_port; print(free_port(""))'
# An image has a Python and libraries of its own; the host's paths would lead it astray.
HOSTS_OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
LANGUAGE = ("LANG", "LC_ALL")  # pyxis drops them where they are not named
THREADS = (  # Snakemake sets them for each job, to 1 where a rule has no threads
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOTO_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
STEP_GRACE = 60.0  # seconds for the tasks to end, and for the image to be removed
HOME = ".envs/home"  # of NeMo's programs in a container, for what they keep between runs


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
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        name: str,
        patience: float = process.GRACE,
    ) -> process.Program:
        """Start a program in the background.

        Args:
            command: the program and its arguments.
            environment: variables of its own.
            log: where its output goes.
            name: of the job step, which no other step of the job has at the same time.
            patience: seconds that a program on this machine has to end after SIGTERM.
        """
        line, given = self.command(command, environment, name), self.environment(environment)
        if self.is_direct:
            return process.Program(line, log, given, patience)
        return process.Program(
            line, log, given, patience, ask=lambda: end_step(name), grace=STEP_GRACE
        )

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
        given = _as_here("TMPDIR", self.launch.environment.get("TMPDIR"))
        chosen = given or os.environ.get("TMPDIR") or "/tmp"
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
        place = self.launch.one_process
        srun = Launcher(place.model_copy(update={"launcher": "srun", "cpus_per_task": 1}))
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
        image = [self.launch.image] if self.launch.image else []
        return ["apptainer", "exec", *options, *image, *program]


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
    if not job:
        raise UserError("this launcher needs a Slurm job: run snakemake with --profile slurm")
    given = _slurm("squeue", "--noheader", "--jobs", job, "--format", "%N")
    return _slurm("scontrol", "show", "hostnames", given).split()


def end_step(name: str) -> bool:
    """Ask Slurm to end a step of this job: SIGTERM to its tasks, and to nothing else.

    A signal to srun would be answered by SIGKILL for what cleans up after the tasks, too, and an
    image that was unpacked for the step would stay on the node.

    Returns:
        Whether there is such a step, and Slurm has been asked to end it.
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
