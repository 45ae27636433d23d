"""Every override that a job gives is of a key that NeMo 2.1.0 or NeMo-Aligner 0.7.0 has."""

import datetime
import json

import pytest
from tests.messages import says

from cai.checks.contract import ADDED, CONFIGURATIONS, TIME_LIMIT, commands, problems, refused
from cai.nemo import own_overrides, programs
from cai.running.launch import Launch
from cai.settings.configuration import Settings, load_settings
from cai.training.trainer import Training

FILES = ["config/config.yaml", "config/demo.yaml"]
UNKNOWN, MEANT = "{}.yaml", " … did you mean {}?"
MISTRAL = load_settings(FILES[:1])
TRAINED = ("sft", "reward_model", "actor", "dpo")


def own(section, **overrides):
    """The settings of the cluster with overrides of a user's own."""
    settings = load_settings(FILES[:1]).model_dump()
    settings["nemo"]["overrides"][section] |= overrides
    return Settings.model_validate(settings)


@pytest.fixture
def time_limit(tmp_path):
    """What train.py adds for a job of four hours."""
    training = Training(
        what="x", work=tmp_path, name="x", output=tmp_path, log=tmp_path, inputs=[], command=[],
        launch=Launch(minutes=240),
    )  # fmt: skip
    return training._time_limit()


def test_a_run_starts_each_of_nemos_programs(planned):
    assert {program for program, _ in planned} == set(programs.PROGRAMS) == set(CONFIGURATIONS)


def test_every_override_of_every_job_is_upstreams(planned, time_limit):
    wrong = [
        f"{program}: {problem}"
        for program, overrides in planned
        for problem in refused(program, [*overrides, *(time_limit if program in TRAINED else [])])
    ]
    assert not wrong


def test_the_container_is_asked_about_the_overrides_of_the_jobs(planned, time_limit):
    """check_nemo.py gets them from contract.commands, with stand-ins for the paths."""
    (given,) = time_limit
    assert given.partition("=")[0] == TIME_LIMIT.partition("=")[0]
    demo = any("trainer.accelerator=cpu" in overrides for _, overrides in planned)
    asked = commands(load_settings(FILES if demo else FILES[:1]), ["dpo_cai"])
    names = {path.rpartition("/")[2]: name for name, path in programs.PROGRAMS.items()}
    assert {
        comparable(program, [*overrides, *([TIME_LIMIT] if program in TRAINED else [])])
        for program, overrides in planned
    } == {
        comparable(names[program.rpartition("/")[2]], overrides) for _, program, *overrides in asked
    }


def test_a_last_stage_that_is_not_asked_for_is_no_question_to_the_container():
    programs_of = [program for _, program, *_ in commands(load_settings(FILES[:1]))]
    assert programs_of and not any("train_gpt_dpo" in program for program in programs_of)


def comparable(program, overrides):
    """A program and its overrides, those that the rules add without their values."""
    paths = {added.partition("=")[0] for added in ADDED[program]}
    keys = ((override.partition("=")[0], override) for override in overrides)
    return program, frozenset(key if key in paths else whole for key, whole in keys)


def test_the_programs_own_configurations_take_them(
    planned, roots, time_limit, check_nemo, tmp_path
):
    whole = [
        ["python", f"{roots[program != 'server']}/{programs.PROGRAMS[program]}", *overrides]
        + (time_limit if program in TRAINED else [])
        for program, overrides in planned
    ]
    given = tmp_path / "commands.json"
    given.write_text(json.dumps(whole))
    done = check_nemo("--commands", given, "--output", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["programs"]) == len(programs.PROGRAMS)


@pytest.mark.parametrize("files", [FILES[:1], FILES])
def test_the_configurations_that_are_shipped_have_no_problem(files):
    assert problems(load_settings(files)) == []


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("sft", "model.optim.lrr", 1, UNKNOWN.format("gpt_sft") + MEANT.format("model.optim.lr")),
        ("sft", "optim.lr", 1, UNKNOWN.format("gpt_sft") + MEANT.format("model.optim.lr")),
        ("critic", "model.activations_checkpoint_granularity", "full",
         UNKNOWN.format("gpt_ppo_critic")),
        ("server", "~greedy", True, "megatron_gpt_inference.yaml"
         + MEANT.format("inference.greedy")),
        ("critic", "+model.micro_batch_size", 2, "given twice"),
        ("actor", "+model.ppo.num_val_samples", 2,
         "gpt_ppo_actor.yaml … already … +"),
        ("actor", "++pretrained_checkpoint.restore_from_path", "my.nemo",
         "found 'my.nemo'; accepted: none, the workflow sets it"),
        ("actor", "model.optim", {"sched": {"min": 0}}, "sched: min: … "
         + UNKNOWN.format("gpt_ppo_actor") + MEANT.format("model.optim.sched.min_lr")),
        ("sft", "model.answer_only_loss", "yes", "true or false … False … found 'yes'"),
        ("sft", "model.optim.lr", "small", "number … 3e-05 … found 'small'"),
        ("sft", "model.data.train_ds", "a.jsonl", "mapping … found 'a.jsonl'"),
        ("reward_server", "trainer", {}, None),
        ("sft", "++model.new.section", 1, None),
        ("sft", "model.seed", "${model.seed}", None),
        ("sft", "trainer.max_time", "00:01:00:00", None),
        ("dpo", "model.dpo.ref_kl_penalty", 0.1, UNKNOWN.format("gpt_dpo")
         + MEANT.format("model.dpo.ref_policy_kl_penalty")),
    ],
)  # fmt: skip
def test_a_users_override_is_told_in_one_line(section, key, value, told):
    found = problems(own(section, **{key: value}))
    if told is None:
        assert found == []
    else:
        assert f"nemo.overrides.{section}: " in found[-1]
        assert says(found[-1], told)
        assert len(found) == 1


def test_what_no_override_can_hold_is_told():
    (line,) = problems(own("sft", **{"model.seed": datetime.date(2024, 1, 1)}))
    assert says(line, "nemo.overrides.sft: model.seed: … date")


# --------------------------------------------------------------------------- the workflow's own


def test_sizes_of_the_machine_belong_to_the_profile():
    (line,) = problems(own("sft", **{"++trainer.devices": 8}))
    assert says(line, "overrides.sft: ++trainer.devices: found 8; accepted: none … profile")
    (line,) = problems(own("server", **{"trainer.num_nodes": 2}))
    assert says(line, "overrides.server: trainer.num_nodes: found 2 … profile")


@pytest.mark.parametrize("program", own_overrides.OWN)
def test_what_the_workflow_gives_is_taken_from_it_by_no_other_value(program):
    """Whatever it gives now or will give: the list follows from the commands."""
    ours = own_overrides.own(MISTRAL, program)
    replaceable = own_overrides.REPLACEABLE
    assert {key.lstrip("+") for key in ours} - replaceable
    for key in (key for key in ours if key.lstrip("+") not in replaceable):
        assert problems(own(program, **{key: ours[key]})) == []
        assert problems(own(program, **{key: None})) == []
        (line,) = problems(own(program, **{key: "other"}))
        assert says(line, f"nemo.overrides.{program}: {key}: found 'other'; accepted: none, … ")


def test_a_value_that_is_refused_reaches_no_command():
    told = {"exp_manager.name": "mine", "++model.data.chat": False, "model.optim.lr": 0.5}
    command = programs.sft(own("sft", **told))
    assert "exp_manager.name=megatron_gpt_sft" in command and "model.optim.lr=0.5" in command
    assert not any("mine" in word or word.endswith("chat=false") for word in command)
    assert programs.sft(own("sft", **{"exp_manager.name": None})) == programs.sft(MISTRAL)


@pytest.mark.parametrize("program", ADDED)
def test_files_are_named_by_the_rules(program):
    for key in (added.partition("=")[0] for added in ADDED[program]):
        (line,) = problems(own(program, **{key: "mine"}))
        assert says(line, f"nemo.overrides.{program}: {key}: found 'mine'; accepted: none")


def test_what_may_be_replaced_is_given():
    """A name in the list that no program has any more would be an oversight."""
    given = {
        key.lstrip("+") for name in own_overrides.OWN for key in own_overrides.own(MISTRAL, name)
    }
    assert given >= own_overrides.REPLACEABLE
