"""What is told before a job is submitted: a line for each thing that cannot work."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from tests.messages import says

from cai.checks import cluster
from cai.core.errors import UserError
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge

MISTRAL = load_settings(["config/config.yaml"]).model_dump(exclude_none=True)
DEMO = load_settings(["config/config.yaml", "config/demo.yaml"]).model_dump(exclude_none=True)
PATH = os.environ["PATH"]
RULES = ("sl_dataset", "rl_dataset", "truth")


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch, tmp_path):
    """Slurm's commands are not there, as on a laptop; a cluster near by must not matter."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NVIDIA_API_KEY", "unused")


def profile(defaults=None, **rules):
    """The resources of each rule, as the repository's profile gives them, with changes."""
    given = yaml.safe_load(Path("profiles/slurm/config.yaml").read_text())
    default = given["default-resources"] | {"attempt": 1} | (defaults or {})
    named = {rule: default | own for rule, own in given["set-resources"].items()}
    named |= dict.fromkeys(RULES, default)
    return {rule: own | rules.get(rule, {}) for rule, own in named.items()}


def told(resources, change=None):
    """The problems and the warnings of the Mistral-7B run."""
    settings = parse_settings(merge(MISTRAL, change or {}))
    return cluster.check_jobs(settings, resources)


REMEDY = re.compile(r"accepted: nemo\.overrides\.(\w+): (\S+): (\d+)")


@pytest.mark.parametrize("memory", [32, 40])
def test_the_remedy_for_smaller_gpus_is_accepted_by_all_programs(memory):
    resources = profile({"gpu_memory_gb": memory})
    problems, _ = told(resources)
    remedies = [REMEDY.search(line) for line in problems]
    assert [remedy and remedy[1] for remedy in remedies] == [
        *("sft", "reward_model", "critic", "actor"),
    ]
    overrides = {program: {key: int(size)} for program, key, size in map(re.Match.groups, remedies)}
    assert told(resources, {"nemo": {"overrides": overrides}})[0] == []


def test_the_profile_as_it_is_has_no_problem(tmp_path):
    container = tmp_path / "nemo.sqsh"
    container.touch()
    assert told(profile({"container": str(container)})) == ([], [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"responses": {"gres": None}},
            "profile: rule responses: … needs gres … gpu:8; found none",
        ),
        (
            {"sl_cai": {"mpi": None}},
            "profile: rule sl_cai: needs mpi: srun",
        ),
        (
            {"preferences": {"gres": "gpu:8", "mpi": "srun"}},
            "profile: rule preferences: found gres gpu:8 … judge … chat … no GPU",
        ),
    ],
)
def test_a_rule_with_the_wrong_resources(changes, line):
    problems, _ = told(profile(**changes))
    assert any(says(problem, line) for problem in problems), problems


def test_all_that_cannot_work_is_told_at_once():
    change = {"nemo": {"overrides": {"sft": {"model.optim.lrr": 1, "trainer.devices": 4}}}}
    problems, _ = told(profile(sl_cai={"nodes": 3}, answers={"gres": None}), change)
    assert len(problems) >= 4
    text = "\n".join(problems)
    for word in ("model.optim.lrr", "trainer.devices", "data parallel 24", "rule answers"):
        assert word in text


def test_what_this_host_does_not_see_is_a_warning_and_stops_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("NVIDIA_API_KEY")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    resources = profile({"container": "/no/nemo.sqsh", "mounts": "/no/where:/data"})
    problems, warnings = told(resources)
    assert problems == []
    text = "\n".join(warnings)
    for word in ("/no/nemo.sqsh", "/no/where:/data", "HF_HUB_OFFLINE is set", "NVIDIA_API_KEY"):
        assert word in text
    settings = parse_settings(MISTRAL)
    stopped = cluster.check_start(settings, resources, {"fetch_model", "responses"})
    assert any("/no/nemo.sqsh" in line for line in stopped)
    with pytest.raises(UserError, match="NVIDIA_API_KEY"):
        cluster.check_start(settings, resources, {"preferences"})


def test_a_file_of_an_image_is_looked_for_without_a_folder_too():
    """pyxis would ask a registry for it."""
    _, warnings = told(profile({"container": "nemo.sqsh"}))
    (line,) = warnings
    assert says(line, "profile: container: nemo.sqsh: no such file")


SRUN_OF_PYXIS = """#!/bin/sh
echo 'slurmstepd: error: pyxis: container start failed with error code: 1' >&2
echo 'slurmstepd: error: pyxis:     [ERROR] Command not found: nvidia-container-cli' >&2
echo 'slurmstepd: error: spank: required plugin spank_pyxis.so: task_init() failed' >&2
echo 'slurmstepd: error: Failed to invoke spank plugin stack' >&2
echo 'srun: error: cpu1: task 0: Exited with exit code 1' >&2
exit 1
"""


def test_why_a_container_did_not_start_is_told(demo, tmp_path, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text(SRUN_OF_PYXIS)
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{PATH}")
    with pytest.raises(UserError, match=r"\[ERROR\] Command not found: nvidia-container-cli"):
        cluster.check_nemo(demo(), {"launcher": "pyxis", "container": "nemo"})


def test_an_images_name_is_not_looked_for_on_this_host():
    _, warnings = told(profile({"container": "registry.example#nvidia/nemo:25.02"}))
    assert warnings == []


@pytest.fixture
def demo(tmp_path, nemo_python):
    def settings(**overrides):
        change = {"results": str(tmp_path), "nemo": {"overrides": overrides}}
        return parse_settings(merge(DEMO, change))

    return settings


def test_nemo_is_asked_once_for_the_same_commands(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", PATH)
    report = tmp_path / "checks/nemo.json"
    cluster.check_nemo(demo(), {})
    asked = json.loads(report.read_text())
    assert asked["versions"]["nemo_toolkit"] == "2.1.0"
    first = report.stat().st_mtime_ns
    cluster.check_nemo(demo(), {})
    assert report.stat().st_mtime_ns == first
    assert capsys.readouterr().err.count("checks NeMo's configurations") == 1
    cluster.check_nemo(demo(actor={"trainer.ppo.initial_policy_kl_penalty": 0.5}), {})
    assert report.stat().st_mtime_ns > first


def test_what_nemo_refuses_stops_the_run(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", PATH)
    settings = demo(sft={"model.optim.lrr": 1, "~model.nothing": True})
    with pytest.raises(UserError) as error:
        cluster.check_nemo(settings, {})
    lines = str(error.value).splitlines()
    assert any("lrr" in line for line in lines) and any("nothing" in line for line in lines)
    assert not (tmp_path / "checks/nemo.json").exists()
