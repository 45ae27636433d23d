"""Snakemake running on the cluster of lab.py, and what it has there."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from tests.project import Project
from tests.slurm.lab import Lab, LabError

HERE = Path(__file__).parent
WHOLE_RUN = 1200  # seconds
# Every kind of job; a report and the other models' judged answers show a cluster nothing new.
EVERY_KIND = [
    "results/demo/rl_cai.nemo",
    "results/demo/evaluation/judged/rl_cai.jsonl",
    "results/demo/evaluation/rewards/rl_cai.jsonl",
]


class Job(NamedTuple):
    """A job of the queue, or one that was in it."""

    id: str
    state: str
    partition: str
    nodes: str
    rule: str


class Step(NamedTuple):
    """A program that srun has started in a job."""

    name: str
    nodes: str


class ClusterProject(Project):
    """A copy of the project that runs on the cluster: its profile with profile.yaml over it."""

    profile = "profiles/slurm"
    configs = (*Project.configs, str(HERE / "small.yaml"))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lay_over(yaml.safe_load((HERE / "profile.yaml").read_text()))

    def command(self, *arguments: str) -> list[str]:
        """As Snakemake's own, but that it soon notices that a job has ended."""
        python, _, _, *others = super().command(*arguments)
        return [python, "-u", str(HERE / "prompt_snakemake.py"), *others]

    def lay_over(self, values: dict[str, Any]) -> None:
        """Change values of the profile, key by key."""
        path = self.folder / self.profile / "config.yaml"
        path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), values)))

    def forget(self, *paths: str) -> None:
        """Remove results."""
        assert subprocess.run(["rm", "-r", *paths], cwd=self.results).returncode == 0


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, key by key."""
    both = {
        key: merged(below[key], value) if isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


class Run:
    """Snakemake in the background, with its jobs. What it says goes into a file."""

    def __init__(self, lab: Lab, project: ClusterProject, *arguments: str) -> None:
        self.lab, self.project = lab, project
        self.began = time.time()
        self._log = project.folder / "said"
        with open(self._log, "w") as output:
            self._process = project.start(*arguments, output=output)

    @property
    def said(self) -> str:
        """All that Snakemake has said so far."""
        return self._log.read_text()

    def jobs(self, rule: str = "") -> list[Job]:
        """The jobs of this project, the ended ones too, in the order of their submission."""
        lines = self.lab.slurm(
            "squeue", "--noheader", "--states=all", "--sort=i", "--format=%Z|%i|%T|%P|%N|%k"
        ).splitlines()
        rows = (line.split("|") for line in lines)
        jobs = [
            Job(*rest, comment.removeprefix("rule_").partition("_wildcards_")[0])
            for folder, *rest, comment in rows
            if folder == str(self.project.folder)
        ]
        return [job for job in jobs if rule in ("", job.rule)]

    def running(self, rule: str) -> str | None:
        """The id of a rule's running job."""
        return next((job.id for job in self.jobs(rule) if job.state == "RUNNING"), None)

    def steps(self) -> set[Step]:
        """The programs that srun runs now in jobs of this project."""
        ids = {job.id for job in self.jobs() if job.state == "RUNNING"}
        lines = self.lab.slurm("squeue", "--noheader", "--steps", "--format=%i|%j|%N").splitlines()
        rows = (line.split("|") for line in lines)
        return {Step(name, nodes) for step, name, nodes in rows if step.split(".")[0] in ids}

    def alive(self) -> bool:
        """Whether Snakemake runs."""
        return self._process.poll() is None

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 150) -> Any:
        """Wait until a condition holds while Snakemake runs; returns what it has answered."""
        deadline = time.monotonic() + seconds
        while not (answer := self._ask(condition)):
            assert self._process.poll() is None, f"ended before {what}:\n{self.said[-6000:]}"
            assert time.monotonic() < deadline, f"not in {seconds} s: {what}:\n{self.said[-6000:]}"
            time.sleep(0.1)
        return answer

    def _ask(self, condition: Callable[[], Any]) -> Any:
        try:
            return condition()
        except (LabError, OSError):  # slurmctld is busy; a file has just gone
            return None

    def finish(self, seconds: float = 300) -> str:
        """Wait for a good end; returns all that Snakemake has said."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = "none yet"
        assert code == 0, f"exit code {code}:\n{self.said[-8000:]}"
        return self.said

    def kill(self) -> None:
        """End Snakemake as a power cut would, but not its jobs."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End all that is left."""
        if self._process.poll() is None:
            self.kill()
        for job in self.jobs():
            if job.state in ("RUNNING", "PENDING"):
                self.lab.slurm("scancel", job.id)


class Finished:
    """A project after one run of every kind of job on the cluster.

    Attributes:
        jobs: all jobs of that run.
        steps: the programs that srun was seen to run.
    """

    def __init__(self, lab: Lab, project: ClusterProject) -> None:
        self.lab, self.project = lab, project
        self.steps: set[Step] = set()
        run = Run(lab, project, "--", *EVERY_KIND)
        try:
            while run.alive() and time.time() < run.began + WHOLE_RUN:
                self.steps |= run.steps()
                time.sleep(0.2)
            self.said = run.finish(seconds=10)
            self.jobs: list[Job] = run.jobs()
        finally:
            run.stop()


def tasks(job: str, program: str = "") -> list[psutil.Process]:
    """The processes of a job that srun has started, those of a program if one is named."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        variables, command = process.info["environ"] or {}, process.info["cmdline"] or []
        inside = variables.get("SLURM_JOB_ID") == job and "SLURM_STEP_ID" in variables
        if inside and any(program in argument for argument in command) and _is_python(process):
            found.append(process)
    return found


def _is_python(process: psutil.Process) -> bool:
    return process.name().startswith("python")
