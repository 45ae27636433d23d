"""The shipped examples: each is the demo's constitution with one edit, in words that are known."""

import pytest
from tests.examples import EXAMPLES

from cai.report.changed_settings import principles_differences
from cai.settings.constitution import load_constitution
from cai.settings.origins import Origins
from cai.workflow import experiments, new_experiment

DEMO = Origins.of(["config/config.yaml", "config/demo.yaml"]).merged()


def test_these_are_all_examples():
    shown = [name for name in experiments.names() if name.startswith("demo_")]
    assert shown == sorted(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_one_edit_and_says_what_it_shows(name):
    run, example = experiments.check(DEMO | {"experiment": name}), EXAMPLES[name]
    before, now = (
        [each.model_dump() for each in load_constitution(settings.constitution)]
        for settings in (run.base.settings, run.settings)
    )
    rows = [row for row in principles_differences(before, now) if row["change"] != "same"]
    assert [(row["id"], row["change"]) for row in rows] == [(example.principle, example.change)]
    differ = [field for field, runs in rows[0]["texts"].items() if {w for w, _ in runs} != {"same"}]
    assert differ == list(example.texts)
    own = [part for part in experiments.PARTS if getattr(run.at, part) == run.settings.results]
    assert own[0] == example.first
    assert new_experiment.about(name).endswith(".")
