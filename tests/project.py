"""A copy of the project, in which the real Snakemake runs the demo at a small size."""

import copy
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import yaml

from cai.asking.journal.entries import FINISHED

ROOT = Path(__file__).parent.parent
PARTS = ["Snakefile", "rules", "scripts", "config", "profiles", "envs", "demo"]
SMALL = ROOT / "tests/end_to_end/small.yaml"
TARGETS = ["results/demo/report.html", "results/demo/rl_cai.nemo"]
ASKED_FOR = ["results/demo/dpo_cai.nemo", "results/demo/best_of_n.nemo"]  # not by default
DEMO = yaml.safe_load((ROOT / "config/demo.yaml").read_text())


def program(name: str) -> str:
    """The path of a program of ``scripts/`` from the root: ``scripts/sl_cai/respond.py``."""
    [found] = [
        path
        for path in (ROOT / "scripts").rglob(f"{name}.py")
        if not path.is_relative_to(ROOT / "scripts/cai")
    ]
    return str(found.relative_to(ROOT))


class Project:
    """A copy of the project's files, with its own results and its own Snakemake state.

    Attributes:
        profile: the profile that Snakemake runs with.
        configs: the configurations that lie over config/config.yaml.
    """

    profile = "profiles/demo"
    configs = ("config/demo.yaml", str(SMALL))

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            source = ROOT / part
            put = shutil.copytree if source.is_dir() else shutil.copy2
            put(source, folder / part)
        (folder / ".envs").symlink_to(ROOT / ".envs")

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The one that is in a folder already."""
        own = cls.__new__(cls)
        own.folder = folder
        return own

    @property
    def results(self) -> Path:
        """Where the demo's results are."""
        return self.folder / "results/demo"

    def command(self, *arguments: str) -> list[str]:
        """Snakemake's command line for the demo at its small size."""
        snakemake = [sys.executable, "-m", "snakemake", "--profile", self.profile]
        return [*snakemake, "--configfile", *self.configs, *arguments]

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run Snakemake; returns all that it said."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def plan(self, *arguments: str, code: int = 0) -> str:
        """What scripts/plan.py says of the same arguments; ``code`` is how it is to end."""
        program = [sys.executable, "scripts/plan.py", *self.command(*arguments)[3:]]
        done = subprocess.run(program, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout

    def start(
        self, *arguments: str, output: IO[str] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start Snakemake in the background, in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Self]:
        """As :meth:`copy`, and removed at the end: a finished run has hundreds of megabytes."""
        yield self.copy(folder)
        shutil.rmtree(folder)

    def copy(self, folder: Path) -> Self:
        """A copy of all of it, results too, to be spoilt."""
        shutil.copytree(self.folder, folder, symlinks=True)
        own = copy.copy(self)
        own.folder = folder
        return own

    def pretend(self) -> None:
        """Have Snakemake believe that all is done: for tests of plans, which need no results."""
        wanted = self.snakemake("--dry-run", "--quiet", "host", "--", *TARGETS)
        for line in re.findall(r"^ +(?:output|benchmark): (.*)$", wanted, re.MULTILINE):
            for name in line.split(", "):
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.name.endswith(".manifest.json"):
                    path.write_text(json.dumps({"sha256": hashlib.sha256().hexdigest()}))
                elif path.suffix == ".json":
                    path.write_text("{}")
                elif path.suffix:
                    path.touch()
                else:
                    path.mkdir()
        self.snakemake("--touch", "--forceall", "--", *TARGETS)

    def steps(self, name: str, metric: str) -> list[int]:
        """The steps at which a training has measured something."""
        rows = (self.results / f"{name}.metrics.csv").read_text()
        return [int(step) for step in re.findall(rf"^{metric},(\d+),", rows, re.MULTILINE)]

    def planned(self, *arguments: str, targets: Sequence[str] = TARGETS) -> set[str]:
        """The rules that a dry run would run."""
        plan = self.snakemake("-n", *arguments, "--", *targets)
        return set(re.findall(r"^(?:local)?rule (\w+):", plan, re.MULTILINE)) - {"all"}


def answers(journal: Path) -> dict[str, Any]:
    """A journal's answers by key; none was asked twice, though a later day's run repeats it."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    days = [(line["key"], line["day"]) for line in lines]
    assert len(days) == len(set(days)), "something was asked twice"
    return {line["key"]: line["value"] for line in lines if line["key"] != FINISHED}


def weights(archive: Path) -> dict[str, bytes]:
    """The tensors of a .nemo file; what names the time of writing is left out."""
    with tarfile.open(archive) as tar:
        return {
            member.name: content.read()
            for member in tar.getmembers()
            if member.name.endswith(".distcp") and (content := tar.extractfile(member))
        }
