"""Programs that others wrote: what they are told, and that they end with the one who started them.

Everything is killed for real.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cai.core import orphans
from cai.running.process import AT_ONCE, GRACE, OWN_SECRETS, Program, free_port, inherited

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
# As NeMo does when it saves: a child that is forked and goes into a session of its own, listens and
# does not listen to SIGTERM; the program writes the children's numbers into a file.
FORKS = """
import os, signal, socket, sys, time
children = []
for detached in (False, True):
    pid = os.fork()
    if pid == 0:
        if detached:
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server = socket.create_server(("127.0.0.1", 0))
        time.sleep(600)
    children.append(pid)
with open(sys.argv[1] + ".part", "w") as stream:
    print(os.getpid(), *children, file=stream)
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(float(sys.argv[2]))
"""


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def forking(tmp_path, seconds):
    return [sys.executable, "-c", FORKS, str(tmp_path / "pids"), str(seconds)]


def pids(tmp_path):
    wait_for((tmp_path / "pids").exists)
    return list(map(int, (tmp_path / "pids").read_text().split()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_killed_training(tmp_path, number):
    """A kill -9 of the job's program while the trainer has children that it forked."""
    inputs = tmp_path / "data.jsonl"
    inputs.write_text("{}\n")
    command = [
        *(sys.executable, ROOT / "scripts/training/train.py", "--what", "t", "--name", "t"),
        *("--work", tmp_path / "work", "--output", tmp_path / "t.nemo"),
        *("--log", tmp_path / "t.log", "--inputs", inputs, "--", *forking(tmp_path, 600)),
    ]
    training = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = pids(tmp_path)
    supervisor = psutil.Process(started[0]).parent()
    assert all(map(runs, started))
    training.send_signal(number)
    training.wait(40)
    wait_for(lambda: not any(map(runs, [*started, supervisor.pid])), 40)


def test_nothing_outlives_a_program_that_ends(tmp_path):
    with Program(forking(tmp_path, 0), tmp_path / "log") as program:
        started = pids(tmp_path)
        wait_for(lambda: program.poll() is not None)
        assert program.poll() == 0
        assert not any(map(runs, started))


def test_a_server_that_does_not_end_is_killed_at_once(tmp_path):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    deaf += "; time.sleep(99)"
    with Program([sys.executable, "-c", deaf], tmp_path / "log", patience=AT_ONCE) as program:
        wait_for(lambda: "1" in program.tail())
        began = time.monotonic()
        program.stop()
    assert AT_ONCE <= time.monotonic() - began < GRACE and not runs(program.pid)


@pytest.mark.parametrize(("end", "code"), [("exit(7)", 7), ("os.kill(os.getpid(), 9)", -9)])
def test_a_program_ends_as_it_ended(tmp_path, end, code):
    with Program([sys.executable, "-c", f"import os; {end}"], tmp_path / "log") as program:
        wait_for(lambda: program.poll() is not None)
        assert program.poll() == code


SECRETS = {
    **{"NVIDIA_API_KEY": "s3cret", "HF_TOKEN": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret"},
    **{"AWS_ACCESS_KEY_ID": "s3cret", "PGPASSWORD": "s3cret", "MY_JUDGE": "s3cret"},
    **{"http_proxy": "http://me:s3cret@proxy:1", "HUGGING_FACE_HUB_TOKEN": "s3cret"},
    **{"GOOGLE_APPLICATION_CREDENTIALS": "s3cret.json", "github_pat": "s3cret"},
}
PLAIN = {"HF_HOME": "/x", "TOKENIZERS_PARALLELISM": "false", "KEYMAP": "us", "https_proxy": "h:1"}


def test_a_program_gets_no_keys_and_tokens(tmp_path, monkeypatch):
    """A child prints its environment: none of the secrets, all of the rest."""
    for name, value in {**SECRETS, **PLAIN, OWN_SECRETS: "MY_JUDGE"}.items():
        monkeypatch.setenv(name, value)
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    with Program(show, tmp_path / "log") as program:
        wait_for(lambda: program.poll() is not None)
    said = (tmp_path / "log").read_text()
    assert "s3cret" not in said
    assert PLAIN.items() <= json.loads(said).items()

    line = [sys.executable, str(ROOT / "scripts/launch.py"), "--", *show]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "s3cret" not in said
    assert PLAIN.items() <= json.loads(said).items()

    launch = json.dumps({"environment": "+HF_TOKEN"})
    line[2:2] = ["--launch", launch]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert json.loads(said)["HF_TOKEN"] == "s3cret"
    assert said.count("s3cret") == 1
    line.insert(2, "--dry-run")
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "HF_TOKEN=" in said
    assert "s3cret" not in said


def test_what_a_slurm_step_and_a_shell_need_is_kept():
    """Names of this kind of machine that look like a secret's only at first sight."""
    names = ["SLURM_JOB_ID", "SLURM_JWT", "PATH", "PWD", "OLDPWD", "XDG_SESSION_ID", "MONKEY"]
    given = dict.fromkeys([*names, "CUDA_VISIBLE_DEVICES", "PMIX_SECURITY_MODE"], "x")
    assert inherited(given) == given


SNAKEFILE = """
import sys
sys.path.insert(0, {scripts!r})
from cai.core import orphans
orphans.announce()

rule all:
    output: "out"
    shell: "{python} job.py | tee log"
"""
JOB = """
import os, sys, time
sys.path.insert(0, {scripts!r})
from pathlib import Path
from cai.core.cli import run
from cai.running.process import Program

def main():
    with Program({command!r}, Path("program.log")):
        Path("job.pid").write_text(str(os.getpid()))
        time.sleep(600)

run(main)
"""


def test_jobs_end_with_a_snakemake_that_is_killed(tmp_path):
    scripts = str(ROOT / "scripts")
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=scripts, python=sys.executable))
    (tmp_path / "job.py").write_text(JOB.format(scripts=scripts, command=forking(tmp_path, 600)))
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # A workflow that another test has opened in this process is not the one to end with.
    own = {name: value for name, value in os.environ.items() if name != orphans.VARIABLE}
    snakemake = subprocess.Popen(command, cwd=tmp_path, env=own, **quiet)
    started = pids(tmp_path)
    wait_for((tmp_path / "job.pid").exists)
    job = int((tmp_path / "job.pid").read_text())
    assert all(map(runs, [*started, job]))
    time.sleep(2)  # in which an alarm that goes off by itself would have gone off
    assert all(map(runs, [*started, job]))
    os.kill(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    wait_for(lambda: not any(map(runs, [*started, job])), 120)


def test_a_free_port_is_none_of_outgoing_connections():
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) > 40
    for port in ports:
        assert port < first or port > last
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
