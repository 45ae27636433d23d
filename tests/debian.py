"""Packages of Debian that tests need, and that no Python environment holds."""

import os
import shutil
import subprocess
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")


class NotInstalled(Exception):
    """Why packages cannot be installed, in one line."""


def install(*packages: str) -> None:
    """Install packages without starting what they hold.

    Raises:
        NotInstalled: this is no Debian, or apt-get fails.
    """
    if not shutil.which("apt-get"):
        raise NotInstalled(f"{', '.join(packages)} are missing, and there is no apt-get")
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(
                ["apt-get", "-qq", *command], env=environment, capture_output=True, text=True
            )
            if done.returncode:
                raise NotInstalled(f"apt-get {command[0]}: {done.stderr.strip()[-500:]}")
    finally:
        if ours:
            POLICY.unlink()
