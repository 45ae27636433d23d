#!/usr/bin/env python
"""A Slurm cluster on this machine's loopback interface, for tests: no GPU, no systemd, no database.

    python -m tests.slurm.lab start | stop | status

It has the nodes gpu1, gpu2 and gpu3 with eight pretended GPUs each and cpu1 without, and the
partitions gpu (the default), cpu, high and low (whose jobs are queued again when high needs their
nodes). While it runs, Slurm's commands find it by the link /etc/slurm/slurm.conf; where there is
a configuration already, nothing is started. Runs as root.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from string import Template

import psutil
from tests import debian

TEMPLATES = Path(__file__).parent / "etc"
LINK = Path("/etc/slurm/slurm.conf")  # where srun looks inside a job, whose SLURM_CONF is gone
CONFIGLESS = Path("/run/slurm/conf/slurm.conf")  # where slurmd of a real cluster may keep one
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "srun", "munged")
PREFIX = "slurm-lab-"  # of the folder of a running cluster
GPU_NODES = ("gpu1", "gpu2", "gpu3")
NODES = ("cpu1", *GPU_NODES)
GPUS = 8  # of a node
PORTS = range(20000, 32000)  # below those that the kernel hands out


class LabError(Exception):
    """Why there can be no cluster here, in one line."""


class Lab:
    """A running cluster. Its folder holds configuration, state, logs and the processes' ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def running(cls) -> "Lab | None":
        """The cluster that runs on this machine, if there is one."""
        if not _is_ours(LINK):
            return None
        lab = cls(Path(os.readlink(LINK)).parent)
        return lab if lab._alive("slurmctld") else None

    @classmethod
    def start(cls, install: bool = False) -> "Lab":
        """Start a cluster and wait until all of its nodes are idle.

        Args:
            install: whether missing packages may be installed.

        Raises:
            LabError: there can be none here.
        """
        _check(install)
        lab = cls(Path(tempfile.mkdtemp(prefix=PREFIX)))
        lab._configure()
        try:
            lab._start_daemons()
            wait(lambda: set(lab.states().values()) == {"idle"}, 60, "the nodes are not idle")
        except BaseException:
            print(lab.logs(), file=sys.stderr)
            lab.stop()
            raise
        return lab

    def stop(self) -> None:
        """Cancel all jobs, end what was started, and remove all traces."""
        if self._alive("slurmctld"):
            self._cancel()
        ours = [process for name in self._started() if (process := self._alive(name))]
        _end([process for process in ours if process.name() != "munged"])
        _end(ours)
        LINK.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Cancel all jobs and bring all nodes back."""
        self._cancel()
        for node in NODES:
            self.start_node(node)

    def states(self) -> dict[str, str]:
        """The state of each node, as sinfo shows it."""
        lines = self.slurm("sinfo", "--noheader", "--Node", "--format", "%N %T").splitlines()
        return dict(line.split() for line in lines)

    def end_node(self, node: str) -> None:
        """What a power cut does to a node: all of its processes are killed."""
        while found := [self._alive(node), *self._steps(node), *_tasks(node)]:
            if not any(found):
                break
            for process in filter(None, found):
                _quietly(process.kill)
            time.sleep(0.1)
        self.slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=no power")

    def start_node(self, node: str) -> None:
        """Bring an ended node back; nothing happens to one that is up."""
        if not self._alive(node):
            self._start_node(node)
        wait(lambda: self.states()[node] in ("idle", "mixed", "allocated"), 60, f"{node} is down")

    def slurm(self, *command: str) -> str:
        """What one of Slurm's commands says.

        Raises:
            LabError: it fails.
        """
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def logs(self) -> str:
        """The last lines of the daemons' logs."""
        texts = ((path.name, path.read_text()) for path in (self.folder / "log").iterdir())
        return "\n".join(f"{name}:\n{text[-2000:]}" for name, text in sorted(texts))

    def _cancel(self) -> None:
        self.slurm("scancel", "--user", "root")
        try:
            wait(lambda: not self.slurm("squeue", "--noheader"), 20, "jobs do not end")
        except TimeoutError:  # a process that outlives even SIGKILL, or a node that is down
            for node in NODES:
                self.end_node(node)

    def _configure(self) -> None:
        for name in ("log", "munge", "state", "dev", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        for gpu in range(GPUS):
            (self.folder / f"dev/gpu{gpu}").symlink_to("/dev/null")
        names = ("slurmctld", *NODES)
        fills = {f"port_{name}": port for name, port in zip(names, free_ports(), strict=False)}
        fills |= {"folder": self.folder, "host": socket.gethostname().partition(".")[0]}
        for template in TEMPLATES.iterdir():
            text = Template(template.read_text()).substitute(fills)
            (self.folder / template.name).write_text(text)
        LINK.parent.mkdir(parents=True, exist_ok=True)
        LINK.symlink_to(self.folder / "slurm.conf")

    def _start_daemons(self) -> None:
        key, munge = self.folder / "munge.key", self.folder / "munge/socket"
        key.touch(0o400)
        key.write_bytes(os.urandom(1024))
        files = {
            "key": key,
            "socket": munge,
            "pid": self.folder / "munged.pid",
            "log": self.folder / "log/munged.log",
            "seed": self.folder / "munge.seed",
        }
        options = [f"--{'socket' if k == 'socket' else f'{k}-file'}={v}" for k, v in files.items()]
        self._daemon("munged", "munged", "--foreground", "--force", *options)
        wait(munge.exists, 20, "munged does not start")
        self._daemon("slurmctld", "slurmctld", "-D", "-i", "-f", str(self.folder / LINK.name))
        for node in NODES:
            self._start_node(node)

    def _start_node(self, node: str) -> None:
        self._daemon(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / LINK.name))

    def _daemon(self, name: str, *command: str) -> None:
        with open(self.folder / f"log/{name}.out", "ab") as log:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        process = psutil.Process(started.pid)
        entry = {name: [process.pid, process.create_time()]}
        self._record.write_text(json.dumps(self._started() | entry))

    @property
    def _record(self) -> Path:
        return self.folder / "processes.json"

    def _started(self) -> dict[str, tuple[int, float]]:
        return json.loads(self._record.read_text()) if self._record.exists() else {}

    def _alive(self, name: str) -> psutil.Process | None:
        """The daemon of this name, if it is still the process that was started."""
        pid, created = self._started().get(name, (0, 0.0))
        try:
            process = psutil.Process(pid)
            same = pid and process.create_time() == created
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _steps(self, node: str) -> list[psutil.Process]:
        """The node's slurmstepd processes: they have its log open."""
        log = str(self.folder / f"log/slurmd-{node}.log")
        return [
            process
            for process in psutil.process_iter(["name"])
            if process.info["name"] == "slurmstepd"
            and any(file.path == log for file in _quietly(process.open_files) or ())
        ]


def _tasks(node: str) -> list[psutil.Process]:
    """The processes of a node's jobs."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("SLURMD_NODENAME") == node
    ]


def _quietly(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except psutil.Error:
        return None


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        _quietly(process.terminate)
    for process in psutil.wait_procs(processes, timeout=20)[1]:
        _quietly(process.kill)


def wait(condition: Callable[[], object], seconds: float, complaint: str) -> None:
    """Wait until a condition holds; Slurm's commands may fail until then.

    Raises:
        TimeoutError: with the complaint.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except LabError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} after {seconds:g} s")
        time.sleep(0.2)


def free_ports() -> Iterable[int]:
    """TCP ports of the loopback interface that nothing listens on."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def _check(install: bool) -> None:
    """Raise LabError where a cluster cannot be started, or would stand in a real one's way."""
    if os.geteuid() != 0:
        raise LabError("a Slurm cluster for tests can be started by root only")
    if "SLURM_CONF" in os.environ or CONFIGLESS.exists():
        raise LabError("this machine belongs to a Slurm cluster: no other is started here")
    if _is_ours(LINK):
        if Lab.running():
            raise LabError("a cluster for tests runs already")
        LINK.unlink()  # of one that was killed
    if os.path.lexists(LINK):
        raise LabError(f"{LINK} is there: no other cluster is started beside the one it names")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing and not install:
        raise LabError(f"no {', '.join(missing)}: apt-get install {' '.join(PACKAGES)}")
    if missing:
        _install()


def _is_ours(link: Path) -> bool:
    return link.is_symlink() and Path(os.readlink(link)).parent.name.startswith(PREFIX)


def _install() -> None:
    try:
        debian.install(*PACKAGES)
    except debian.NotInstalled as error:
        raise LabError(str(error)) from None


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["start", "stop", "status"])
    what = parser.parse_args().what
    try:
        lab = Lab.start(install=True) if what == "start" else Lab.running()
        if lab is None:
            raise LabError("no cluster for tests runs here")
        if what == "stop":
            lab.stop()
        else:
            print(f"{lab.slurm('sinfo')}\nlogs: {lab.folder}/log")
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
