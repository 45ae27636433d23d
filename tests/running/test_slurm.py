"""What Slurm's commands print is understood; where they are absent, nothing is claimed."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.messages import says

from cai.running import slurm
from cai.running.slurm import Ended, Request

SINFO = """\
gpu*|7-00:00:00|2|gpu:h100:8|64|2000000
gpu*|7-00:00:00|5|gpu:a100:4(S:0-1)|128|512000
short|30:00|4|gpu:8|64|500000
cpu|infinite|10|(null)|64|256000
mixed|1-00:00:00|1|gpu:h100:2(S:0),gpu:a100:2(S:1),nvme:1|32|128000
"""


@pytest.fixture
def slurm_says(monkeypatch, tmp_path):
    """Put commands that print what Slurm's have printed first in the PATH."""

    def put(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / f"{name}.txt").write_text(text)
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\ncat {tmp_path}/{name}.txt\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


@pytest.fixture
def _no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("_no_slurm")
def test_without_slurm_nothing_is_claimed(tmp_path):
    assert slurm.ended(["12"]) == {}
    assert slurm.leftovers({"sl_cai"}, tmp_path) == []
    assert slurm.partitions() is None
    assert slurm.problems({"sl_cai": Request("nowhere", 10**6)}) == []


def test_a_command_that_does_not_answer_claims_nothing(slurm_says, tmp_path, monkeypatch):
    slurm_says(sinfo="")
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(slurm, "PATIENCE", 0.2)
    assert slurm.problems({"sl_cai": Request("gpu", 10**6)}) == []


@given(st.integers(1, 20), st.integers(0, 23), st.integers(0, 59))
def test_a_time_limit_is_read_as_minutes(days, hours, minutes):
    assert slurm.minutes(f"{days}-{hours:02}:{minutes:02}:00") == (days * 24 + hours) * 60 + minutes


def test_limits_are_those_of_the_partitions(slurm_says):
    slurm_says(sinfo=SINFO)
    limits = {"gpu": 10080, "short": 30, "cpu": None, "mixed": 1440}
    assert {name: each.limit for name, each in slurm.partitions().items()} == limits


@pytest.mark.parametrize(
    "request_",
    [
        Request("gpu", 10080, nodes=2, gres="gpu:8", cpus=64, mem_mb=2000000),
        Request("gpu", gres="gpu:h100:8"),
        Request("gpu", nodes=7, gres="gpu:4"),
        Request("cpu", 10**6),
        Request(None, 10080, gres="gpu"),
        Request("mixed", gres="gpu:4"),
        Request("short,gpu", 60, gres="gpu:8"),
    ],
)
def test_what_a_partition_has_is_no_problem(slurm_says, request_):
    slurm_says(sinfo=SINFO)
    assert slurm.problems({"sl_cai": request_}) == []


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (Request("short", 31), "runtime 31 min … short … 30 min"),
        (Request(None, 10081), "runtime 10081 min … gpu … 10080 min"),
        (
            Request("gpus"),
            "slurm_partition: no partition gpus … cpu, gpu, mixed, short",
        ),
        (
            Request("mixed", gres="gpu:8"),
            "partition mixed … gpu:8 … gpu:h100:2,gpu:a100:2",
        ),
        (
            Request("gpu", gres="gpu:a100:8"),
            "partition gpu … gpu:a100:8 … gpu:a100:4",
        ),
        (Request("cpu", gres="gpu:1"), "partition cpu … gpu:1 … no GPU"),
        (
            Request("gpu", gres="gpu:8", cpus=128),
            "128 CPUs a node: … partition gpu … gpu:8 … 64",
        ),
        (
            Request("cpu", mem_mb=256001),
            "mem_mb 256001: … partition cpu … 256000",
        ),
        (Request("gpu", nodes=3, gres="gpu:8"), "nodes 3: partition gpu has 2"),
        (Request("gpu", cpus=128, mem_mb=512001), "nodes 1: partition gpu has 0"),
        (Request("short,cpu", gres="gpu:16"), "partition short … gpu:16"),
    ],
)
def test_what_no_partition_has_is_a_line(slurm_says, request_, line):
    slurm_says(sinfo=SINFO)
    (said,) = slurm.problems({"sl_cai": request_})
    assert says(said, f"profile: rule sl_cai: … {line}")


def test_a_request_is_what_the_executor_passes_to_sbatch():
    given = {
        "slurm_partition": "gpu",
        "gres": "gpu:8",
        "mpi": "srun",
        "nodes": 2,
        "tasks_per_node": 8,
        "cpus_per_task": 8,
        "mem_mb": 400000,
        "runtime": 480,
    }
    expected = Request("gpu", 480, nodes=2, gres="gpu:8", cpus=64, mem_mb=400000)
    assert slurm.request_of(given) == expected


def test_a_resource_that_is_not_known_yet_is_not_judged():
    assert slurm.request_of({"runtime": "<TBD>", "cpus_per_task": -1}) == Request()


def test_ends_come_from_the_queue_and_then_from_the_accounting(slurm_says):
    slurm_says(
        squeue="12|TIMEOUT|1:00|gpu1\n13|CANCELLED|10:00|\n",
        sacct="14|CANCELLED by 1000|02:00:00|gpu[1-2]\n15|NODE_FAIL|1-00:00:00|gpu3\n"
        "16|CANCELLED by 1000|02:00:00|None assigned\n",
    )
    assert slurm.ended(["12", "13", "14", "15", "16", "17"]) == {
        "12": Ended("TIMEOUT", 1, "gpu1"),
        "13": Ended("CANCELLED", 10),
        "14": Ended("CANCELLED", 120, "gpu[1-2]"),
        "15": Ended("NODE_FAIL", 1440, "gpu3"),
        "16": Ended("CANCELLED", 120),
    }


def test_leftovers_are_the_jobs_of_this_folder_and_of_rules_that_are_to_run(slurm_says, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    slurm_says(
        squeue=f"12|RUNNING|{tmp_path}|rule_sl_cai\n"
        f"13|PENDING|{tmp_path}/link|rule_responses_wildcards_3\n"
        f"14|RUNNING|{tmp_path}|rule_rl_cai\n"
        f"15|RUNNING|{Path.cwd()}|rule_sl_cai\n"
        f"16|RUNNING|{tmp_path}|(null)\n"
    )
    runs, waits = slurm.leftovers({"sl_cai", "responses"}, os.fspath(tmp_path))
    assert says(runs, "rule sl_cai: Slurm job 12 … running: … scancel 12")
    assert says(waits, "rule responses (3): Slurm job 13 … pending: … scancel 13")
