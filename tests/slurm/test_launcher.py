"""What the launcher starts on a real Slurm: how many processes, on which nodes, with which GPUs."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.project import ROOT
from tests.slurm.lab import GPU_NODES

from cai.running.launch import Launch, split

ONE_NODE = {"launcher": "srun", "nodes": 1, "gres": "gpu:8", "mem_mb": 80000, "cpus_per_task": 2}
MEMORY = "$(scontrol show step $SLURM_JOB_ID.$SLURM_STEP_ID | grep -oP '(?<=mem=)\\d+')"
SHOW = f'echo "$SLURMD_NODENAME $SLURM_PROCID/$SLURM_NTASKS $CUDA_VISIBLE_DEVICES {MEMORY}"'
# Ends when the other part, too, has come to this point: only if both run at the same time.
MEET = (
    "touch {own}; for i in $(seq 100); do [ -e {other} ] && break; sleep 0.1; done; [ -e {other} ]"
)
ALONE = (  # as the executor leaves the environment to the program of a rule
    "for name in $(compgen -e | grep ^SLURM_); do"
    " case $name in SLURM_JOB_ID|SLURM_SUBMIT_DIR) ;; *) unset $name ;; esac; done; "
)

Run = Callable[[str, str], str]


@pytest.fixture
def run(cluster, tmp_path) -> Run:
    """Run bash in a job of its own; returns what it has said."""

    def run(options: str, script: str) -> str:
        path = tmp_path / "job.sh"
        path.write_text(f"set -euo pipefail\n{ALONE}\ncd {ROOT}\n{script}\n")
        command = ["salloc", "--quiet", *options.split(), "bash", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    return run


def started(launch: Launch, *program: str) -> str:
    """The command line that starts a program."""
    text = launch.model_dump_json(exclude_defaults=True)
    words = [sys.executable, "scripts/launch.py", "--launch", text, "--", *program]
    return shlex.join(words)


def python(code: str) -> str:
    """The command line that runs a line of Python with the project's library."""
    return f"PYTHONPATH=scripts {shlex.join([sys.executable, '-c', code])}"


def rows(said: str) -> list[list[str]]:
    return sorted(line.split(" ") for line in said.splitlines())


def test_each_gpu_of_each_node_has_one_process(run: Run):
    launch = Launch(launcher="srun", nodes=2, gres="gpu:4", cpus_per_task=2)
    said = run("-N2 --ntasks-per-node=4 -c2 --gres=gpu:4", started(launch, "bash", "-c", SHOW))
    found = rows(said)
    nodes = [row[0] for row in found]
    assert len(set(nodes)) == 2
    assert [nodes.count(node) for node in set(nodes)] == [4, 4]
    assert sorted(row[1] for row in found) == [f"{rank}/8" for rank in range(8)]
    assert all(row[2].count(",") == 3 for row in found)


def test_a_program_is_told_the_sizes(run: Run):
    launch = Launch(launcher="srun", nodes=2, gres="gpu:3")
    said = run(
        "-N2 --ntasks-per-node=3 --gres=gpu:3",
        started(launch, "echo", "trainer.num_nodes=NODES", "devices=DEVICES", "tp=RANKS"),
    )
    assert set(said.splitlines()) == {"trainer.num_nodes=2 devices=3 tp=6"}


@pytest.mark.parametrize(("critic_nodes", "nodes"), [(1, 3), (2, 3)])
def test_critic_and_actor_have_nodes_of_their_own(run: Run, tmp_path, critic_nodes, nodes):
    whole = ONE_NODE | {"nodes": nodes, "gres": "gpu:2", "critic_nodes": critic_nodes}
    critic, actor = together(
        run, f"-N{nodes} --ntasks-per-node=2 -c2 --gres=gpu:2", whole, tmp_path
    )
    on = [{row[0] for row in rows(part)} for part in (critic, actor)]
    assert [len(found) for found in on] == [critic_nodes, nodes - critic_nodes]
    assert not on[0] & on[1]
    assert sorted(row[1] for row in rows(actor)) == [
        f"{rank}/{2 * len(on[1])}" for rank in range(2 * len(on[1]))
    ]


@pytest.mark.parametrize(("given", "gpus"), [({}, (4, 4)), ({"critic_gpus": 2}, (2, 6))])
def test_critic_and_actor_share_the_gpus_and_the_memory_of_one_node(
    run: Run, tmp_path, given, gpus
):
    options = "-N1 --ntasks-per-node=8 -c2 --gres=gpu:8 --mem=80000"
    parts = together(run, options, ONE_NODE | given, tmp_path)
    devices = []
    for said, count in zip(parts, gpus, strict=True):
        found = rows(said)
        assert len(found) == count
        (own,) = {row[2] for row in found}
        devices.append(set(own.split(",")))
        assert {row[3] for row in found} == {str(10000 * count)}
    assert [len(own) for own in devices] == list(gpus)
    assert not devices[0] & devices[1]


def together(run: Run, options: str, resources: dict[str, Any], folder: Path) -> list[str]:
    """Start critic and actor side by side in one job; returns what each has said."""
    names = ["critic", "actor"]
    lines = []
    for name, other, launch in zip(names, reversed(names), split(resources), strict=True):
        meet = MEET.format(own=folder / f"{name}.up", other=folder / f"{other}.up")
        command = started(launch, "bash", "-c", f"{SHOW}; {meet}")
        lines.append(f"{command} > {folder / name} & {name}=$!")
    run(options, "\n".join([*lines, "wait $critic", "wait $actor"]))
    return [(folder / name).read_text() for name in names]


def test_the_second_node_has_a_name_and_a_free_port(run: Run):
    code = (
        "import json; from cai.running.launch import Launch; "
        "from cai.running.launcher import Launcher; "
        "one = Launch(launcher='srun', nodes=2); "
        "two = Launch(launcher='srun', nodes=1, first_node=1); "
        "print(json.dumps([[Launcher(o).host(), Launcher(o).free_port()] for o in (one, two)]))"
    )
    (first, port), (second, other) = json.loads(run("-N2 --ntasks-per-node=1", python(code)))
    assert first != second and {first, second} <= set(GPU_NODES)
    assert 0 < int(port) < 65536 and 0 < int(other) < 65536


def test_one_process_that_fails_ends_all(run: Run):
    launch = Launch(launcher="srun", nodes=2)
    program = 'if [ "$SLURM_PROCID" = 1 ]; then exit 3; fi; sleep 600'
    command = started(launch, "bash", "-c", program)
    said = run("-N2 --ntasks-per-node=1", f"{command} || echo it ended with $?")
    assert "it ended with" in said


def test_a_stopped_program_leaves_nothing_on_the_nodes_and_has_time_to_clean_up(run: Run, tmp_path):
    """As pyxis needs it, which removes the image of a step after its tasks have ended."""
    cleans = f"sleep 3; touch {tmp_path}/clean.$SLURM_PROCID; exit 0"
    script = f"trap '{cleans}' TERM; touch {tmp_path}/up.$SLURM_PROCID; sleep 600 & wait"
    code = f"""
import time
from pathlib import Path
from cai.running.launch import Launch
from cai.running.launcher import Launcher
folder = Path({str(tmp_path)!r})
launcher = Launcher(Launch(launcher="srun", nodes=2))
with launcher.start(["bash", "-c", {script!r}], {{}}, folder / "log", "server"):
    while len(list(folder.glob("up.*"))) < 2:
        time.sleep(0.1)
"""
    steps = "squeue --noheader --steps --jobs $SLURM_JOB_ID --format %i | grep -E '[.][0-9]+$'"
    said = run("-N2 --ntasks-per-node=1", f"{python(code)}\n{steps} || echo no step is left")
    assert said == "no step is left\n"
    assert {path.name for path in tmp_path.glob("clean.*")} == {"clean.0", "clean.1"}


SERVE = """
import sys
from cai.asking.serving import Served
from cai.running.launch import Launch
from cai.running.launcher import Launcher
from cai.running.ports import owner
server = [sys.executable, "-m", "http.server", "FREE_PORT", "--bind", "127.0.0.1"]
launcher = Launcher(Launch(launcher="srun", one_task=True))
with Served(server, None, sys.argv[1], launcher=launcher) as served:
    port = int(served.url.rpartition(":")[2])
    print(owner(port, served._program), served._program.argv[0])
"""


def test_a_server_that_slurm_starts_is_known_as_ours(run: Run, tmp_path):
    """It is no descendant of the program that asks it, but it has its mark."""
    assert run("-N1", f"{python(SERVE)} {tmp_path}/log") == "ours srun\n"
