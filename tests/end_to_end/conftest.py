"""A copy of the project in which the whole workflow has run once, at a small size."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from tests.end_to_end.killing import Bench
from tests.project import ASKED_FOR, SMALL, TARGETS, Project

KILLED = {"sl_cai": 4, "reward_model": 2, "dpo_cai": 2}  # after which step; each has more

# What folders are called must change nothing, and reach no shell as code. (Braces, < and > are
# refused in a dry run: tests/files/test_paths.py.)
ODD = "my R&D [1] it's ü, a=$(touch X) $"


class OddProject(Project):
    """A project whose folder, results, constitution, classifier, data and models have odd names."""

    configs = ("config/demo.yaml", "odd.yaml", str(SMALL))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.logs: list[str] = []  # of trainings, each time that all was killed and at the end
        (folder / "demo").rename(folder / ODD)
        demo = yaml.safe_load((folder / "config/demo.yaml").read_text())
        odd = {**_moved(demo), "results": str(self.results.relative_to(folder))}
        (folder / "odd.yaml").write_text(yaml.safe_dump(odd, allow_unicode=True))

    @property
    def results(self) -> Path:
        """Where this run's results are."""
        return self.folder / f"results {ODD}"

    @property
    def targets(self) -> list[str]:
        """As :data:`TARGETS` and :data:`ASKED_FOR`."""
        place = self.results.relative_to(self.folder)
        return [str(place / Path(name).name) for name in (*TARGETS, *ASKED_FOR)]

    def keep_logs(self) -> None:
        """Keep what the trainings have said: a training's log begins anew with each start."""
        self.logs += [
            path.read_text(errors="replace") for path in self.results.glob("logs/*_*.log")
        ]


def _moved(value: Any) -> Any:
    """A configuration in which what is in demo/ is in the odd folder."""
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, str) or not value.startswith("demo/"):
        return value
    place = glob.escape(ODD) if "*" in value else ODD  # in a pattern, [ has a meaning
    return f"{place}/{value.removeprefix('demo/')}"


@pytest.fixture(scope="session")
def finished_once(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after one whole run, which all of pytest's processes share: not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            Project(folder).snakemake("--", *TARGETS, *ASKED_FOR)
            (folder / "whole").touch()
    assert (folder / "whole").exists(), "it has failed in another process, see there"
    return Project.at(folder)


@pytest.fixture(scope="session")
def project(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """This process's copy of the finished project."""
    return finished_once.copy(tmp_path_factory.mktemp("copy") / "project")


@pytest.fixture(scope="session")
def project_again(project: Project, tmp_path_factory: pytest.TempPathFactory) -> OddProject:
    """The same from nothing in another folder, which knows nothing of the first.

    Each training is killed once, as by a power cut, and goes on from its checkpoint.
    """
    folder = tmp_path_factory.mktemp("other") / ODD
    folder.mkdir()
    again = OddProject(folder)
    bench, left = Bench(again), dict(KILLED)

    def saved() -> str | None:
        return next((name for name, step in left.items() if bench.has_saved(name, step)), None)

    try:
        while left:
            killed = bench.kill_when(saved, "--", *again.targets)
            del left[killed]
            again.keep_logs()
        again.snakemake("--", *again.targets)
        again.keep_logs()
    finally:
        bench.kill()
    assert not list(folder.parent.rglob("X")), "a name has reached a shell as code"
    return again


@pytest.fixture
def bench(project: Project, tmp_path: Path) -> Iterator[Bench]:
    """A copy of the finished project, to be spoilt."""
    bench = Bench(project.copy(tmp_path / "project"))
    yield bench
    bench.kill()
