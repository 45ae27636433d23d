"""Environments are built beside and put in place in one step, one builder at a time."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
PROGRAMS = ("install", "find-python", "progress.py")


@pytest.fixture
def checkout(tmp_path):
    """A folder with the programs and a list of no packages: nothing is downloaded."""
    (tmp_path / "envs").mkdir()
    for name in PROGRAMS:
        shutil.copy(ROOT / "envs" / name, tmp_path / "envs" / name)
    (tmp_path / "list.txt").write_text("-r other.txt\n")
    (tmp_path / "other.txt").write_text("# nothing\n")
    return tmp_path


def start(checkout, **options):
    command = [checkout / "envs/install", sys.executable, "tiny", "list.txt"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=checkout, **pipes | options)


def said_by(builder):
    return builder.communicate(timeout=240)[0]


def test_two_builders_at_once_make_one_environment_and_a_new_list_another(checkout):
    said = [said_by(builder) for builder in (start(checkout), start(checkout))]
    assert sum("Installing" in text for text in said) == 1
    link = checkout / ".envs/tiny"
    first = link.resolve()
    assert link.is_symlink()
    assert (link / ".ready").exists()
    running = subprocess.Popen([first / "bin/python", "-c", "input(); import json"], stdin=-1)
    (checkout / "other.txt").write_text("# nothing, too\n")
    assert f"rm -r .envs/{first.name}" in said_by(start(checkout))
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
    assert "Installing" in said_by(start(checkout))
    subprocess.run([checkout / ".envs/tiny/bin/python", "-m", "pip", "--version"], check=True)


@pytest.fixture
def little(checkout):
    """A package of one empty module, and the line of a list that names it."""
    path = checkout / "little-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("little.py", "")
        about = "little-1.0.dist-info"
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: little\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return f"little @ file://{path} #==1.0\n"


def test_a_failure_names_the_reason_and_the_log(checkout):
    (checkout / "list.txt").write_text("no-such-package @ file:///no/such/folder #==1.0\n")
    builder = start(checkout)
    said = said_by(builder)
    assert builder.returncode == 1
    assert "error: .envs/tiny could not be installed" in said and ".envs/tiny.log" in said
    assert "/no/such/folder" in said and len(said.splitlines()) <= 5
    assert not (checkout / ".envs/tiny").exists()


def test_a_terminal_shows_the_size_and_a_bar_and_the_log_has_the_rest(checkout, little):
    (checkout / "list.txt").write_text(f"# Size: 3 kB on disk.\n{little}")
    terminal, end = pty.openpty()
    builder = start(checkout, stdout=end, stderr=end)
    os.close(end)
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
    assert builder.wait() == 0
    assert b"1 of 1 downloaded" in said
    first, *_, last = said.decode().splitlines()
    assert re.fullmatch(
        r"Installing \.envs/tiny \(once\): packages: 1, 3 kB on disk; \S+ free", first
    )
    assert re.fullmatch(r"Installed \.envs/tiny in \d+ s", last.rpartition("\033[K")[2])
    assert "Successfully installed little-1.0" in (checkout / ".envs/tiny.log").read_text()


FAKE = """#!/bin/sh
case "$2" in
*platform*) echo {version} ;;
*) exit {code} ;;
esac
"""


@pytest.fixture
def home(tmp_path):
    """A user's home in which Pythons can be put that are none, but have a version."""

    class Home:
        path = tmp_path

        def put(self, place, version="3.11.9", fits=True):
            file = tmp_path / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(FAKE.format(version=version, code=0 if fits else 1))
            file.chmod(0o755)
            return str(file)

        def find(self, wanted="", **environment):
            environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin", **environment}
            command = ["/bin/bash", ROOT / "envs/find-python", wanted]
            return subprocess.run(command, env=environment, capture_output=True, text=True)

    return Home()


@pytest.mark.parametrize(
    "place",
    [
        "bin/python3.11",
        "bin/python3",
        "bin/python",
        ".local/bin/python3.11",
        ".local/share/uv/python/cpython-3.11.14-linux-x86_64-gnu/bin/python3.11",
        "miniforge3/bin/python3.11",
        "miniconda3/envs/python311/bin/python3.11",
        ".conda/envs/python311/bin/python3.11",
        ".pyenv/versions/3.11.7/bin/python3.11",
    ],
)
def test_python_is_found_where_systems_and_managers_put_it(home, place):
    home.put("bin/python3.12", "3.12.3", fits=False)
    expected = home.put(place)
    done = home.find()
    assert (done.stdout.strip(), done.returncode) == (expected, 0)


def test_managers_in_other_folders_are_asked_by_their_variables(home):
    expected = home.put("elsewhere/envs/a/bin/python3.11")
    assert home.find(CONDA_EXE=f"{home.path}/elsewhere/bin/conda").stdout.strip() == expected
    expected = home.put("uvs/cpython-3.11.2-x/bin/python3.11")
    assert home.find(UV_PYTHON_INSTALL_DIR=f"{home.path}/uvs").stdout.strip() == expected


def test_another_version_alone_is_named_with_ways_to_get_the_right_one(home):
    path = home.put("bin/python3", "3.13.1", fits=False)
    done = home.find()
    assert done.returncode == 2 and done.stdout == ""
    assert f"{path} is 3.13.1" in done.stderr
    for word in ("uv python install 3.11", "conda create", "apt-get install python3.11", "PYTHON="):
        assert word in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_the_system_python_without_its_venv_package_is_no_use(home):
    path = home.put("bin/python3.11", "3.11.2", fits=False)
    said = home.find().stderr
    assert f"{path} is 3.11.2" in said and "apt-get install python3.11-venv" in said


def test_the_python_that_is_named_is_the_only_one_that_is_tried(home):
    home.put("bin/python3.11")
    other = home.put("other/python", "3.12.0", fits=False)
    assert f"PYTHON={other} is 3.12.0" in home.find(other).stderr
    assert "PYTHON=nonesuch is no Python" in home.find("nonesuch").stderr
