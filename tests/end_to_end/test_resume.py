"""Kill -9 in the middle of a job: the next run goes on from there, and trusts no half output.

(Trainings that are killed between two of their steps: test_same_twice.py.)
"""

import json
import os
import re
from pathlib import Path

import pytest
from tests.project import weights


@pytest.mark.parametrize(("name", "file"), [("sl_cai", "sft"), ("dpo_cai", "dpo")])
def test_a_training_that_was_killed_while_it_wrote_its_model_writes_it_again(bench, name, file):
    output = bench.results / f"{name}.nemo"
    undisturbed = weights(output)
    output.unlink()
    (written,) = bench.training(name, f"train/checkpoints/megatron_gpt_{file}.nemo")
    os.truncate(written, written.stat().st_size // 2)
    said = bench.project.snakemake("--", f"results/demo/{name}.nemo")
    assert f"no step is left, writes megatron_gpt_{file}.nemo" in said
    assert weights(output) == undisturbed


def test_ppo_goes_on_with_an_actor_and_a_critic_of_the_same_save(bench):
    steps = "nemo={overrides: {actor: {trainer.ppo.max_steps: 3}}}"
    arguments = ["--config", steps, "--", "results/demo/rl_cai.nemo"]
    second = "train/checkpoints/*step=2*-last-unfinished"
    of_before = bench.training("rl_cai", "pairs/*/*/*-last")
    bench.kill_when(lambda: bench.training("rl_cai", second), *arguments)
    saves = ("2", "1")  # the second one is whole where the kill came late
    pairs = [
        [
            path
            for path in bench.training("rl_cai", f"pairs/{step}/*/*-last")
            if path not in of_before
        ]
        for step in saves
    ]
    step, pair = next((s, p) for s, p in zip(saves, pairs, strict=True) if len(p) == 2)
    assert {path.parent.name for path in pair} == {"train", "critic"}
    assert f"rl_cai: resumes at step {step} in" in bench.project.snakemake(*arguments)
    for path in pair:
        log = bench.results / f"logs/rl_cai.actor{'.critic' * (path.parent.name == 'critic')}.log"
        resumed = re.findall(r"Resuming training from checkpoint: (.*)", log.read_text())
        assert Path(resumed[-1]).name == path.name
    assert bench.project.steps("rl_cai", "train_rollouts/rewards") == [0, 1, 2]


def test_generation_goes_on_from_its_journal(bench):
    journal = bench.results / "work/journal/responses-0.jsonl"
    output = bench.results / "sl_cai/responses/0.jsonl"
    arguments = ["--config", "seed=3", "--", "results/demo/sl_cai/responses/0.jsonl"]
    before = journal.stat().st_size
    bench.kill_when(lambda: journal.stat().st_size > before, *arguments)
    assert not output.exists()
    kept = journal.read_bytes()
    bench.project.snakemake(*arguments)
    assert journal.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)), "something was asked twice"
    ledger = json.loads(output.with_suffix(".ledger.json").read_text())
    assert ledger["out"] == output.read_text().count("\n") > 0
