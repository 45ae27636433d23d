"""What all unit tests share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cluster near by, such as that of tests/slurm or a login node's, must not matter here."""
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "no-slurm.conf"))
