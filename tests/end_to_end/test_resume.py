"""Kill -9 in the middle of a job: the next run goes on from there, and trusts no half output.

(Trainings that are killed between two of their steps: test_same_twice.py.)
"""

import json
import os
import re
from pathlib import Path

import pytest
from tests.project import answers, weights

from cai.provenance.manifest import read_manifest

ADAPTERS = {
    "trainer.ppo.max_steps": 3,
    "model.peft.peft_scheme": "lora",
    "model.peft.lora_tuning.target_modules": ["all"],
}


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


def test_ppo_with_adapters_goes_on_with_a_policy_and_a_critic_of_the_same_save(bench):
    """With a whole policy it does so in test_frozen.py."""
    overrides = json.dumps({"overrides": {"actor": ADAPTERS}})
    arguments = ["--config", f"nemo={overrides}", "--", "results/demo/rl_cai.nemo"]
    without = bench.training("rl_cai", "pairs/*/*/*")

    def pair(step: int) -> list[Path]:
        found = bench.training("rl_cai", f"pairs/{step}/*/*-last*")
        return [path for path in found if path not in without]

    bench.kill_when(lambda: len(pair(1)) == 2, *arguments)
    step = 2 if len(pair(2)) == 2 else 1
    assert {path.parent.name for path in pair(step)} == {"train", "critic"}
    assert f"rl_cai: resumes at step {step} in" in bench.project.snakemake(*arguments)
    for path in pair(step):
        log = bench.results / f"logs/rl_cai.actor{'.critic' * (path.parent.name == 'critic')}.log"
        resumed = re.findall(r"Resuming training from checkpoint: (.*)", log.read_text())
        assert Path(resumed[-1]).name == path.name
    assert bench.project.steps("rl_cai", "train_rollouts/rewards") == [0, 1, 2]
    merged = read_manifest(bench.results / "rl_cai.nemo")["merged"]
    assert merged["base"] == "results/demo/sl_cai.nemo"


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
    assert answers(journal)  # none was asked twice
    ledger = json.loads(output.with_suffix(".ledger.json").read_text())
    assert ledger["out"] == output.read_text().count("\n") > 0
