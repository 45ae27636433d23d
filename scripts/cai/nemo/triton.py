"""PyTriton's files: where they are, and that nothing is left of them.

PyTriton keeps sockets and models in PYTRITON_HOME, by default in the user's home, and Triton copies
each model to ``/tmp/folder??????``. Both remain when a server is killed, and PPO's critic and the
reward model's server always end by a kill.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cai.core.digests import digest

TEMPORARY = Path("/tmp")  # Triton's own, whatever TMPDIR says
SOCKET = 107  # characters of the path of a Unix socket, at most
LONGEST = "/workspace_12345678/reward_model_0_0-server.sock"  # that PyTriton puts into its home
WORKSPACE = re.compile(r'key: "workspace-path"\s+value \{\s+string_value: "([^"]+)"')
TOGETHER = 1.0  # seconds between the folder of a model and the one that Triton makes beside it


@contextmanager
def tidied(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of a program that may run PyTriton; its files are removed before and after.

    Args:
        folder: of the job; no other one may run Triton in it.
    """
    home = home_of(folder)
    remove(home)
    try:
        yield {"PYTRITON_HOME": str(home)}
    finally:
        remove(home)
        with suppress(OSError):
            folder.rmdir()  # if it has nothing else


def home_of(folder: Path) -> Path:
    """Where PyTriton's files are: in a job's folder, or where that has too long a path, in /tmp."""
    home = folder.resolve() / "triton"
    if len(os.fsencode(home)) + len(LONGEST) <= SOCKET:
        return home
    return TEMPORARY / f"cai-triton-{digest(str(home))[:12]}"


def remove(home: Path) -> None:
    """Remove PyTriton's files, and the models that Triton has copied from there on this host."""
    for folder in TEMPORARY.glob("folder??????"):
        if _workspace(folder).is_relative_to(home):
            for beside in _beside(folder):
                with suppress(OSError):
                    beside.rmdir()  # it is empty
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def _workspace(folder: Path) -> Path:
    """The workspace of the server that has copied a model; "." if it is unknown."""
    try:
        found = WORKSPACE.search((folder / "config.pbtxt").read_text("utf-8", errors="replace"))
    except OSError:
        return Path()
    return Path(found[1]) if found else Path()


def _beside(folder: Path) -> Iterator[Path]:
    """Triton's folder for a Python environment, which is made with that of the first model."""
    with suppress(OSError):
        made = folder.stat().st_mtime
        for other in TEMPORARY.glob("python_env_??????"):
            with suppress(OSError):
                if abs(other.stat().st_mtime - made) < TOGETHER:
                    yield other
