"""Environments are built beside and put in place in one step, one builder at a time."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def checkout(tmp_path):
    """A folder with the program and a list of no packages: nothing is downloaded."""
    (tmp_path / "envs").mkdir()
    shutil.copy(ROOT / "envs/install", tmp_path / "envs/install")
    (tmp_path / "list.txt").write_text("# nothing\n")
    return tmp_path


def start(checkout):
    command = [checkout / "envs/install", sys.executable, "tiny", "list.txt"]
    return subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)


def test_two_builders_at_once_make_one_environment_and_a_new_list_another(checkout):
    said = [builder.communicate(timeout=120)[0] for builder in (start(checkout), start(checkout))]
    assert sum("Installing" in text for text in said) == 1
    link = checkout / ".envs/tiny"
    first = link.resolve()
    assert link.is_symlink()
    assert (link / ".ready").exists()
    running = subprocess.Popen([first / "bin/python", "-c", "input(); import json"], stdin=-1)
    (checkout / "list.txt").write_text("# nothing, too\n")
    assert f"rm -r .envs/{first.name}" in start(checkout).communicate(timeout=120)[0]
    assert link.resolve() != first
    running.communicate(b"\n", timeout=60)
    assert running.returncode == 0


def test_an_interrupted_installation_is_made_again(checkout):
    builder = start(checkout)
    deadline = time.monotonic() + 60
    while not list(checkout.glob(".envs/tiny-*/bin/python")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate()
    assert not (checkout / ".envs/tiny").exists()
    assert "Installing" in start(checkout).communicate(timeout=120)[0]
    subprocess.run([checkout / ".envs/tiny/bin/python", "-m", "pip", "--version"], check=True)
