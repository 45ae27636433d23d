"""What the conversion's tests and fixtures share."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"

Call = Callable[..., Any]


class Refused(Exception):
    """The worker's function raised a UserError."""


@contextmanager
def started(nemo_python: str, log: Path) -> Iterator[Call]:
    """A process of worker.py: what calls its functions. A UserError comes back as Refused."""
    with log.open("w") as stderr:
        worker = subprocess.Popen(
            [nemo_python, HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "2"},
        )

    def call(function: str, *arguments: Any) -> Any:
        worker.stdin.write(json.dumps([function, *arguments], default=str) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        assert line, f"the worker ended:\n{log.read_text()[-3000:]}"
        answer = json.loads(line)
        if "user_error" in answer:
            raise Refused(answer["user_error"])
        return answer["value"]

    yield call
    worker.stdin.close()
    worker.wait(timeout=60)


def remake(archive: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy an archive; ``change(name, content)`` gives a member's new content or None."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as out:
        for member in source.getmembers():
            content = change(member.name, source.extractfile(member).read())
            if content is not None:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    return target
