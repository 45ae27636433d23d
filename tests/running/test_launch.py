"""How a job's resources become the command lines of its programs."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.messages import says

from cai.core.errors import UserError
from cai.running.launch import Launch, launch_of, split
from cai.running.launcher import Launcher
from cai.running.process import with_variables

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
        ({"launcher": "docker"}, "launcher: … 'direct', 'srun', 'pyxis'"),
        ({"launcher": "pyxis"}, "pyxis … container"),
        ({"launcher": "srun", "gres": "tpu:8"}, "gres: … gpu:N … gpu:TYPE:N … found tpu:8"),
        (
            {"launcher": "srun", "node_address": "{host}"},
            "node_address: … {node}",
        ),
        ({"runtime": -1}, "runtime: … 1, found -1"),
        ({"nodes": 2}, "direct … one node … found 2"),
        (
            {"environment": "HF_HOME"},
            "environment: … NAME=VALUE, -NAME or +NAME",
        ),
        ({"launcher": "srun", "nodes": 2, "critic_nodes": 0}, "critic_nodes: … from 1 to 1"),
        ({"gres": "gpu:8", "critic_gpus": 0}, "critic_gpus: … from 1 to 7 … 8 GPUs"),
        ({"gres": "gpu:8", "critic_gpus": 2.5}, "critic_gpus: … from 1 to 7 … 8 GPUs"),
        ({"nodes": 0}, "nodes: … 1, found 0"),
        ({"runtime": 0}, "runtime: … 1, found 0"),
        (
            {"launcher": "pyxis", "container": "a", "srun_options": "--container-name=nemo"},
            "srun_options: found --container-name; accepted: none",
        ),
        ({"launcher": "srun", "nodes": 2, "critic_nodes": 2}, "critic_nodes: … from 1 to 1"),
        ({"gres": "gpu:8", "critic_gpus": 8}, "critic_gpus: … from 1 to 7 … 8 GPUs"),
        ({"gres": "gpu:1"}, "critic_gpus: … 2 GPUs … found gpu:1"),
    ],
)
def test_a_mistake_in_the_profile_is_told_in_one_line(resources, told):
    with pytest.raises(UserError) as error:
        split(resources, "rl_cai")
    line = str(error.value)
    assert line.startswith("profile: resources of rule rl_cai: ") and says(line, told)
    assert "\n" not in line


def test_variables_that_the_image_must_not_replace_are_named_to_pyxis(here):
    launch = Launch(launcher="pyxis", container="x", environment="NCCL_DEBUG=INFO A='b c'")
    launcher = Launcher(launch)
    given = launcher.environment({"MASTER_PORT": "1"})
    assert given.items() >= {"NCCL_DEBUG": "INFO", "A": "b c", "MASTER_PORT": "1"}.items()
    names = named_to_pyxis(launcher.command(["nemo"], {"MASTER_PORT": "1"}))
    assert names == {name for name, text in given.items() if text is not None}


def named_to_pyxis(line):
    (option,) = [word for word in line if word.startswith("--container-env=")]
    return set(option.partition("=")[2].split(","))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contained(launcher, **fields):
    return Launcher(Launch(launcher=launcher, container="/images/nemo", **fields))


@pytest.mark.parametrize("kind", ["pyxis", "apptainer"])
def test_programs_in_a_container_can_write_and_have_a_home_that_is_not_the_users(here, kind):
    """NeMo makes folders in HOME when it is imported, and images are read-only by default."""
    launcher = contained(kind, gres="gpu:8")
    line = launcher.command(["nemo"], {})
    home = here / ".envs/home"
    assert home.is_dir()
    if kind == "pyxis":
        assert {"--container-writable", "--no-container-mount-home"} <= set(line)
        assert launcher.environment({})["HOME"] == str(home) and "HOME" in named_to_pyxis(line)
    else:
        assert "--writable-tmpfs" in line
        assert line[line.index("--home") + 1] == str(home)


@pytest.mark.parametrize("kind", ["pyxis", "apptainer"])
def test_a_profile_says_otherwise_about_the_container(here, kind):
    resources = {"launcher": kind, "container": "/images/nemo", "environment": "HOME=/tmp/mine"}
    launcher = Launcher(launch_of({**resources, "container_options": ""}))
    line = launcher.command(["nemo"], {})
    assert not {"--container-writable", "--writable-tmpfs"} & set(line)
    assert launcher.environment({})["HOME"] == "/tmp/mine"
    chosen = launch_of({**resources, "container_options": "--a --b=c"})
    assert [word for word in Launcher(chosen).command(["x"], {}) if word in ("--a", "--b=c")]


def test_a_container_does_not_get_what_is_the_hosts_own(here, monkeypatch):
    hosts = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"), "/host")
    for name, text in {**hosts, "LANG": "de_DE.UTF-8", "OTHER": "1"}.items():
        monkeypatch.setenv(name, text)
    launcher = contained("pyxis")
    found = with_variables(launcher.environment({}))
    assert not hosts.keys() & found.keys() and found["OTHER"] == "1"
    assert found["LANG"] == "de_DE.UTF-8"
    assert "LANG" in named_to_pyxis(launcher.command(["nemo"], {}))
    chosen = contained("pyxis", environment="PYTHONPATH=/opt/mine")
    assert with_variables(chosen.environment({}))["PYTHONPATH"] == "/opt/mine"
    without = Launcher(Launch(launcher="srun"))
    assert with_variables(without.environment({}))["PYTHONPATH"] == "/host"


def test_a_job_without_gpus_does_not_ask_for_them_in_a_container(here):
    """The images of NVIDIA ask for all: on a node without a driver they would not start."""
    assert contained("pyxis").environment({})["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in contained("pyxis", gres="gpu:1").environment({})


@pytest.mark.parametrize(
    ("fields", "threads"),
    [
        ({"cpus_per_task": 8, "gres": "gpu:4"}, "8"),
        ({"cpus_per_task": 8, "gres": "gpu:4", "one_task": True}, "32"),
        ({}, None),
        ({"cpus_per_task": 8, "environment": "OMP_NUM_THREADS=3"}, "3"),
    ],
)
def test_a_process_has_the_threads_of_its_cpus(monkeypatch, fields, threads):
    """Snakemake's shell sets them to 1."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    given = Launcher(Launch(launcher="srun", **fields)).environment({})
    assert with_variables(given).get("OMP_NUM_THREADS") == threads


def test_on_this_machine_threads_stay_as_they_are(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert with_variables(Launcher().environment({}))["OMP_NUM_THREADS"] == "1"


def test_a_variable_can_be_set_and_taken_away(monkeypatch):
    monkeypatch.setenv("NCCL_ALGO", "Ring")
    assert with_variables(Launcher().environment({}))["NCCL_ALGO"] == "Ring"
    for text, value in (("NCCL_ALGO=Tree", "Tree"), ("-NCCL_ALGO", None)):
        launch = launch_of({"environment": text})
        again = Launch.model_validate_json(launch.model_dump_json(exclude_defaults=True))
        assert with_variables(Launcher(again).environment({})).get("NCCL_ALGO") == value


def test_an_image_of_this_folder_is_named_by_its_whole_path(here):
    """pyxis takes a name without a slash for one of a registry."""
    launcher = Launcher(Launch(launcher="pyxis", container="nemo.sqsh"))
    with pytest.raises(UserError, match=r"container: nemo\.sqsh: no such file in "):
        launcher.command(["nemo"], {})
    (here / "nemo.sqsh").touch()
    assert f"--container-image={here}/nemo.sqsh" in launcher.command(["nemo"], {})
    named = Launcher(Launch(launcher="pyxis", container="registry.example#nvidia/nemo:25.02"))
    assert "--container-image=registry.example#nvidia/nemo:25.02" in named.command(["nemo"], {})


@pytest.mark.parametrize(("given", "seconds"), [(0, 3600), (5, 3300), (None, 2700), (90, 1800)])
def test_a_training_stops_so_many_minutes_before_the_end(given, seconds):
    assert launch_of({"runtime": 60, "stop_before": given}).seconds == seconds


def test_a_launcher_that_needs_slurm_says_so_outside_of_it(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match=r"Slurm job.*--profile slurm"):
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


@pytest.mark.parametrize(
    ("fields", "folder"),
    [
        ({"launcher": "srun"}, "/scratch/7"),
        ({"launcher": "srun", "environment": "TMPDIR=/local"}, "/local"),
        ({"launcher": "srun", "environment": "+TMPDIR"}, "/scratch/7"),
        ({"launcher": "apptainer"}, "/tmp"),
        ({"launcher": "pyxis"}, None),  # the container's own memory
        ({"launcher": "pyxis", "mounts": "/disk:/tmp"}, "/disk"),
        ({"launcher": "pyxis", "mounts": "/scratch:/scratch:rw"}, "/scratch/7"),
        ({"launcher": "pyxis", "mounts": "/d:/tmp", "environment": "TMPDIR=/tmp/mine"}, "/d/mine"),
    ],
)
def test_where_temporary_files_of_a_program_are_on_this_host(monkeypatch, here, fields, folder):
    monkeypatch.setenv("TMPDIR", "/scratch/7")
    launch = Launch(container="/images/nemo", **fields)
    found = Launcher(launch).temporary()
    assert found == (Path(folder) if folder else None)


@pytest.mark.parametrize("name", ["a:b", "a,b"])
@pytest.mark.parametrize("launcher", ["pyxis", "apptainer"])
def test_a_folder_that_no_container_can_mount_is_refused(tmp_path, monkeypatch, name, launcher):
    given = {"launcher": launcher, "container": "x.sif"}
    assert launch_of(given).container == "x.sif"
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(UserError, match="cannot mount this folder"):
        launch_of(given)
    assert launch_of({"launcher": "direct"}).launcher == "direct"
