"""What made an artefact: the code, the software, the machine, the job. Takes milliseconds.

Of the environment only the number of the Slurm job is read.
"""

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cai.core.digests import digest, file_digest
from cai.core.project import ROOT
from cai.running.launch import Launch

CODE = ("*.py", "*.j2")  # what of scripts/ makes results
VERSION = (ROOT / "scripts/cai/VERSION").read_text().strip()  # of the project; semver
PACKAGES = ("snakemake", "pydantic", "torch", "numpy", "huggingface-hub", "pyarrow")
NEMO = ("nemo_toolkit", "nemo-aligner", "megatron-core", "torch", "transformer-engine")
ASK = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
LONGEST = 10.0  # seconds that the NeMo Python may take to name its versions
_began = time.time()


@cache
def code() -> dict[str, Any]:
    """The version and the digest of ``scripts/``; where git knows, the commit and whether more was
    edited.
    """
    files = sorted(path for pattern in CODE for path in (ROOT / "scripts").rglob(pattern))
    found: dict[str, Any] = {
        "version": VERSION,
        "scripts": digest([[str(path.relative_to(ROOT)), file_digest(path)] for path in files]),
    }
    head = _git("rev-parse", "--show-prefix", "HEAD")
    if head and head[0] == "":  # else the repository is another, around this one
        found["commit"] = head[1]
        found["dirty"] = bool(_git("status", "--porcelain", "--", "scripts", "rules", "Snakefile"))
    return found


def _git(*words: str) -> list[str] | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


@cache
def software() -> dict[str, str]:
    """The versions of this Python and of what it has of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def nemo(command: Sequence[str] | None, launch: Launch) -> dict[str, str]:
    """The software of a NeMo program: its container, or the versions of its Python's packages."""
    if launch.container:
        return {"container": launch.container}
    python = command[0] if command else ""
    return _versions(python) if Path(python).name.startswith("python") else {}


@cache
def _versions(python: str) -> dict[str, str]:
    try:
        done = subprocess.run(
            [python, "-c", ASK, *NEMO], capture_output=True, text=True, timeout=LONGEST
        )
        versions: dict[str, str] = json.loads(done.stdout)
        return versions
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return {}


@cache
def machine() -> dict[str, Any]:
    """System, processor and usable cores: the last bits of a result depend on them."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor() or platform.processor() or None,
        "cores": len(os.sched_getaffinity(0)),
    }


def _processor() -> str:
    """The processor's name as Linux has it; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def job(gpus: int = 0) -> dict[str, Any]:
    """Where and when this process runs, and what of its GPUs' time it has taken so far."""
    seconds = time.time() - _began
    return {
        "host": platform.node(),
        "machine": machine(),
        "process": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "gpus": gpus,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(_began)),
        "seconds": round(seconds, 1),
        "gpu_hours": round(seconds * gpus / 3600, 4),
    }
