"""The plan of the Mistral-7B run: complete, with the tutorial's values, and needing nothing."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
TUTORIAL = {
    "train_gpt_sft.py": """
        model.megatron_amp_O2=true model.restore_from_path=results/models/base.nemo
        model.data.num_workers=0 model.data.train_ds.micro_batch_size=1
        model.data.train_ds.global_batch_size=128 model.data.train_ds.max_seq_length=4096
        model.data.train_ds.file_path=results/sl_cai/train.jsonl
        model.data.validation_ds.micro_batch_size=1 model.data.validation_ds.global_batch_size=128
        model.data.validation_ds.file_path=results/sl_cai/validation.jsonl model.data.chat=true
        model.data.chat_prompt_tokens.system_turn_start='<extra_id_0>'
        model.data.chat_prompt_tokens.turn_start='<extra_id_1>'
        model.data.chat_prompt_tokens.label_start='<extra_id_2>'
        model.optim.lr=1e-06 model.answer_only_loss=true trainer.sft.limit_val_batches=40
        trainer.sft.val_check_interval=50 trainer.sft.save_interval=50
        exp_manager.checkpoint_callback_params.save_nemo_on_train_end=true""",
    "train_reward_model.py": """
        pretrained_checkpoint.restore_from_path=results/sl_cai.nemo model.micro_batch_size=1
        model.global_batch_size=512 ++model.activations_checkpoint_granularity=full
        ++model.activations_checkpoint_method=uniform ++model.activations_checkpoint_num_layers=1
        model.optim.bucket_cap_mb=200 model.data.seq_length=4096 model.data.data_impl=json
        exp_manager.checkpoint_callback_params.save_top_k=1
        exp_manager.checkpoint_callback_params.save_nemo_on_train_end=true
        trainer.rm.save_interval=25 trainer.rm.val_check_interval=25
        trainer.rm.limit_val_batches=100000""",
    "serve_ppo_critic.py": """
        pretrained_checkpoint.restore_from_path=results/reward_model.nemo
        trainer.ppo.inference_micro_batch_size=4 model.offload_adam_states=true
        model.micro_batch_size=1 model.global_batch_size=64 model.optim.lr=3e-07
        model.optim.sched.min_lr=9e-08 model.seed=1234""",
    "train_gpt_ppo_actor.py": """
        pretrained_checkpoint.restore_from_path=results/sl_cai.nemo model.data.data_impl=json
        model.micro_batch_size=1 model.global_batch_size=64 model.optim.lr=9e-08
        model.optim.sched.min_lr=9e-09 ++model.activations_checkpoint_granularity=selective
        ++model.activations_checkpoint_method=uniform model.ppo.num_rollout_samples=512
        model.ppo.rollout_micro_batch_size=8 model.ppo.length_params.max_length=1024
        trainer.ppo.initial_policy_kl_penalty=0.02""",
    "megatron_gpt_eval.py": """
        pipeline_model_parallel_split_rank=0 server=true tensor_model_parallel_size=RANKS
        pipeline_model_parallel_size=1 trainer.precision=bf16 trainer.devices=DEVICES
        trainer.num_nodes=NODES web_server=false""",
}
STEPS = (
    "fetch_model convert_model red_team helpful_sft helpful_preferences responses revisions "
    "sl_dataset sl_cai candidates preferences rl_dataset reward_model rl_cai"
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """What `snakemake -n -p results/rl_cai.nemo` says with an empty environment."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "-p", "--nolock", "results/rl_cai.nemo"],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def arguments(plan, program):
    """The words of the first planned command that runs one of NeMo's programs, from it on."""
    (line, *_) = (line for line in plan.splitlines() if f"/{program} " in line)
    words = shlex.split(line.partition(f"/{program} ")[2])
    return words[: words.index("--")] if "--" in words else words


@pytest.mark.parametrize("program", TUTORIAL)
def test_a_program_gets_the_tutorials_values(plan, program):
    given = arguments(plan, program)
    missing = [value for value in TUTORIAL[program].split() if value not in given]
    assert not missing


def test_programs_are_the_containers(plan):
    assert "python /opt/NeMo-Aligner/examples/nlp/gpt/train_gpt_sft.py" in plan
    assert "python /opt/NeMo/examples/nlp/language_modeling/megatron_gpt_eval.py" in plan


def test_no_override_is_given_twice(plan):
    for program in TUTORIAL:
        keys = [word.partition("=")[0] for word in arguments(plan, program) if "=" in word]
        assert len(keys) == len(set(keys))


def test_every_step_of_the_tutorial_is_planned(plan):
    planned = set(re.findall(r"^(?:local)?rule (\w+):", plan, re.MULTILINE))
    assert planned >= set(STEPS.split())


def test_no_key_is_in_the_plan(plan):
    assert "key_variable" in plan
    assert not re.search(r"--[a-z-]*api[-_]key|nvapi-", plan)


def test_a_dry_run_with_the_slurm_profile_prints_the_sizes_of_each_stage():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "-q", "all", "--nolock", "--profile", "slurm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("stage "))
    rows = {line.split()[0]: line for line in lines[start + 1 : start + 13]}
    assert {"responses", "rewards", "sl_cai", "reward_model", "critic", "actor"} <= set(rows)
    assert rows["actor"].split()[1:6] == ["8", "1", "1", "8", "1"]
    assert all(line.endswith(" of 80") for line in rows.values())
