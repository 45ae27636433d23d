"""The one table of what each rule's jobs are like, against the workflow."""

import pytest

from cai.checks import cluster, rule_kinds
from cai.plan.disk import PPO_CHECKPOINTS, disk
from cai.settings.configuration import load_settings, parse_settings
from cai.workflow import dag


@pytest.fixture(scope="module")
def workflow():
    dag.dry_run(["--dry-run", "--nolock", "--profile", "slurm"])
    return dag._workflows[0]


def test_each_submitted_rule_is_in_the_table_and_each_entry_is_a_rule(workflow):
    submitted = {r.name for r in workflow.rules if r.output} - workflow._localrules
    assert submitted == set(rule_kinds.RULES)


def test_what_runs_a_program_of_nemo_names_it(workflow):
    """By the commands themselves: a server or a training follows the word that ends ours."""
    for rule in (rule for rule in workflow.rules if rule.name in rule_kinds.RULES):
        given = set(rule.params.keys())
        runs = bool(given & {"server", "command", "actor"})
        assert bool(rule_kinds.RULES[rule.name].programs) == runs, rule.name


def test_a_rule_like_another_is_of_its_kind_and_has_its_resources(workflow):
    for name, other in rule_kinds.LIKE.items():
        mine, its = rule_kinds.RULES[name], rule_kinds.RULES[other]
        assert mine.what == its.what, name
        assert mine.is_choice or mine.programs == its.programs, name
        assert dag.resources(workflow, name) == dag.resources(workflow, other), name


def test_a_last_stage_is_checked_only_if_it_is_made(workflow):
    settings = load_settings(["config/config.yaml"])
    given = {name: dag.resources(workflow, name) for name in rule_kinds.RULES}
    alike, own = cluster.launches(settings, given), {**given["best_of_n"], "nodes": 3}
    assert "best_of_n" not in cluster.launches(settings, given | {"best_of_n": own})
    made = cluster.launches(settings, given | {"best_of_n": own}, ["best_of_n", "dpo_cai"])
    assert made["best_of_n"].nodes == 3 and made.keys() - alike.keys() == {"best_of_n", "dpo_cai"}
    again = cluster.launches(settings, given, ["best_of_n", "dpo_cai"])
    assert again.keys() - alike.keys() == {"dpo_cai"}  # the other is what SL-CAI's training is


def test_a_rule_with_resources_of_its_own_is_checked_with_them(workflow):
    settings = load_settings(["config/config.yaml"])
    given = {name: dag.resources(workflow, name) for name in rule_kinds.RULES}
    assert "chains" not in cluster.launches(settings, given)
    given["chains"] = dict(given["chains"].items()) | {"gres": "gpu:4"}
    assert cluster.launches(settings, given)["chains"].gpus == 4


def test_a_last_stage_is_checked_where_it_is_asked_for(workflow):
    settings = load_settings(["config/config.yaml"])
    given = {name: dag.resources(workflow, name) for name in rule_kinds.RULES}
    assert "dpo_cai" not in cluster.launches(settings, given)
    assert cluster.launches(settings, given, ["dpo_cai"])["dpo_cai"].gpus == 8


@pytest.mark.parametrize("judge", ["logprob", "chat", "random"])
def test_a_judge_needs_gpus_only_where_it_is_served_here(judge):
    needing = {rule for rule, kind in rule_kinds.RULES.items() if kind.needs_gpus(judge)}
    judging = {rule for rule, kind in rule_kinds.RULES.items() if kind.what == "judging"}
    assert (judging <= needing) == (judge == "logprob")
    assert {"sl_cai", "rl_snapshots", "chains", "rewards", "dpo_cai"} <= needing


class Job:
    """A training that was never run."""

    def __init__(self, rule):
        self.rule, self.output, self.params = rule, ["nowhere/x.nemo"], {}


@pytest.mark.parametrize(
    ("rule", "checkpoints"), [("rl_snapshots", PPO_CHECKPOINTS), ("paper_reward_model", 2)]
)
def test_the_papers_trainings_need_disk_as_the_runs_own(rule, checkpoints):
    class Sizes:
        def parameters(self):
            return 10**9

    settings = parse_settings(load_settings(["config/config.yaml"]).model_dump())
    assert disk(Job(rule), None, settings, Sizes()) == 10**9 * (2 + 14 * checkpoints)
