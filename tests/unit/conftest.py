"""What all unit tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty configuration: Slurm refuses it at once, and waits a minute for a missing one."""
    path = tmp_path_factory.mktemp("no_slurm") / "slurm.conf"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, _empty: Path) -> None:
    """A cluster near by, such as that of tests/slurm or a login node's, must not matter here."""
    monkeypatch.setenv("SLURM_CONF", str(_empty))
