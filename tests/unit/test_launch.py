"""How a job's resources become the command lines of its programs."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.errors import UserError
from cai.launch import Launch, Launcher, launch_of, split

ROOT = Path(__file__).parent.parent.parent
COUNTS = st.integers(1, 16)


@given(nodes=COUNTS, gpus=COUNTS, model=st.sampled_from(["", "h100:", "3g.20gb:"]))
def test_nemo_is_told_the_sizes_that_slurm_gives(nodes, gpus, model):
    launch = launch_of({"launcher": "srun", "nodes": nodes, "gres": f"gpu:{model}{gpus}"})
    line = Launcher(launch).command(["nemo", "a=NODES", "b=DEVICES", "c=RANKS", "d=NODESX"], {})
    assert line[-4:] == [f"a={nodes}", f"b={gpus}", f"c={nodes * gpus}", "d=NODESX"]
    assert f"--nodes={nodes}" in line and f"--ntasks={nodes * gpus}" in line
    assert f"--ntasks-per-node={gpus}" in line and f"--gres=gpu:{model}{gpus}" in line


@given(data=st.data(), nodes=st.integers(2, 16))
def test_critic_and_actor_have_all_nodes_and_none_twice(data, nodes):
    mine = data.draw(st.integers(1, nodes - 1))
    resources = {"launcher": "srun", "nodes": nodes, "gres": "gpu:8", "critic_nodes": mine}
    parts = split(resources)
    used = [n for part in parts for n in range(part.first_node, part.first_node + part.nodes)]
    assert used == list(range(nodes))


@given(data=st.data(), gpus=st.integers(2, 16), memory=st.integers(1000, 2_000_000))
def test_on_one_node_critic_and_actor_have_all_gpus_and_none_twice(data, gpus, memory):
    mine = data.draw(st.integers(1, gpus - 1))
    resources = {"gres": f"gpu:h100:{gpus}", "critic_gpus": mine, "mem_mb": memory}
    parts = split(resources)
    used = [Launcher(part).environment({})["CUDA_VISIBLE_DEVICES"].split(",") for part in parts]
    assert [*used[0], *used[1]] == [str(n) for n in range(gpus)]
    assert sum(part.mem_mb for part in parts) <= memory
    assert all(part.gres.startswith("gpu:h100:") for part in parts)


def test_a_part_of_the_gpus_that_the_user_has_left_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    critic, actor = split({"gres": "gpu:4", "critic_gpus": 1})
    assert Launcher(critic).environment({})["CUDA_VISIBLE_DEVICES"] == "3"
    assert Launcher(actor).environment({})["CUDA_VISIBLE_DEVICES"] == "5,6,7"


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"launcher": "docker"}, "launcher: Input should be 'direct', 'srun', 'pyxis'"),
        ({"launcher": "pyxis"}, "launcher pyxis needs a container"),
        ({"launcher": "srun", "gres": "tpu:8"}, "gres: expected gpu:N or gpu:TYPE:N, found tpu:8"),
        (
            {"launcher": "srun", "node_address": "{host}"},
            "node_address: expected a text with {node}",
        ),
        ({"runtime": -1}, "runtime: Input should be greater than or equal to 1, found -1"),
        ({"nodes": 2}, "launcher direct runs on one node, found 2 nodes"),
        ({"environment": "HF_HOME"}, "environment: expected NAME=VALUE, separated by spaces"),
        ({"launcher": "srun", "nodes": 2, "critic_nodes": 2}, "critic_nodes: must be from 1 to 1"),
        ({"gres": "gpu:8", "critic_gpus": 8}, "critic_gpus: must be from 1 to 7 of 8 GPUs"),
        ({"gres": "gpu:1"}, "critic_gpus: PPO on one node needs 2 GPUs or more, found gpu:1"),
    ],
)
def test_a_mistake_in_the_profile_is_told_in_one_line(resources, told):
    with pytest.raises(UserError) as error:
        split(resources, "rl_cai")
    line = str(error.value)
    assert line.startswith("profile: resources of rule rl_cai: ") and told in line
    assert "\n" not in line


def test_variables_that_the_image_must_not_replace_are_named_to_pyxis():
    launch = Launch(launcher="pyxis", container="x.sqsh", environment="NCCL_DEBUG=INFO A='b c'")
    line = Launcher(launch).command(["nemo"], {"MASTER_PORT": "1"})
    assert "--container-env=A,MASTER_PORT,NCCL_DEBUG" in line
    assert Launcher(launch).environment({"MASTER_PORT": "1"}) == {
        **{"NCCL_DEBUG": "INFO", "A": "b c"},
        "MASTER_PORT": "1",
    }


def test_a_launcher_that_needs_slurm_says_so_outside_of_it(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="needs a Slurm job: run snakemake with --profile slurm"):
        Launcher(Launch(launcher="srun")).host()


def test_the_program_becomes_what_it_launches():
    command = [sys.executable, str(ROOT / "scripts/launch.py"), "--launch", '{"gres": "gpu:4"}']
    done = subprocess.run(
        [*command, "--", "sh", "-c", "echo $0 $PPID; exit 7", "n=RANKS"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7
    assert done.stdout.startswith("n=4 ")


def test_a_program_that_is_not_there_is_told_in_one_line():
    command = [sys.executable, str(ROOT / "scripts/launch.py"), "--", "no-such-program"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: no-such-program: cannot be run: No such file or directory\n"
