"""Another server than NeMo's: what is checked of it before a job, and what is not asked of NeMo."""

import pytest

from cai.checks import cluster, contract, preflight
from cai.checks.rule_kinds import RULES
from cai.checks.stage_sizes import sizings
from cai.core.errors import UserError
from cai.running.launch import Launch
from cai.running.launcher import Launcher, filled
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge
from cai.workflow import servers

COMMAND = ["true", "serve", "MODEL", "--port", "FREE_PORT", "--tp", "DEVICES"]


@pytest.fixture(scope="module")
def demo():
    return load_settings(["config/config.yaml", "config/demo.yaml"]).model_dump(exclude_none=True)


def openai(demo, *changes, **server):
    given = {"server": {"kind": "openai", "command": COMMAND, **server}}
    merged = demo
    for change in (given, *changes):
        merged = merge(merged, change)
    return merged


@pytest.mark.parametrize(
    ("command", "missing"),
    [([], "MODEL and FREE_PORT"), (["x", "MODEL"], "FREE_PORT"), (["x", "FREE_PORT"], "MODEL")],
)
def test_a_command_that_names_too_little(demo, command, missing):
    with pytest.raises(UserError, match=rf"server.*{missing}, found") as told:
        parse_settings(openai(demo, command=command))
    assert "\n" not in str(told.value)


def test_a_sampling_that_the_server_does_not_know(demo):
    wrong = {"preferences": {"candidate": {"top_k": 50}}}
    with pytest.raises(UserError, match=r"^preferences\.candidate: found top_k"):
        preflight.check(openai(demo, wrong, extensions=False))
    preflight.check(openai(demo, wrong))


def test_a_server_that_is_not_there(demo):
    settings = parse_settings(openai(demo, command=["no-such", *COMMAND[1:]]))
    with pytest.raises(UserError, match=r"^server\.command: no-such: no such program$"):
        preflight.check_surroundings(settings, {"responses"})


def test_nemos_server_is_not_looked_for(demo):
    nowhere = {"nemo": {"root": "/nowhere"}}
    preflight.check_surroundings(parse_settings(openai(demo, nowhere)), {"responses", "revisions"})
    with pytest.raises(UserError, match=r"^nemo\.root: /nowhere"):
        preflight.check_surroundings(parse_settings(merge(demo, nowhere)), {"responses"})


def test_nemos_arithmetic_is_not_that_of_another_server(demo):
    """Seven ranks divide no model of ours; another server may do what it likes with them."""
    stages = dict.fromkeys(("responses", "candidates", "rewards"), Launch(processes=7))
    programs = {sizing.program for sizing in sizings(parse_settings(openai(demo)), stages)}
    assert programs == {"reward_server"}
    wrong = {"nemo": {"overrides": {"server": {"no_such_key": 1}}}}
    assert not contract.problems(parse_settings(openai(demo, wrong)))
    assert contract.problems(parse_settings(merge(demo, wrong)))


def test_a_server_of_one_process_has_one_node(demo):
    rules = [rule for rule, kind in RULES.items() if kind.programs]
    given = {"launcher": "srun", "gres": "gpu:8", "mpi": "srun"}
    resources = {rule: given | {"nodes": 2 if rule == "responses" else 1} for rule in rules}
    [line] = cluster.placement_problems(parse_settings(openai(demo)), resources)
    assert line.startswith("profile: rule responses: found nodes: 2; accepted: 1")
    assert not list(cluster.placement_problems(parse_settings(demo), resources))


def test_it_is_started_as_one_task_with_all_gpus_of_the_node(monkeypatch):
    launch = Launch(launcher="srun", gres="gpu:8", cpus_per_task=4, one_task=True)
    command = Launcher(launch).command(filled(COMMAND, {"MODEL": "folder"}), {}, "server")
    assert {"--ntasks=1", "--ntasks-per-node=1", "--cpus-per-task=32", "--gres=gpu:8"} < {*command}
    assert command[-6:] == ["serve", "folder", "--port", "FREE_PORT", "--tp", "8"]


def test_only_what_is_asked_of_it_is_exported(demo):
    settings = parse_settings(openai(demo, {"preferences": {"judge": "random"}}))
    assert servers.exported(settings, "results/demo/sl_cai.nemo") == ["results/demo/hf/sl_cai.json"]
    assert servers.judge_exported(settings, "results/demo/models/instruct.nemo") == []
    assert servers.exported(parse_settings(demo), "results/demo/sl_cai.nemo") == []
