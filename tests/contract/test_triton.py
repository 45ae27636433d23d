"""PyTriton's files lie in the job's folder, and nothing of them stays."""

import os
import secrets
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.nemo.triton import LONGEST, SOCKET, home_of, tidied


@given(st.text(alphabet="ab/é", min_size=1, max_size=200))
def test_the_paths_of_sockets_are_never_too_long(name):
    home = home_of(Path("/jobs", name.lstrip("/") or "a"))
    assert len(os.fsencode(f"{home}{LONGEST}")) <= SOCKET
    assert home.name == "triton" or home.parent == Path("/tmp")


@pytest.fixture
def copied():
    """Makes the folder to which Triton copies a model, and the one that it makes beside it."""
    made = []

    def copy(workspace):
        for prefix in ("folder", "python_env_"):
            made.append(Path("/tmp", f"{prefix}{secrets.token_hex(3)}"))
            made[-1].mkdir()
        text = (
            f'parameters {{\n  key: "workspace-path"\n  value {{\n    string_value: "{workspace}"'
        )
        (made[-2] / "config.pbtxt").write_text(text + "\n  }\n}\n")
        return made[-2:]

    yield copy
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def test_what_triton_has_copied_is_removed_at_the_end_and_after_a_kill(tmp_path, copied):
    home = home_of(tmp_path)
    killed = copied(home / "workspace_killed12")
    others = copied("/elsewhere/workspace_12345678")
    os.utime(others[1], (1, 1))  # of another time
    with tidied(tmp_path) as variables:
        assert variables == {"PYTRITON_HOME": str(home)}
        assert not any(folder.exists() for folder in killed)
        ended = copied(home / "workspace_ended123")
        (home / "workspace_ended123").mkdir(parents=True)
    assert not any(folder.exists() for folder in [*ended, home])
    assert all(folder.exists() for folder in others)
