"""The same inputs give the same files: two runs from nothing, in two folders.

The trainings of the second one were killed in the middle, and went on (conftest.KILLED). Order of
the data, optimiser and learning rate go on where they were: to the last bit.
"""

import filecmp
import json

import pytest
from tests.end_to_end.conftest import KILLED
from tests.project import weights

from cai.files.records import read_json
from cai.provenance.manifest import identity
from cai.provenance.reproduction import compare

pytestmark = pytest.mark.timeout(2700)  # seconds: two whole runs before the first test

TRAINED = ["sl_cai", "reward_model", "rl_cai", "dpo_cai", "best_of_n"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_weights_of_trained_models_are_equal_to_the_last_bit(project, project_again, name):
    first, second = (each.results / f"{name}.nemo" for each in (project, project_again))
    assert weights(first) == weights(second) != {}
    assert identity(first) == identity(second)
    told = [read_json(path.with_suffix(".manifest.json")) for path in (first, second)]
    assert told[0]["identity"] == told[1]["identity"] == identity(first)
    assert list(told[0]["inputs"].values()) == list(told[1]["inputs"].values())


@pytest.mark.parametrize("name", KILLED)
def test_a_training_that_was_killed_goes_on_from_its_checkpoint(project, project_again, name):
    resumed = f"{name}: resumes at step {KILLED[name]} in"
    assert any(resumed in log for log in project_again.logs)
    steps = project.steps(name, "train/loss")
    assert project_again.steps(name, "train/loss") == steps == list(range(2 * KILLED[name]))


def test_trained_models_differ_from_each_other(project):
    assert len({identity(project.results / f"{name}.nemo") for name in TRAINED}) == len(TRAINED)


def test_datasets_answers_and_the_summary_are_equal(project, project_again):
    rows = compare(project.results, project_again.results)
    names = {row.name for row in rows}
    assert names >= {
        "models/base.nemo",
        "sl_cai/responses/0.jsonl",
        "sl_cai/revisions/0.jsonl",
        "sl_cai/train.jsonl",
        "rl_cai/candidates/0.jsonl",
        "rl_cai/preferences/0.jsonl",
        "rl_cai/train.comparisons.jsonl",
        "evaluation/answers/rl_cai.jsonl",
        "evaluation/rewards/rl_cai.jsonl",
        "evaluation/summary.json",
    }
    assert [row.name for row in rows if not row.is_equal] == []


def test_figures_and_ledgers_are_equal_too(project, project_again):
    patterns = ("figures/*", "**/*.ledger.json", "**/*.report.json", "evaluation/*.md")
    here, there = project.results, project_again.results
    names = {  # in the first there is more by now: other tests have asked it for other figures
        path.relative_to(there)
        for pattern in patterns
        for path in there.glob(pattern)
        if path.is_file()
    }
    assert len(names) > 25
    _, others, missing = filecmp.cmpfiles(here, there, names, shallow=False)
    assert others == missing == []


def test_what_a_model_was_asked_stays_known_though_its_file_is_another(project, project_again):
    """The journal of one run serves the other: the models are the same."""
    name = "work/journal/responses-0.jsonl"
    keys = [
        {json.loads(line)["key"] for line in (each.results / name).open()}
        for each in (project, project_again)
    ]
    assert keys[0] == keys[1]
