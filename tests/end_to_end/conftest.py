"""A copy of the project in which the whole workflow has run once, at a small size."""

import pytest
from tests.project import TARGETS, Project

AGAIN = "again"  # the folder of the second run: what a folder is called must change nothing


@pytest.fixture(scope="session")
def project(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after one whole run."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.snakemake("--", *TARGETS)
    return project


@pytest.fixture(scope="session")
def project_again(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same from nothing in another folder, which knows nothing of the first."""
    folder = tmp_path_factory.mktemp("other") / AGAIN
    folder.mkdir()
    again = Project(folder)
    again.snakemake("--", *TARGETS)
    return again
