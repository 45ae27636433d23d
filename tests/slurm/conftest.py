"""A real Slurm cluster, and a project in which the whole workflow has run on it once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.slurm.lab import Lab, LabError
from tests.slurm.running import ClusterProject, Finished, Run


@pytest.fixture(scope="session")
def cluster() -> Iterator[Lab]:
    """The cluster; a test without one is skipped, but never in CI. One that runs is used."""
    lab = Lab.running()
    if lab is not None:
        yield lab
        return
    try:
        lab = Lab.start(install="CI" in os.environ)
    except LabError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no Slurm: {error}")
    yield lab
    lab.stop()


@pytest.fixture(scope="session")
def finished(cluster: Lab, nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The project after one whole run."""
    return Finished(cluster, ClusterProject(tmp_path_factory.mktemp("project")))


@pytest.fixture
def spoilt(finished: Finished, tmp_path: Path) -> ClusterProject:
    """A copy of the finished project, to be spoilt."""
    return finished.project.copy(tmp_path / "project")


@pytest.fixture
def start(cluster: Lab) -> Iterator[Callable[..., Run]]:
    """Start Snakemake on the cluster; what is left of it at the end is ended."""
    runs: list[Run] = []

    def start(project: ClusterProject, *arguments: str) -> Run:
        runs.append(Run(cluster, project, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        run.stop()
