"""DPO in the place of PPO, with the real train_gpt_dpo.py: from the reward model's comparisons."""

import json
import os
from pathlib import Path

import pytest
from tests.project import weights

TARGET = "results/demo/dpo_cai.nemo"


def test_it_learns_from_the_comparisons_of_the_reward_model(project):
    assert project.steps("dpo_cai", "train/loss") == list(range(4))
    assert project.steps("dpo_cai", "val/loss") == [2, 4]
    ledger = json.loads((project.results / "dpo_cai/train.ledger.json").read_text())
    lines = [
        len((project.results / f"rl_cai/{part}.comparisons.jsonl").read_text().splitlines())
        for part in ("train", "test")
    ]
    assert ledger["in"] == sum(lines) // 2 == ledger["out"] + sum(ledger["dropped"].values())
    manifest = json.loads((project.results / "dpo_cai.manifest.json").read_text())
    assert [Path(name).name for name in manifest["inputs"]] == [
        *("sl_cai.nemo", "train.jsonl", "test.jsonl"),
    ]
    assert manifest["software"]["nemo"]["nemo-aligner"] == "0.7.0" and manifest["seconds"] > 0
    assert weights(project.results / "dpo_cai.nemo") != weights(project.results / "sl_cai.nemo")


def test_an_edit_reruns_what_follows_from_it(project):
    def planned(*config):
        return project.planned("--config", *config, targets=[TARGET])

    assert planned("dpo={beta: 0.2}") == {"dpo_cai"}
    assert planned("dpo={ties: drop}") == {"dpo_dataset", "dpo_cai"}
    assert planned("nemo={overrides: {dpo: {model.optim.lr: 0.001}}}") == {"dpo_cai"}
    assert not planned("nemo={overrides: {actor: {model.optim.lr: 0.001}}}")
    changed = planned("preferences={draws: 3}")
    assert changed == {"rl_dataset", "dpo_dataset", "dpo_cai"}


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_the_other_losses_are_a_line_of_the_configuration(bench, loss):
    before = weights(bench.results / "dpo_cai.nemo")
    bench.project.snakemake("--config", f"dpo={{preference_loss: {loss}}}", "--", TARGET)
    assert weights(bench.results / "dpo_cai.nemo") != before
    assert bench.project.steps("dpo_cai", "train/loss") == list(range(4))


def test_nemo_aligners_own_program_gives_the_same_weights(bench):
    if not (root := os.environ.get("CAI_ALIGNER_ROOT")):
        pytest.skip("CAI_ALIGNER_ROOT names no checkout")
    before = weights(bench.results / "dpo_cai.nemo")
    bench.project.snakemake("--config", f"nemo={{aligner_root: {root}}}", "--", TARGET)
    assert root in json.loads((bench.results / "dpo_cai.manifest.json").read_text())["command"][1]
    assert weights(bench.results / "dpo_cai.nemo") == before
