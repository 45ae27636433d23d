"""What a cluster does to jobs: the run ends with the same files, and nothing is computed twice."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.project import answers, weights
from tests.slurm.lab import Lab
from tests.slurm.running import ClusterProject, Finished, Run, tasks

from cai.training.checkpoints import newest, step

SFT = "results/demo/sl_cai.nemo"
CANDIDATES = "results/demo/rl_cai/candidates/0.jsonl"
STEPS = 48  # of SFT, in small.yaml

Start = Callable[..., Run]


def reached(project: ClusterProject, least: int) -> int | None:
    """The step of SFT's newest whole checkpoint, once it is at least this one."""
    folders = (project.results / "work/sl_cai").glob("*/train")
    found = [step(last) for folder in folders if (last := newest(folder))]
    return found[0] if found and found[0] >= least else None


def test_a_training_survives_scancel_preemption_a_lost_node_and_its_time_limit(
    cluster: Lab, finished: Finished, spoilt: ClusterProject, start: Start
):
    spoilt.forget("sl_cai.nemo", "work/sl_cai")
    spoilt.lay_over({"set-resources": {"sl_cai": {"slurm_partition": "low"}}})
    run = start(spoilt, "--", SFT)

    def training() -> tuple[str, int]:
        """The running job, and the step that it has got to since it began."""
        before = reached(spoilt, 0) or 0
        at = run.until(lambda: reached(spoilt, before + 1), f"a checkpoint after step {before}")
        return run.running("sl_cai"), at

    def again(job: str) -> None:
        run.until(lambda: state(run, job) == "RUNNING" and tasks(job), f"job {job} once more")

    first, _ = training()
    cluster.slurm("scancel", first)
    run.until(lambda: state(run, first) == "CANCELLED", "it is cancelled")

    second, _ = training()
    assert second != first
    urgent = ["--partition=high", "--nodelist=gpu1", "--gres=gpu:8", "--wrap=sleep 1"]
    cluster.slurm("sbatch", "--output=/dev/null", *urgent)
    run.until(lambda: state(run, second) != "RUNNING", "it is preempted")
    again(second)

    third, _ = training()
    assert third == second, "Slurm has queued it again"
    cluster.end_node("gpu2")
    try:
        run.until(lambda: state(run, third) != "RUNNING", "its node is lost")
        again(third)
        fourth, at = training()
        assert fourth == third
        # (a second later: Slurm refuses a time that has passed when it reads it)
        cluster.slurm("scontrol", "update", f"jobid={fourth}", "endtime=now+2")
        run.until(lambda: state(run, fourth) == "TIMEOUT", "its time is up")
        run.finish()
    finally:
        cluster.start_node("gpu2")
    assert at < STEPS
    assert weights(spoilt.results / "sl_cai.nemo") == weights(
        finished.project.results / "sl_cai.nemo"
    )
    assert spoilt.steps("sl_cai", "train/loss") == list(range(STEPS))
    manifest = json.loads((spoilt.results / "sl_cai.manifest.json").read_text())
    ends = [attempt["end"] for attempt in manifest["attempts"]]
    # Slurm looks at time limits twice a minute: the fourth may have trained to its end by then, or
    # be killed after its last step; what follows then only writes the model, and is no attempt.
    assert ends in ([None] * 4 + ["ended"], [None] * 3 + ["ended"], [None] * 4)


def state(run: Run, job: str) -> str:
    """The state of a job."""
    return next(each.state for each in run.jobs() if each.id == job)


def test_ppo_goes_on_after_its_critic_was_killed(spoilt: ClusterProject, start: Start):
    spoilt.forget("rl_cai.nemo", "work/rl_cai")
    run = start(spoilt, "--", "results/demo/rl_cai.nemo")
    pairs = spoilt.results / "work/rl_cai"
    run.until(lambda: list(pairs.glob("*/pairs/1/critic/*-last")), "its first checkpoint")
    job = run.running("rl_cai")
    for process in tasks(job, "serve_ppo_critic.py"):
        process.kill()
    run.finish()
    assert state(run, job) == "FAILED"
    assert "rl_cai: the critic server died" in slurm_log(spoilt, "rl_cai", job)
    log = (spoilt.results / "logs/rl_cai.log").read_text()
    assert log.startswith("rl_cai: resumes at step 1 in")
    assert spoilt.steps("rl_cai", "train_rollouts/rewards") == [0, 1]


def slurm_log(project: ClusterProject, rule: str, job: str) -> str:
    """What a job has said."""
    (path,) = (project.folder / f".snakemake/slurm_logs/rule_{rule}").rglob(f"{job}.log")
    return path.read_text()


@pytest.fixture
def journal(spoilt: ClusterProject) -> Path:
    """The empty journal of the candidates, which are not there any more."""
    spoilt.forget("rl_cai/candidates", "work/journal/candidates-0.jsonl")
    return spoilt.results / "work/journal/candidates-0.jsonl"


def check_candidates(project: ClusterProject, finished: Finished) -> None:
    """All are there, and none was asked for twice."""
    assert answers(project.results / "work/journal/candidates-0.jsonl")
    counts = [
        (each.results / "rl_cai/candidates/0.jsonl").read_text().count("\n")
        for each in (project, finished.project)
    ]
    assert counts[0] == counts[1] > 0


def test_generation_goes_on_after_its_server_was_killed(
    finished: Finished, spoilt: ClusterProject, journal: Path, start: Start
):
    run = start(spoilt, "--", CANDIDATES)
    run.until(lambda: journal.exists() and journal.stat().st_size, "its first answers")
    job = run.running("candidates")
    for process in tasks(job, "megatron_gpt_eval.py"):
        process.kill()
    run.finish()
    assert state(run, job) == "FAILED"
    assert "the model server ended with exit code" in slurm_log(spoilt, "candidates", job)
    check_candidates(spoilt, finished)


def test_a_killed_snakemake_leaves_its_jobs_which_the_next_one_waits_for(
    cluster: Lab, finished: Finished, spoilt: ClusterProject, journal: Path, start: Start
):
    run = start(spoilt, "--", CANDIDATES)
    job = run.until(lambda: run.running("candidates"), "its job")
    cluster.slurm("scontrol", "suspend", job)  # or it may end before the next Snakemake begins
    run.kill()
    spoilt.snakemake("--unlock")
    said = spoilt.snakemake("--", CANDIDATES, check=False)
    assert f"Slurm job {job} of an earlier snakemake is still suspended" in said
    cluster.slurm("scontrol", "resume", job)
    wait_for_the_end(run, job)
    assert state(run, job) == "COMPLETED"
    spoilt.snakemake("--", CANDIDATES)
    check_candidates(spoilt, finished)


def wait_for_the_end(run: Run, job: str) -> None:
    deadline = time.monotonic() + 120
    while state(run, job) in ("RUNNING", "COMPLETING"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
