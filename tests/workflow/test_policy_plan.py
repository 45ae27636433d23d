"""Which last stages a run makes: what the word `policies` plans, and what it leaves out."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OF = {  # the rules that a policy alone has in the default target
    "rl_cai": {"rl_cai", "ppo_curves"},
    "dpo_cai": {"dpo_dataset", "dpo_cai", "dpo_curves"},
    "best_of_n": {"best_answers", "best_of_n_dataset", "best_of_n", "best_of_n_curves"},
}
REWARDS = {"reward_model", "rewards"}


def planned(folder, policies, *arguments):
    """The jobs that a dry run of the demo would run, by rule."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/demo", "-n", "--nolock"]
    config = ["--config", f"policies={policies}", f"results={folder}/run"]
    done = subprocess.run([*command, *config, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return Counter(re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.MULTILINE))


@pytest.mark.parametrize(
    ("policies", "with_rewards"), [("[rl_cai]", True), ("[dpo_cai]", False), ("[best_of_n]", True)]
)
def test_a_run_makes_and_evaluates_the_policies_that_it_names(tmp_path, policies, with_rewards):
    rules = planned(tmp_path, policies)
    (chosen,) = re.findall(r"\w+", policies)
    assert OF[chosen] <= rules.keys()
    assert not any(OF[other] & rules.keys() for other in OF if other != chosen)
    assert (rules.keys() & REWARDS) == (REWARDS if with_rewards else set())
    assert rules["answers"] == 3 and rules["judged"] == 2 and rules["truth"] == 3


def test_all_of_them_side_by_side(tmp_path):
    target = ["--", "compare_policies"]
    rules = planned(tmp_path, "[rl_cai, dpo_cai, best_of_n]", *target)
    assert {"rl_cai", "dpo_cai", "best_of_n", "policy_comparison"} <= rules.keys()
    assert rules["likelihoods"] == 6  # each policy's answers, by itself and by SL-CAI
    assert rules["candidates"] == rules["preferences"] == 1


@pytest.mark.parametrize("policies", ["[rl_cai, rl_cai]", "[]", "[ppo]"])
def test_a_wrong_word_is_told_in_one_line(tmp_path, policies):
    command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--config"]
    done = subprocess.run(
        [*command, f"policies={policies}", f"results={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode and "policies" in line and "Traceback" not in done.stderr
