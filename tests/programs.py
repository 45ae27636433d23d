"""Programs of the project, each run in a process of its own, whose start costs nothing.

A program's start is half a second of imports, and there are hundreds. Here a server of processes
(that of multiprocessing) has imported them once, and each program is forked off it: with its own
arguments, folder, environment, streams and end, as on a command line. What is run in a copy of the
project, or with another Python, is started by subprocess.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.project import ROOT

# What the programs import, so that it is there already.
LOADED = ("pytest", "numpy", "requests", "rich.console", "yaml", "cai.settings.configuration")
LOADED += ("cai.asking.program", "cai.workflow.command_line", "cai.provenance.manifest")
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(LOADED))


def run(
    program: str | Path,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess:
    """Run a program in the project's root, as ``subprocess.run`` with ``capture_output`` does."""
    command = [str(program), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, "stdout"), Path(folder, "stderr")]
        given = dict(os.environ if env is None else env)
        process = _server.Process(target=_main, args=(command, given, streams))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        stdout, stderr = (path.read_text(encoding="utf-8") for path in streams)
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)


def _main(command: list[str], env: dict[str, str], streams: list[Path]) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = command
    sys.path[0] = str(Path(command[0]).resolve().parent)
    runpy.run_path(command[0], run_name="__main__")
