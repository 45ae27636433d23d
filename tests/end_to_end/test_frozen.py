"""PPO whose actor or critic is frozen: it is ended with the end of its log, and goes on later."""

import os
import shutil
import signal
import time
from pathlib import Path

from tests.end_to_end.killing import Bench, processes
from tests.messages import says

STEPS = "nemo={overrides: {actor: {trainer.ppo.max_steps: 4}}}"
RUN = ["--config", STEPS, "--set-resources", "rl_cai:stop_if_silent=1", "--"]
TARGET = "results/demo/rl_cai.nemo"


def running(folder: Path, program: str) -> list[int]:
    """The processes in a folder that are one of NeMo's programs itself, not what started it."""
    return [pid for pid in processes(folder) if _program(pid) == program]


def _program(pid: int) -> str:
    """The name of the file that a process of Python runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    return Path(words[1]).name if len(words) > 1 else ""


def test_a_frozen_program_is_ended_and_resumed(bench, tmp_path):
    (bench.results / "rl_cai.nemo").unlink()
    shutil.rmtree(bench.results / "work/rl_cai")
    freeze(bench, "train_gpt_ppo_actor.py", 1, tmp_path / "first")
    freeze(bench, "serve_ppo_critic.py", 2, tmp_path / "second")
    assert (
        (bench.results / "logs/rl_cai.log").read_text().startswith("rl_cai: resumes at step 1 in")
    )
    assert "rl_cai: resumes at step 2 in" in bench.project.snakemake(*RUN, TARGET)
    assert bench.project.steps("rl_cai", "train_rollouts/rewards") == [0, 1, 2, 3]


def freeze(bench: Bench, program: str, step: int, said: Path) -> None:
    """Run PPO, stop a program once this step is saved, and wait until that ends the run."""
    with said.open("w") as output:
        bench.run = bench.project.start(*RUN, TARGET, output=output)
    while len(bench.training("rl_cai", f"pairs/{step}/*/*-last")) < 2:
        assert bench.run.poll() is None, said.read_text()[-4000:]
        time.sleep(0.1)
    (frozen,) = running(bench.project.folder, program)
    os.kill(frozen, signal.SIGSTOP)

    assert bench.run.wait() != 0
    words = f"rl_cai: … nothing for 1 minutes … stop_if_silent … step {step} …"
    assert says(said.read_text(), words)
    assert not Path(f"/proc/{frozen}").exists()
