"""The whole workflow on a real Slurm, with real NeMo: where its jobs ran, and what they made."""

import json

import pytest
from tests.slurm.lab import GPU_NODES
from tests.slurm.running import EVERY_KIND

ON_CPU_NODES = {"convert_model", "sl_dataset", "rl_dataset"}
SERVED = {"responses", "revisions", "candidates", "preferences", "answers", "judged", "rewards"}
TRAINED = {"sl_cai", "reward_model", "rl_cai"}
CHECKPOINTS = ["models/base", "models/instruct", "sl_cai", "reward_model", "rl_cai"]


def nodes(finished, name: str) -> set[str]:
    """The nodes on which programs of a name were seen."""
    found = [step.nodes for step in finished.steps if step.name == name]
    assert found, finished.steps
    return {node for text in found for node in hosts(finished, text)}


def hosts(finished, text: str) -> list[str]:
    """Slurm's short form of a list of nodes, written out."""
    return finished.lab.slurm("scontrol", "show", "hostnames", text).split()


def test_each_job_succeeds_at_its_first_submission(finished):
    assert {job.state for job in finished.jobs} == {"COMPLETED"}
    submitted = [job.rule for job in finished.jobs]
    for rule in ON_CPU_NODES | SERVED | TRAINED:
        times = {"convert_model": 2, "answers": 3}.get(rule, 1)
        assert submitted.count(rule) == times, rule


def test_light_jobs_are_not_on_nodes_with_gpus(finished):
    places = {job.rule: (job.partition, hosts(finished, job.nodes)) for job in finished.jobs}
    assert {rule for rule, (partition, _) in places.items() if partition == "gpu"} == (
        SERVED | TRAINED
    )
    for rule in ON_CPU_NODES:
        assert places[rule] == ("cpu", ["cpu1"])
    for rule in SERVED | TRAINED:
        assert set(places[rule][1]) <= set(GPU_NODES)


def test_sft_runs_on_two_nodes(finished):
    assert len(nodes(finished, "sl_cai-train")) == 2


def test_ppo_has_critic_and_actor_on_different_nodes(finished):
    critic, actor = nodes(finished, "rl_cai-critic"), nodes(finished, "rl_cai-train")
    assert len(critic) == len(actor) == 1
    assert critic != actor


def test_nothing_is_left_of_any_server_or_critic(finished):
    ids = {job.id for job in finished.jobs}
    left = finished.lab.slurm("squeue", "--noheader", "--steps", "--format=%i").split()
    assert not [step for step in left if step.split(".")[0] in ids]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_has_a_true_manifest(finished, name):
    from cai.core.digests import file_digest

    path = finished.project.results / f"{name}.nemo"
    manifest = json.loads(path.with_suffix(".manifest.json").read_text())
    assert manifest["sha256"] == file_digest(path)


def test_a_training_tells_what_it_has_cost(finished):
    manifest = json.loads((finished.project.results / "rl_cai.manifest.json").read_text())
    (attempt,) = manifest["attempts"]
    (job,) = [job.id for job in finished.jobs if job.rule == "rl_cai"]
    assert attempt["slurm_job"] == job
    assert attempt["gpus"] == 2
    assert manifest["gpu_hours"] == pytest.approx(2 * attempt["seconds"] / 3600, abs=1e-3)


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.project.planned(targets=EVERY_KIND) == set()
