"""What all tests share."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tests.nemo_eval import nemo_eval
from xdist.scheduler import LoadFileScheduling

from cai.asking.serving import Served

ROOT = Path(__file__).parent.parent

# A copy of the project runs with this environment, whose library is the checkout's: each program is
# to take that of the folder where it is started.
os.environ["PYTHONPATH"] = "scripts"
os.environ["CAI_JOB_LINES"] = "no"  # tests read what Snakemake itself says

settings.register_profile("project", deadline=None)  # a busy machine is not wrong
settings.register_profile("quick", parent=settings.get_profile("project"), max_examples=10)
settings.load_profile("project")

# What a test needs beyond this Python, by the fixtures that it takes.
NEEDS = {
    "nemo": {"nemo_python", "serve_cpu", "smollm2", "vllm_cpu", "harness_program"},
    "slurm": {"cluster"},
    "browser": {"browser"},
    "slow": {"planned", "finished"},  # a dry run of all rules; all programs of an evaluation
}
# Folders whose tests start many processes.
HEAVY = {"end_to_end", "nemo_cpu", "slurm"}
TOGETHER = {"nemo_cpu", "slurm"}  # those whose files share a server, or a cluster
# What takes longest is begun first, so that the quick tests fill what is left of the time.
LONGEST = [
    "slurm",
    "test_same_twice.py",
    "test_smollm2.py",
    "test_loop.py",
    "test_frozen.py",
    "test_paper_runs.py",
    "nemo_cpu",
    "test_other_servers.py",
    "end_to_end",
]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # What a shell runs in the background is deaf to Ctrl-C, and so is all that tests start with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Together(LoadFileScheduling):  # type: ignore[misc]  # its base has no types
    """The tests of a file run in one process, and those of folders that share what they make."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # in the order of the items, see below

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        folder = file.parent.name
        return folder if folder in TOGETHER else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """How pytest-xdist shares the tests out."""
    return Together(config, log)


def _place(item: pytest.Item) -> tuple[int, bool]:
    """Where a test stands in the order: among the longest, with the slow ones, or with the rest."""
    names = {item.path.name, item.path.parent.name}
    place = next((n for n, name in enumerate(LONGEST) if name in names), len(LONGEST))
    return place, not any(item.get_closest_marker(marker) for marker in ("slow", *NEEDS))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers that follow from fixtures and folders, see pyproject.toml; and the order."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        for marker, any_of in NEEDS.items():
            if fixtures & any_of:
                item.add_marker(marker)
        if item.path.parent.name in HEAVY:
            item.add_marker("heavy")
    items.sort(key=_place)


def _made(path: str, by: str) -> Path:
    """What an environment has; without it a test is skipped, but never in CI."""
    place = ROOT / ".envs" / path
    if not place.exists() and not os.environ.get("CI"):
        pytest.skip(f"what the test needs is missing: make {by}")
    return place


@pytest.fixture(scope="session")
def nemo_python() -> str:
    """The Python of the NeMo environment."""
    return str(_made("nemo-cpu/bin/python", by="nemo-cpu"))


@pytest.fixture(scope="session")
def serve_cpu() -> str:
    """The program that serves a Hugging Face folder with transformers."""
    _made("serve-cpu/bin/transformers", by="serve-cpu")
    return str(ROOT / "envs/serve-cpu/serve")


@pytest.fixture(scope="session")
def vllm_cpu() -> str:
    """The program that serves a Hugging Face folder with vLLM, on one core.

    Threads on two cores wait for each other at each layer, and beside other tests one of them is
    always behind: answers took ten times as long.
    """
    _made("vllm-cpu/.ready", by="vllm-cpu")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", str(worker % (os.cpu_count() or 1)))
    return str(ROOT / "envs/vllm-cpu/serve")


@pytest.fixture(scope="session")
def harness_program() -> str:
    """lm-evaluation-harness."""
    return str(_made("harness/bin/lm_eval", by="harness"))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct."""
    return _made("smollm2/model", by="smollm2")


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in configurations are relative to the root of the project."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty configuration: Slurm refuses it at once, and waits a minute for a missing one."""
    path = tmp_path_factory.mktemp("no_slurm") / "slurm.conf"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def _no_cluster(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _empty: Path
) -> None:
    """A cluster near by, such as that of tests/slurm or a login node's, must not matter here."""
    if request.path.parent.name != "slurm":
        monkeypatch.setenv("SLURM_CONF", str(_empty))


@pytest.fixture(scope="session")
def tiny_model(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's instruct model as a ``.nemo`` file."""
    model = tmp_path_factory.mktemp("model") / "instruct.nemo"
    program = ROOT / "scripts/convert_hf_to_nemo.py"
    subprocess.run([nemo_python, program, ROOT / "demo/models/instruct", model], check=True)
    return model


@pytest.fixture(scope="session")
def nemo_server(tiny_model: Path) -> Iterator[Served]:
    """NeMo's own server with the demo's instruct model, started once for all tests."""
    log = tiny_model.with_suffix(".log")
    with Served(nemo_eval(tiny_model, "bf16-mixed"), None, log, start_timeout=180) as served:
        assert served.url  # so that a server that does not start fails the tests once
        yield served
