"""A real English model through conversion, responses, critique and revision, and a step of SFT."""

import json
import re

import pytest
from tests.project import ROOT, Project

from cai.models.tokens import Tokenizer


class SmolLM2(Project):
    """The project with the configuration of `make smollm`, at the size of a test."""

    profile = "profiles/smollm"
    configs = ("config/smollm.yaml", str(ROOT / "tests/end_to_end/smollm2.yaml"))

    @property
    def results(self):
        return self.folder / "results/smollm"


@pytest.fixture(scope="module")
def trained(nemo_python, smollm2, tmp_path_factory) -> SmolLM2:
    """The project after its supervised stage."""
    project = SmolLM2(tmp_path_factory.mktemp("smollm2"))
    project.snakemake("--", "results/smollm/sl_cai.nemo")
    return project


def test_the_rest_of_the_run_fits(trained):
    """What a dry run checks: batches, lengths and records of the trainings that follow."""
    targets = [f"results/smollm/{name}" for name in ("report.html", "rl_cai.nemo", "dpo_cai.nemo")]
    assert {"reward_model", "rl_cai", "dpo_cai", "report"} < trained.planned(targets=targets)


def test_each_record_is_answered_criticised_and_revised(trained):
    asked = (trained.results / "data/red_team/train.jsonl").read_text().splitlines()
    lines = (trained.results / "sl_cai/revisions/0.jsonl").read_text().splitlines()
    assert len(lines) == len(asked) > 1
    for line in lines:
        row = json.loads(line)
        assert row["response"] and {"critique", "revision"} <= row["rounds"][0].keys()


def test_the_model_that_nemo_trains_knows_english(trained):
    """With a wrong order of weights or a wrong tokenizer the loss is that of chance, 10.8."""
    metrics = (trained.results / "sl_cai.metrics.csv").read_text()
    (loss,) = re.findall(r"^train/loss,\d+,([\d.]+)", metrics, re.M)
    assert float(loss) < 5


def test_digits_are_tokens_of_their_own_and_nothing_is_added(smollm2, trained):
    text = "In  2024, it isn't 12.5<|im_end|>"
    tokens = [Tokenizer(path).encode(text) for path in (smollm2, trained.results / "sl_cai.nemo")]
    assert tokens[0] == tokens[1]
    own = Tokenizer(smollm2)
    assert own.decode(tokens[0]) == text
    assert [own.decode([token]) for token in tokens[0][-5:]] == ["1", "2", ".", "5", "<|im_end|>"]
