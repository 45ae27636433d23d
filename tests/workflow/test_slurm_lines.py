"""The lines that Slurm gets for the Mistral-7B run, as the profile in the repository makes them.

sbatch is a recorder here, so that the test needs no Slurm; tests/slurm runs the real one.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
RECORDER = """#!{python}
import json, os, sys
calls = os.environ["RECORD"]
with open(calls, "a") as stream:
    print(json.dumps(sys.argv[1:]), file=stream)
print(len(open(calls).readlines()))
"""
JOBS = {  # a target of each, and what its job reads
    "responses": ("sl_cai/responses/3.jsonl", "models/instruct.nemo data/red_team/train.jsonl"),
    "sl_cai": ("sl_cai.nemo", "models/base.nemo sl_cai/train.jsonl sl_cai/validation.jsonl"),
    "rl_cai": (
        "rl_cai.nemo",
        "sl_cai.nemo reward_model.nemo rl_cai/train.prompts.jsonl rl_cai/test.prompts.jsonl",
    ),
}
MISTRAL = {
    "model_type": "mistral",
    **{"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000},
    **{"max_position_embeddings": 32768, "sliding_window": 4096},
}
GPU_JOB = "--requeue --ntasks-per-node=8 --cpus-per-task=8 -D HERE --gres=gpu:8"


def sbatch(log, comment, sizes):
    return (
        f"--parsable --job-name ID --output HERE/.snakemake/slurm_logs/{log}/%j.log --export=ALL"
        f" --comment {comment} -p gpu {sizes} {GPU_JOB}"
    )


SBATCH = {
    "responses": sbatch(
        "rule_responses/3", "rule_responses_wildcards_3", "-t 480 --mem 400000 --nodes=1"
    ),
    "sl_cai": sbatch("rule_sl_cai", "rule_sl_cai", "-t 1440 --mem 1000000 --nodes=1"),
    "rl_cai": sbatch("rule_rl_cai", "rule_rl_cai", "-t 1440 --mem 1000000 --nodes=2"),
}
# the host's Python does not reach the container; threads are the profile's, HOME can be written
THREADS = "OMP_NUM MKL_NUM OPENBLAS_NUM GOTO_NUM VECLIB_MAXIMUM NUMEXPR_NUM"
PASSED = {f"{name}_THREADS": "8" for name in THREADS.split()}
PASSED |= {"LANG": "C.UTF-8", "HOME": "HERE/.envs/home"}
PASSED |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
DROPPED = "env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u LD_LIBRARY_PATH"
VARIABLES = " ".join([DROPPED, *(f"{name}={value}" for name, value in PASSED.items())])
CONTAINER = "--no-container-mount-home --container-writable"


def srun(nodes, gpus, first=0, memory=""):
    return (
        f"srun --nodes={nodes} --ntasks={nodes * gpus} --ntasks-per-node={gpus} --relative={first}"
        f" --cpus-per-task=8 --gres=gpu:{gpus}{memory} --chdir=HERE --export=ALL"
        " --kill-on-bad-exit=1 --container-image=HERE/nemo.sqsh --container-mounts=HERE:HERE"
        f" --container-workdir=HERE --container-env={','.join(sorted(PASSED))}"
    )


SRUN = {  # the critic's line, the actor's line
    1: [f"{VARIABLES} {srun(1, 4, 0, ' --mem=500000')} --exact {CONTAINER}"] * 2,
    2: [
        f"{VARIABLES} {srun(1, 8)} --overlap {CONTAINER}",
        f"{VARIABLES} {srun(1, 8, first=1)} --overlap {CONTAINER}",
    ],
    8: [
        f"{VARIABLES} {srun(4, 8)} --overlap {CONTAINER}",
        f"{VARIABLES} {srun(4, 8, first=4)} --overlap {CONTAINER}",
    ],
}

CRITIC_NODES = {1: 1, 2: 1, 8: 4}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the project's files; its profile names a container there."""
    for part in ("Snakefile", "rules", "scripts", "config", "envs", "demo"):
        (tmp_path / part).symlink_to(ROOT / part)
    monkeypatch.setenv("LANG", "C.UTF-8")
    (tmp_path / "nemo.sqsh").touch()
    for name in ("base", "instruct"):  # else the sizes would be looked for in an empty .nemo
        (tmp_path / f"results/models/{name}_hf").mkdir(parents=True)
        (tmp_path / f"results/models/{name}_hf/config.json").write_text(json.dumps(MISTRAL))
    return Site(tmp_path)


class Site:
    def __init__(self, folder):
        self.folder = folder
        self.profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
        self.profile["default-resources"]["container"] = str(folder / "nemo.sqsh")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("sbatch", "squeue", "sacct", "sinfo", "scontrol", "sacctmgr"):
            text = RECORDER.format(python=sys.executable) if name == "sbatch" else "#!/bin/sh\n"
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    @property
    def environment(self):
        """In which Slurm's commands are the recorder, and others that say nothing."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return os.environ | {"RECORD": str(self.folder / "calls"), "PATH": path}

    def write(self, **resources):
        """Write the profile, with these resources of rules."""
        for rule, given in resources.items():
            self.profile["set-resources"][rule] |= given
        (self.folder / "slurm").mkdir(exist_ok=True)
        (self.folder / "slurm/config.yaml").write_text(yaml.safe_dump(self.profile))

    def snakemake(self, rule, *options):
        """The command that runs one job, whose inputs are there, but empty."""
        target, inputs = JOBS[rule]
        for path in (self.folder / "results" / name for name in ("nemo.json", *inputs.split())):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *options]
        return [*command, "--config", "nemo={check: false}", "--", f"results/{target}"]

    def launched(self, rule):
        """The command lines that the launcher makes of a job's programs, in their order."""
        plan = self.snakemake(rule, "-n", "-p")
        done = subprocess.run(
            plan, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        (line,) = (line for line in done.stdout.splitlines() if "Shell command: " in line)
        words = shlex.split(line.partition("Shell command: ")[2].partition(" 2>&1")[0])
        own, *programs = [list(part) for _, part in split_at(words, "--")]
        flags = ["--critic-launch", "--launch"][-len(programs) :]
        launches = [own[own.index(flag) + 1] for flag in flags]
        return [self.srun(*pair) for pair in zip(launches, programs, strict=True)]

    def srun(self, launch, command):
        """What the launcher would run, up to NeMo's Python."""
        program = [sys.executable, "scripts/launch.py", "--dry-run", "--launch", launch, "--"]
        said = subprocess.run(
            [*program, *command], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout
        return said.replace(str(self.folder), "HERE").partition(" python /opt/")[0]

    def sbatch_line(self, rule):
        """What sbatch is given, up to the command."""
        words = self.submitted(rule)
        assert words[-1].startswith("--wrap=")
        line = " ".join(words[:-1]).replace(str(self.folder), "HERE")
        return re.sub(r"(?<=--job-name )\S+", "ID", line)

    def submitted(self, rule):
        """The sbatch line of a job."""
        calls = self.folder / "calls"
        running = subprocess.Popen(
            self.snakemake(rule),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (calls.exists() and calls.read_text().endswith("\n")):
            assert running.poll() is None and time.monotonic() < deadline, running.stdout.read()
            time.sleep(0.1)
        os.killpg(running.pid, 9)
        running.communicate()
        return json.loads(calls.read_text().splitlines()[0])


def split_at(words, mark):
    """The words between the marks, numbered."""
    part = 0
    for is_mark, group in itertools.groupby(words, lambda word: word == mark):
        if not is_mark:
            yield part, group
            part += 1


@pytest.mark.parametrize("rule", SBATCH)
def test_the_sbatch_line_of_a_job(project, rule):
    project.write()
    assert project.sbatch_line(rule) == SBATCH[rule]


@pytest.mark.parametrize("nodes", [1, 8])
def test_the_sbatch_line_of_ppo_on_other_numbers_of_nodes(project, nodes):
    project.write(rl_cai={"nodes": nodes, "critic_nodes": CRITIC_NODES[nodes]})
    assert project.sbatch_line("rl_cai") == SBATCH["rl_cai"].replace("=2", f"={nodes}")


@pytest.mark.parametrize("nodes", SRUN)
def test_the_srun_lines_of_ppo_on_one_two_and_eight_nodes(project, nodes):
    project.write(rl_cai={"nodes": nodes, "critic_nodes": CRITIC_NODES[nodes]})
    assert project.launched("rl_cai") == SRUN[nodes]


def test_the_srun_line_of_a_server(project):
    project.write()
    assert project.launched("responses") == [f"{VARIABLES} {srun(1, 8)} --overlap {CONTAINER}"]


def test_the_srun_line_of_sft_on_two_nodes(project):
    project.write(sl_cai={"nodes": 2})
    assert project.launched("sl_cai") == [f"{VARIABLES} {srun(2, 8)} --overlap {CONTAINER}"]


def test_apptainer_and_mpi(project):
    site = {"launcher": "apptainer", "mpi_type": "pmix", "mounts": "/:/host:ro"}
    project.profile["default-resources"] |= site
    project.write()
    (line,) = project.launched("sl_cai")
    assert line.endswith(
        " --mpi=pmix --overlap apptainer exec --writable-tmpfs --home HERE/.envs/home --nv"
        " --pwd HERE --bind HERE --bind /:/host:ro HERE/nemo.sqsh"
    )
