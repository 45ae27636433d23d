"""The plan of each of the paper's figures that are made from runs: what it needs, and no more."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.checks.test_lora_settings import LORA, NO_RECOMPUTATION, OPTIMIZER
from tests.messages import says

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
PPO = {"rl_cai", "rl_snapshots"}
CHAINS = {"chains", "chain_texts", "chain_rewards"}
MATCHES = {"matches", "matches_judged", "elo"}
OWN = PPO | CHAINS | MATCHES | {"snapshot", "paper_reward_model", "harmfulness_samples"}
NEEDED = {
    "fig02": MATCHES | {"rl_snapshots", "snapshot"},
    "fig05": CHAINS | {"paper_reward_model"},
    "fig07": CHAINS | {"paper_reward_model"},
    "fig08": MATCHES | {"rl_snapshots", "snapshot"},
    "fig10": {"harmfulness_samples", "rl_snapshots", "snapshot"},
    "appendix_samples": {"rl_cai"},
    "appendix_chains": {"chains"},
}


def said_of(target, *options):
    """The exit status of a dry run, and all that it prints."""
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--nolock", target, *options]
    environment = {"HOME": os.environ.get("HOME", "/"), "PATH": os.defpath}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def plan(target, *options):
    """The jobs by rule, and all that the plan says, of the Mistral-7B run."""
    code, text = said_of(target, *options)
    assert code == 0, text
    jobs = re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE)
    return {name: jobs.count(name) for name in jobs}, text


@pytest.mark.parametrize("figure", NEEDED)
def test_a_figure_alone_plans_what_it_needs(figure):
    jobs, _ = plan(f"results/figures/{figure}.svg")
    assert jobs.keys() & OWN == NEEDED[figure]


def test_answers_to_sets_of_prompts_are_graded_for_each_model():
    jobs, _ = plan("results/figures/grades.svg")
    assert jobs["graded"] == jobs["set_answers"] == 3


def test_figure_6_has_a_chain_for_each_number_of_principles_and_scores_harmlessness_alone():
    jobs, text = plan("results/figures/fig06.svg")
    numbers = set(re.findall(r"wildcards: chain=(\S+)", text))
    # the constitution has 16 principles: all of them are the main chain
    assert numbers == {"critiqued", *(f"principles-{n}-0" for n in (1, 2, 4, 8))}
    assert jobs["chains"] == jobs["chain_rewards"] == 5
    assert jobs["paper_reward_model"] == 1
    assert not jobs.keys() & PPO


def test_snapshots_during_the_run_cost_no_second_ppo():
    config = "paper={snapshots: {during_run: true, steps: [10, 20]}}"
    jobs, text = plan("results/figures/fig08.svg", "--config", config)
    assert "rl_snapshots" not in jobs
    assert jobs["rl_cai"] == 1 and jobs["snapshot"] == 2
    assert "--keep-steps 10 20" in text


def test_figures_2_and_8_take_dpos_steps_without_a_reward_model_more():
    config = "paper={snapshots: {dpo_steps: [400, 800]}}"
    jobs, text = plan("results/figures/fig08.svg", "--config", config)
    assert jobs["dpo_snapshots"] == 1 and jobs["dpo_snapshot"] == 2
    assert "dpo_cai" not in jobs and "--keep-steps 400 800" in text
    assert "trainer.dpo.save_interval=400" in text


@pytest.mark.parametrize(("program", "field"), [("actor", "steps"), ("dpo", "dpo_steps")])
def test_snapshots_of_adapters_are_refused_as_soon_as_they_are_planned(program, field):
    own = json.dumps({"overrides": {program: LORA | NO_RECOMPUTATION | OPTIMIZER}})
    changes = [f"nemo={own}"]
    changes.append(f"paper={{snapshots: {{{field}: [10]}}}}")
    code, text = said_of("results/figures/fig08.svg", "--config", *changes)
    [line] = [line for line in text.splitlines() if line.startswith("error:")]
    assert code == 1 and says(line, f"nemo.overrides.{program}: … paper.snapshots.{field}")
    assert "Traceback" not in text and "Exception" not in text


def test_nothing_of_it_belongs_to_the_default_target():
    jobs, text = plan("all")
    assert not jobs.keys() & (OWN - {"rl_cai"})
    assert "--keep-steps" not in text
