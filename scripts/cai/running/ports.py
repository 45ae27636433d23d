"""Whose server listens on a port of this machine.

A port that was free when it was chosen may be taken by another program while ours still loads its
model, and that program's answers must not count as our model's. Ours is what our program has
started: its descendants or, where Slurm starts them (so that they are none), what has the mark of
:class:`cai.running.process.Program` in its environment, itself or by a parent. That holds in
containers, too, as long as they share this machine's processes, as those of pyxis and apptainer do.

A job's server is always asked on the node of the job's own program, so no other node is looked at.
"""

from collections.abc import Iterator
from typing import Literal

import psutil

from cai.running.process import MARK, Program

LOCAL = ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1")  # where 127.0.0.1 reaches a listener

Owner = Literal["ours", "other", "unknown", "nobody"]


def owner(port: int, program: Program) -> Owner:
    """Who listens on a port of the loopback interface.

    Returns:
        ``ours``: the program alone; ``other``: somebody else, perhaps beside it; ``unknown``:
        somebody whose processes cannot be seen from here; ``nobody``, also where this machine does
        not say who listens.
    """
    try:
        pids = set(_listeners(port))
    except (psutil.Error, OSError):
        return "nobody"
    if not pids:
        return "nobody"
    seen = [pid for pid in pids if pid is not None]
    if not all(_is_of(pid, program) for pid in seen):
        return "other"
    return "ours" if len(seen) == len(pids) else "unknown"


def _listeners(port: int) -> Iterator[int | None]:
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if not address or connection.status != psutil.CONN_LISTEN:
            continue
        if address.port == port and address.ip in LOCAL:
            yield connection.pid


def _is_of(pid: int, program: Program) -> bool:
    try:
        process = psutil.Process(pid)
        family = [process, *process.parents()]
    except psutil.Error:  # it has ended
        return False
    return any(one.pid == program.pid or _has_mark(one, program.mark) for one in family)


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
