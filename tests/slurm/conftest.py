"""A real Slurm cluster, and a copy of the project whose profile fits it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.project import TARGETS, Project
from tests.slurm.lab import Lab, LabError

HERE = Path(__file__).parent


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


@pytest.fixture
def quiet(cluster: Lab) -> Iterator[Lab]:
    """The cluster, without jobs and with all of its nodes; it is left like that."""
    cluster.clear()
    yield cluster
    cluster.clear()


class ClusterProject(Project):
    """A copy of the project that runs on the cluster: its profile with profile.yaml over it."""

    profile = "profiles/slurm"
    configs = (*Project.configs, str(HERE / "small.yaml"))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        path = folder / self.profile / "config.yaml"
        own, small = (yaml.safe_load(text.read_text()) for text in (path, HERE / "profile.yaml"))
        path.write_text(yaml.safe_dump(merged(own, small)))


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, key by key."""
    both = {
        key: merged(below[key], value) if isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


@pytest.fixture(scope="session")
def finished(
    cluster: Lab, nemo_python: str, tmp_path_factory: pytest.TempPathFactory
) -> ClusterProject:
    """The project after one whole run on the cluster."""
    project = ClusterProject(tmp_path_factory.mktemp("project"))
    project.snakemake("--", *TARGETS)
    return project
