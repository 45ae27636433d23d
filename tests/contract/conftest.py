"""What the tests of the contract with upstream share: the commands of a run, and NeMo's roots."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cai.checks.contract import CONFIGURATIONS
from cai.nemo import programs
from cai.nemo.own_overrides import Program

ROOT = Path(__file__).parents[2]
STAND_INS = (ROOT / "envs/nemo-cpu/opt/NeMo", ROOT / "envs/nemo-cpu/opt/NeMo-Aligner")
RUNS = {
    "cluster": ["--", "all", "results/dpo_cai.nemo"],
    "demo": ["--configfile", "config/demo.yaml", "--", "all", "results/demo/dpo_cai.nemo"],
}
ENDS = {"--", "2>&1", "|"}

Command = tuple[Program, list[str]]  # the program and its overrides
Check = Callable[..., subprocess.CompletedProcess]


def configuration(program: Program) -> Path:
    """The stand-in's configuration of a program; its keys and defaults are upstream's."""
    folder = STAND_INS[program != "server"] / programs.PROGRAMS[program]
    return folder.parent / "conf" / f"{CONFIGURATIONS[program]}.yaml"


@pytest.fixture(scope="session", params=sorted(RUNS))
def planned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Command]:
    """Every command of NeMo in the jobs of a whole run, as Snakemake prints them."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "-p", "--forceall", "--nolock", "--cores", "2"]
        + RUNS[request.param],
        cwd=ROOT,
        env={"HOME": str(tmp_path_factory.mktemp("home")), "PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [
        (program, arguments(rest))
        for program, path in programs.PROGRAMS.items()
        for rest in re.findall(rf"\S/{re.escape(path)} (.*)", done.stdout)
    ]


def arguments(line: str) -> list[str]:
    """The words of a shell command up to the end of one program's."""
    words = shlex.split(line)
    return words[: next(i for i, word in enumerate(words) if word in ENDS)]


@pytest.fixture(scope="session", params=["stand-ins", "checkouts"])
def roots(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The folders of NeMo and NeMo-Aligner: the stand-ins, and a user's own checkouts."""
    if request.param == "stand-ins":
        return STAND_INS
    named = [os.environ.get(name) for name in ("CAI_NEMO_ROOT", "CAI_ALIGNER_ROOT")]
    if not all(named):
        pytest.skip("CAI_NEMO_ROOT and CAI_ALIGNER_ROOT name no checkouts")
    return Path(named[0]), Path(named[1])


@pytest.fixture(scope="session")
def check_nemo(nemo_python: str) -> Check:
    """Runs check_nemo.py as in NeMo's container: there is Hydra, but none of our libraries.

    Neither is NeMo's to be imported: that takes a minute, and may need a GPU.
    """
    missing = ["pydantic", "requests", "numpy", "torch", "nemo", "nemo_aligner", "megatron"]
    program = ROOT / "scripts/check_nemo.py"
    code = (
        "import runpy, sys;"
        f"sys.modules.update(dict.fromkeys({missing}));"
        f"sys.path.insert(0, {str(program.parent)!r});"
        f"runpy.run_path({str(program)!r}, run_name='__main__')"
    )

    def check(*options: object) -> subprocess.CompletedProcess:
        command = [nemo_python, "-c", code, *map(str, options)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return check
