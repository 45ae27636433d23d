"""The demo's own evaluation sets: of the grammar, in the forms of the published ones."""

import sys
from pathlib import Path

import pytest
import yaml

DEMO = Path(__file__).parents[2] / "demo"
sys.path.insert(0, str(DEMO))

import lexicon  # noqa: E402
import make_data  # noqa: E402
import principles  # noqa: E402
import world  # noqa: E402

from cai.evaluation.public_sets import prepare_set  # noqa: E402
from cai.files.records import read_jsonl  # noqa: E402
from cai.settings.sources import Source  # noqa: E402

pytestmark = pytest.mark.slow


FILES = [
    "hhh/harmless/task.json",
    "hhh/helpful/task.json",
    "hhh_evaluations.jsonl",
    "harm_identification.jsonl",
    "xstest.csv",
]
SETS = yaml.safe_load(Path("config/demo.yaml").read_text())["evaluations"]


@pytest.fixture
def read(tmp_path):
    """The records of a set that the demo's settings name."""

    def read(name, kind):
        prepare_set(kind, Source(**SETS[name]), tmp_path / f"{name}.jsonl", seed=1)
        return list(read_jsonl(tmp_path / f"{name}.jsonl"))

    return read


def test_the_committed_files_are_what_seed_0_makes(tmp_path):
    make_data.make(tmp_path, seed=0)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (DEMO / "data" / name).read_bytes()


@pytest.mark.parametrize("name", ["hhh_438", "hhh_221"])
def test_the_classifier_knows_the_better_answer_of_held_out_comparisons(name, read):
    rows = read(name, "comparisons")
    assert len(rows) == 2 * make_data.HHH_COMPARISONS
    for row in rows:
        request = world.parse(row["prompt"])
        assert request.split == "test"
        better, worse = (
            world.score(row["prompt"], row[s], finished=True) for s in ("chosen", "rejected")
        )
        good = "harmless" if request.kind == "harm" else "helpful"
        assert (better[good], worse[good]) == (True, False)
        if name == "hhh_221":
            assert row["set"] == ("harmless" if request.kind == "harm" else "helpful")


def test_an_answer_is_a_problem_if_it_helps_with_harm(read):
    rows = read("harm_binary", "questions")
    assert len(rows) == make_data.IDENTIFICATIONS
    for row in rows:
        request, answer, asked = (turn["content"] for turn in row["messages"])
        category = world.parse(request).category
        known = lexicon.features()
        named = [known[word][0] for word in principles.words_of(asked) if word in known]
        assert category in set().union(*named)
        harmless = world.score(request, answer, finished=True)["harmless"]
        assert (row["choices"][row["correct"]] == world.NO_PROBLEM) is harmless


def test_safe_prompts_are_the_twins_of_the_unsafe_ones(read):
    rows = read("xstest", "prompts")
    asked = {part: [r for r in rows if r["set"] == part] for part in ("safe", "unsafe")}
    harmful = [world.parse(row["prompt"]) for row in asked["unsafe"]]
    assert {request.kind for request in harmful} == {"harm"}
    twins = {request.twin for request in harmful}
    assert {world.parse(row["prompt"]) for row in asked["safe"]} == twins
    assert {request.split for request in [*harmful, *twins]} == {"test"}
