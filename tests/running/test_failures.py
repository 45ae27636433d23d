"""After a failed run each failed job is told in a short block: why, what its log says, and next."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.messages import says

from cai.running.failures import Failures
from cai.running.process import Program

pytestmark = pytest.mark.slow


SNAKEMAKE = [sys.executable, "-m", "snakemake"]
ROOT = Path(__file__).parent.parent.parent
HOOKS = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
from cai.running.failures import Failures
failures = Failures()
onstart:
    failures.watch()
onerror:
    print(failures.report(), file=sys.stderr)
"""
LINES = """
from cai.running.job_lines import JobLines
failures.watch()  # as the Snakefile does: before the lines are taken over
JobLines().take_over()
"""
RULES = """
rule all:
    input: collect("shard.{n}", n=range(5)), "mistake", "killed", "forgets", "healed", "trained"
rule shard:
    output: "shard.{n}"
    shell: "exit 4"
rule mistake:
    output: "mistake"
    log: "logs/mistake.log"
    shell: "(echo works; echo 'error: config.yaml: seed: expected a number'; exit 2) | tee {log}"
rule killed:
    output: "killed"
    shell: "kill -9 $$"
rule forgets:
    output: "forgets"
    shell: "true"
rule healed:
    output: "healed"
    log: "logs/healed.log"
    retries: 1
    params: error="error: the server died; its log a/b.log ends:"
    shell: "[ -e once ] || {{ touch once; echo {params.error:q} > {log}; exit 1; }}; touch {output}"
rule trained:
    output: "trained"
    log: job="logs/trained.log", nemo="logs/nemo.log", critic="logs/critic.log"
    shell: "echo step 1 > {log.job}; echo 2 > {log.critic}; python -c 'import no' 2> {log.nemo}"
"""


@pytest.fixture(scope="module", params=["paragraphs", "lines"])
def said(request, tmp_path_factory) -> str:
    """What a run with many ends writes to stderr, with Snakemake's paragraphs or a line a job."""
    folder = tmp_path_factory.mktemp("run")
    return run(folder, RULES + (LINES if request.param == "lines" else ""))


def run(folder: Path, rules: str) -> str:
    (folder / "Snakefile").write_text(HOOKS + rules)
    options = ["--cores", "1", "--keep-going", "--latency-wait", "1"]
    done = subprocess.run([*SNAKEMAKE, *options], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stderr


def report(said: str) -> str:
    return said.partition("jobs failed:\n")[2].partition("\nComplete log")[0]


def test_a_users_mistake_is_shown_as_its_one_line(said):
    expected = """
        rule mistake failed (exit code 2)
          logs/mistake.log:
            error: config.yaml: seed: expected a number
    """
    assert textwrap.dedent(expected).strip() in report(said)


def test_a_killed_job_is_told(said):
    assert says(report(said), "rule killed was killed … SIGKILL … memory")


def test_a_job_without_its_output_is_told(said):
    assert says(report(said), "rule forgets … output … forgets")


def test_a_failure_that_a_retry_healed_is_a_line_but_no_failure(said):
    assert says(
        said, "rule healed: submission 1 failed (exit code 1): the server died; log: a/b.log"
    )
    assert "healed" not in report(said)


def test_nemos_log_is_shown_if_it_names_an_error(said):
    expected = """
        rule trained failed (exit code 1)
          logs/trained.log:
            step 1
          logs/nemo.log:
            ModuleNotFoundError: No module named 'no'
    """
    assert textwrap.dedent(expected).strip() in report(said)
    assert "critic.log" not in report(said)


def test_many_jobs_with_the_same_failure_are_three_blocks_and_a_line(said):
    assert report(said).count("rule shard (n ") == 3
    assert says(report(said), "2 more … rule shard … n ")


def test_the_count_is_that_of_the_jobs_that_failed(said):
    assert "9 jobs failed:" in said


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


SLEEPS = """
rule all:
    output: "out"
    shell: "python -c 'import time; open(chr(97), chr(119)); time.sleep(60)'"
"""


def test_a_run_that_is_interrupted_says_how_it_goes_on(tmp_path):
    (tmp_path / "Snakefile").write_text(HOOKS + SLEEPS)
    command = [*SNAKEMAKE, "--cores", "1", "--directory", str(tmp_path)]
    command += ["--snakefile", str(tmp_path / "Snakefile")]
    with Program(command, tmp_path / "said") as program:
        wait_until((tmp_path / "a").exists)
        os.killpg(program.pid, signal.SIGINT)
        wait_until(lambda: program.poll() is not None)
    assert "same command" in (tmp_path / "said").read_text()


NEMO = """\
[NeMo I 2026-01-01 00:00:00 nemo_logging] starts
Error executing job with overrides: ['a=1']
Traceback (most recent call last):
  File "train_gpt_sft.py", line 1, in main
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
[rank3]: torch.distributed.DistBackendError: NCCL communicator was aborted on rank 3.
srun: error: node1: task 3: Exited with exit code 1
"""
OURS = "sl_cai: starts\nerror: sl_cai: ended with code 1; log: nemo.log, which ends:\n"
OOM_STEP = """\
[NeMo I 2026-01-01 00:00:00 nemo_logging] starts
slurmstepd: error: Detected 1 oom_kill event in StepId=12.0. Some of the step tasks have been OOM \
Killed.
srun: error: node1: task 0: Out Of Memory
"""


def of_a_slurm_job(folder: Path, nemo: str | None, message: str, **resources: object) -> str:
    """The report on a job that the executor said this of; Slurm is not there to be asked."""
    nemo_log, job_log = folder / "nemo.log", folder / "job.log"
    common = {"jobid": 1, "rule_name": "sl_cai", "log": [str(job_log), str(nemo_log)]}
    failures = Failures()
    told = {**common, "event": "job_info", "wildcards": {}, "resources": resources}
    failures.emit(logging.makeLogRecord(told))
    job_log.write_text(OURS + nemo if nemo else "sl_cai: starts\n")
    if nemo is not None:
        nemo_log.write_text(nemo)
    error = {"event": "job_error", "rule_msg": message, "aux": {"external_jobid": "12"}}
    failures.emit(logging.makeLogRecord({**common, **error}))
    return failures.report()


FAILED = (
    "SLURM-job '12' failed, SLURM status is: 'FAILED'. Detailed failure reason unavailable "
    "(status command is not 'sacct')."
)


@pytest.fixture
def _no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("_no_slurm")
def test_of_many_traces_the_first_is_shown_and_a_gpus_memory_is_named(tmp_path):
    told = of_a_slurm_job(tmp_path, NEMO, FAILED)
    assert says(told, "rule sl_cai (Slurm job 12) failed: … memory … GPU")
    assert "    error: sl_cai: ended with code 1; log: nemo.log\n" in told
    assert told.count("    torch.OutOfMemoryError: CUDA out of memory.") == 1
    assert "NCCL" not in told


@pytest.mark.usefixtures("_no_slurm")
def test_a_step_that_ran_out_of_memory_is_told_though_slurm_says_failed(tmp_path):
    told = of_a_slurm_job(tmp_path, OOM_STEP, FAILED, mem_mb=1000)
    assert says(told, "rule sl_cai (Slurm job 12) … memory (1000 MB")
    assert says(told, "next: … mem_mb of rule sl_cai")


@pytest.mark.usefixtures("_no_slurm")
def test_the_log_of_an_earlier_run_is_not_shown(tmp_path):
    (tmp_path / "nemo.log").write_text("ValueError: of an earlier run\n")
    assert "ValueError" not in of_a_slurm_job(tmp_path, None, FAILED)


@pytest.mark.usefixtures("_no_slurm")
def test_what_sbatch_refuses_is_told_in_slurms_words(tmp_path):
    message = (
        "SLURM sbatch failed. The error message was 'sbatch: error: Memory specification can not "
        "be satisfied\nsbatch: error: Batch job submission failed: Requested node configuration is "
        "not available'.\n    sbatch call:\n        sbatch --parsable\n"
    )
    told = of_a_slurm_job(tmp_path, "", message)
    refused, following = told.splitlines()[-2:]
    assert says(refused, "Slurm: Memory specification can not … Requested node configuration is")
    assert says(following, "  next: … resources … rule sl_cai … profile")


@pytest.mark.usefixtures("_no_slurm")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "time limit … 30 min"),
        ("CANCELLED", "cancelled"),
        ("NODE_FAIL", "node"),
        ("PREEMPTED", "preempted"),
    ],
)
def test_slurms_states_are_told_in_words(tmp_path, state, words):
    told = of_a_slurm_job(tmp_path, "step 3\n", FAILED.replace("FAILED", state), runtime=30)
    assert says(told, f"rule sl_cai (Slurm job 12) … {words}")
    assert says(told, "next: … same command")
