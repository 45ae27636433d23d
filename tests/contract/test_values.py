"""What NeMo's programs are told, and what they take when they are told nothing."""

import pytest

from cai.nemo.values import COMMANDS, Values
from cai.running.launch import Launch
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.origins import merge

CONFIG = load_settings(["config/config.yaml"]).model_dump(exclude_none=True)


def values(program, overrides=None, launch=None, **programs):
    told = {program: overrides or {}, **programs}
    settings = parse_settings(merge(CONFIG, {"nemo": {"overrides": told}}))
    return Values(settings, program, launch)


def test_an_override_wins_over_what_a_rule_says_and_that_over_upstreams_default():
    assert values("sft").get("model.encoder_seq_length") == CONFIG["lengths"]["sft"]
    assert values("sft", {"model.encoder_seq_length": 99}).get("model.encoder_seq_length") == 99
    assert values("sft").get("model.data.train_ds.drop_last") is True


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_an_added_key_is_the_same_key(plus):
    assert values("sft", {f"{plus}model.optim.lr": "2e-5"}).get("model.optim.lr") == 2e-5


def test_a_default_that_refers_to_another_key_follows_it():
    told = values("actor", {"model.ppo.rollout_micro_batch_size": 4})
    assert told.get("model.ppo.val_rollout_micro_batch_size") == 4
    assert told.get("model.ppo.forward_micro_batch_size") == 4
    key = "trainer.ppo.inference_micro_batch_size"
    assert values("critic", {key: None}).get(key) == 1
    assert values("critic").get(key) == 4
    del_default = values("sft", {"model.data.train_ds.global_batch_size": 64})
    assert del_default.get("model.global_batch_size") == 64


def test_what_no_file_gives_comes_with_the_checkpoint_of_the_program_before():
    sft = {"model.tensor_model_parallel_size": 4}
    assert values("actor", sft=sft).get("model.tensor_model_parallel_size") == 4
    assert values("critic", sft=sft).get("model.tensor_model_parallel_size") == 4
    own = {"++model.tensor_model_parallel_size": 2}
    assert values("critic", own, sft=sft).get("model.tensor_model_parallel_size") == 2
    name = "model.activations_checkpoint_granularity"
    assert (values("critic").get(name), values("sft").get(name)) == ("full", None)


def test_dpo_computes_in_its_own_precision_and_not_in_that_of_its_checkpoint():
    """Upstream's configuration has it at its top, where no one reads it."""
    command = COMMANDS["dpo"](load_settings(["config/config.yaml"]))
    assert "++model.precision='${trainer.precision}'" in command


def test_a_deleted_key_and_an_unknown_one_have_no_value():
    assert values("actor", {"~model.optim.bucket_cap_mb": True}).get("x", "no") == "no"
    assert (
        values("actor", {"~model.optim.bucket_cap_mb": True}).get("model.optim.bucket_cap_mb")
        is None
    )
    assert values("actor").get("model.optim.bucket_cap_mb") == 200


def test_sizes_come_from_the_launch():
    launch = Launch(launcher="srun", nodes=2, gres="gpu:4")
    assert values("server", launch=launch).get("tensor_model_parallel_size") == 8
    told = values("sft", launch=launch)
    assert (told.get("trainer.num_nodes"), told.get("trainer.devices")) == (2, 4)
