"""What a user reads when jobs fail in a real Slurm, and when an earlier run left jobs there."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.messages import says

from cai.running import slurm
from cai.running.process import Program

ROOT = Path(__file__).parent.parent.parent
HOOKS = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
from cai.running import slurm
from cai.running.failures import Failures
failures = Failures()
onstart:
    failures.watch()
    jobs = workflow.persistence.dag.needrun_jobs()
    left = slurm.leftovers({{job.rule.name for job in jobs}}, workflow.workdir_init)
    if left:
        sys.exit("\\n".join(f"error: {{line}}" for line in left))
onerror:
    print(failures.report(), file=sys.stderr)
"""
RULES = """
rule all:
    localrule: True
    input: "mistake", "slow", "cancelled", "lost", "unknown", "refused"
rule mistake:
    output: "mistake"
    log: "logs/mistake.log"
    shell: "(echo works; echo 'error: config.yaml: seed: expected a number'; exit 2) | tee {log}"
rule slow:
    output: "slow"
    log: "logs/slow.log"
    resources: runtime=7
    shell: "echo step 3 > {log}; sleep 600"
rule cancelled:
    output: "cancelled"
    log: "logs/cancelled.log"
    shell: "sleep 600"
rule lost:
    output: "lost"
    log: "logs/lost.log"
    resources: slurm_partition="gpu", slurm_extra="--nodelist=gpu3"
    shell: "echo on a node > {log}; sleep 600"
rule unknown:
    output: "unknown"
    shell: "no_such_program {output}"
rule refused:
    output: "refused"
    resources: mem_mb=999000000
    shell: "touch {output}"
"""
HEALS = """
rule heals:
    output: "out"
    log: "logs/heals.log"
    shell: "[ -e once ] || {{ touch once; echo 'error: not yet' > {log}; exit 1; }}; exit 3"
"""
SLEEPS = 'rule sleeps:\n    output: "out"\n    shell: "sleep 600"\n'
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--executor", "slurm", "--jobs", "10"]
SNAKEMAKE += ["--default-resources", "slurm_partition=cpu", "mem_mb=100", "runtime=10"]
SNAKEMAKE += ["--slurm-init-seconds-before-status-checks", "1", "--slurm-status-command", "squeue"]
SNAKEMAKE += ["--latency-wait", "5", "--keep-going", "--slurm-no-requeue"]


def project(folder: Path, rules: str) -> list[str]:
    """The command that runs Snakemake with these rules in a folder."""
    (folder / "Snakefile").write_text(HOOKS + rules)
    return [*SNAKEMAKE, "--directory", str(folder), "--snakefile", str(folder / "Snakefile")]


def wait_for(ask: Callable[[], str], seconds: float = 120) -> str:
    """The first answer that is not empty."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer


def running(cluster, rule: str) -> str:
    """The id of a rule's Slurm job, once it runs."""
    lines = cluster.slurm("squeue", "--noheader", "--states=running", "--format=%i %k").split("\n")
    return next((line.split()[0] for line in lines if line.endswith(f" rule_{rule}")), "")


@pytest.fixture(scope="module")
def said(cluster, tmp_path_factory) -> str:
    """What Snakemake writes in a run whose jobs meet all that Slurm does to jobs."""
    folder = tmp_path_factory.mktemp("run")
    log = folder / "said"
    with Program(project(folder, RULES), log) as program:
        wait_for((folder / "logs/slow.log").exists)
        cluster.slurm("scontrol", "update", f"jobid={running(cluster, 'slow')}", "endtime=now")
        cluster.slurm("scancel", wait_for(lambda: running(cluster, "cancelled")))
        wait_for((folder / "logs/lost.log").exists)
        cluster.end_node("gpu3")
        wait_for(lambda: program.poll() is not None, 300)
    cluster.start_node("gpu3")
    return log.read_text()


def block(said: str, rule: str) -> str:
    """The block of a rule in the report, with the Slurm job's id replaced."""
    told = said.rpartition(" failed:\n\n")[2]
    found = re.search(rf"^rule {rule} .*(?:\n  .*)*", told, re.MULTILINE)
    assert found, said
    text = re.sub(r"Slurm job \d+", "Slurm job N", found[0])
    return re.sub(r"(slurm_logs/rule_\w+)/\d+\.log", r"\1/N.log", text)


AGAIN = "  next: … same command"
MEANT = {
    "mistake": """rule mistake (Slurm job N) failed
  logs/mistake.log:
    error: config.yaml: seed: expected a number""",
    "slow": f"""rule slow (Slurm job N) … time limit … 1 min
  logs/slow.log:
    step 3
{AGAIN} … runtime of rule slow … profile""",
    "cancelled": f"""rule cancelled (Slurm job N) … cancelled
  … logs/cancelled.log
  Slurm's log: .snakemake/slurm_logs/rule_cancelled/N.log
{AGAIN}""",
    "lost": f"""rule lost (Slurm job N) … node … gpu3
  logs/lost.log:
    on a node
{AGAIN}""",
}


@pytest.mark.parametrize("rule", MEANT)
def test_a_failed_job_is_told_in_words(said, rule):
    lines, meant = block(said, rule).splitlines(), MEANT[rule].splitlines()
    assert len(lines) == len(meant), lines
    for line, parts in zip(lines, meant, strict=True):
        assert says(line, parts)


def test_of_a_job_without_a_log_slurms_is_shown(said):
    (line,) = block(said, "unknown").splitlines()[2:]
    assert line.endswith("bash: line 1: no_such_program: command not found")


def test_what_sbatch_refuses_is_told_in_slurms_words(said):
    expected = "rule refused … Slurm: Memory specification can not be satisfied"
    assert says(block(said, "refused"), expected)


def test_a_submission_that_is_followed_by_another_is_a_line(cluster, tmp_path):
    command = [*project(tmp_path, HEALS), "--retries", "1"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    assert re.search(r"^rule heals: submission 1 \(Slurm job \d+\) failed: not yet", said, re.M)
    assert says(block(said, "heals"), "rule heals (Slurm job N) failed")


def test_the_report_is_the_last_word_but_for_snakemakes_own_closing(said):
    assert "Error in rule" not in said.partition("jobs failed:")[2]


def test_a_job_that_an_earlier_snakemake_left_is_not_submitted_twice(cluster, tmp_path):
    command = project(tmp_path, SLEEPS)
    with Program(command, tmp_path / "said") as program:
        job = wait_for(lambda: running(cluster, "sleeps"))
        os.killpg(program.pid, signal.SIGKILL)
    subprocess.run([*command, "--unlock"], check=True, capture_output=True)
    for _ in range(2):  # refused as often as it is tried, without a lock in the way
        done = subprocess.run(command, capture_output=True, text=True)
    left = f"error: rule sleeps: Slurm job {job} … still running: … scancel {job}"
    assert says(done.stderr, left)
    assert done.returncode == 1
    jobs = cluster.slurm("squeue", "--noheader", "--format=%i %Z").splitlines()
    assert [line for line in jobs if line.endswith(str(tmp_path))] == [f"{job} {tmp_path}"]
    cluster.slurm("scancel", job)


def test_the_partitions_of_the_cluster_are_seen(cluster):
    week = 7 * 24 * 60
    limits = {name: each.limit for name, each in slurm.partitions().items()}
    assert limits == {"gpu": week, "cpu": week, "high": week, "low": week}
    requests = {
        "fits": slurm.Request("gpu", week, nodes=3, gres="gpu:8", cpus=64),
        "long": slurm.Request("cpu", week + 1),
        "wide": slurm.Request("gpu", gres="gpu:16"),
    }
    long, wide = slurm.problems(requests)
    assert says(long, f"profile: rule long: runtime {week + 1} min … cpu … {week} min")
    assert says(wide, "profile: rule wide: … partition gpu … gpu:16 … gpu:h100:8")
