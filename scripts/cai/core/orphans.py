"""Jobs on one machine end with the Snakemake that started them, even if it was killed.

Snakemake's own process names itself to its jobs in an environment variable, and each job's program
looks now and then whether that process still runs. Otherwise the jobs would run on, and the next
start would collide with them. Jobs that were submitted to Slurm are left out: there each job has a
Snakemake of its own, and the cluster ends them all together.
"""

import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path

VARIABLE = "CAI_WORKFLOW"  # host, process, its start, Slurm's job
LOOK_EVERY = 1.0  # seconds
PATIENCE = 60.0  # seconds in which the program must have ended after SIGTERM


def announce() -> None:
    """Tell all jobs of this process that it is the one to end with; the outermost one counts."""
    if not _is_there(os.environ.get(VARIABLE, "")):
        os.environ[VARIABLE] = " ".join([*_here(), str(os.getpid()), start_of(os.getpid())])


def end_with_workflow() -> None:
    """End this process by SIGTERM when the Snakemake that announced itself is gone."""
    announced = os.environ.get(VARIABLE, "")
    if _is_there(announced):
        threading.Thread(target=_watch, args=[announced], daemon=True).start()


def _watch(announced: str) -> None:
    while _is_there(announced):
        time.sleep(LOOK_EVERY)
    print("snakemake is gone: ends here, and continues in its next run", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_there(announced: str) -> bool:
    """Whether the process that is named runs: on this host, in this job, and is no other one."""
    host, job, pid, start = (announced.split(" ") + [""] * 4)[:4]
    return [host, job] == _here() and pid.isdecimal() and start == start_of(int(pid)) != ""


def _here() -> list[str]:
    return [platform.node(), os.environ.get("SLURM_JOB_ID", "-")]


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
