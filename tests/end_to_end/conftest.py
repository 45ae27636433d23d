"""A copy of the project in which the whole workflow has run once, at a small size."""

import pytest
from tests.project import TARGETS, Project


@pytest.fixture(scope="session")
def project(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after one whole run."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.snakemake("--", *TARGETS)
    return project
