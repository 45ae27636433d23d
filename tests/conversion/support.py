"""What the conversion's tests and fixtures share."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"


class Refused(Exception):
    """The worker's function raised a UserError."""


def remake(archive: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy an archive; ``change(name, content)`` gives a member's new content or None."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as out:
        for member in source.getmembers():
            content = change(member.name, source.extractfile(member).read())
            if content is not None:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    return target
