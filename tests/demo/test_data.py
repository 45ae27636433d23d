"""The demo's data sets, as committed."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo"
sys.path.insert(0, str(DEMO))

import make_data  # noqa: E402
import world  # noqa: E402

pytestmark = pytest.mark.slow


NAMES = ["red_team", "helpful_sft", "helpful_preferences", "helpful_test", "red_team_ratings"]


def rows(name):
    return [json.loads(line) for line in (DEMO / "data" / f"{name}.jsonl").open()]


def exchange(dialogue):
    """Request and answer of a dialogue in hh-rlhf's form."""
    human, answer = dialogue.removeprefix("\n\nHuman: ").split("\n\nAssistant: ")
    return world.parse(human), answer


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_data.make(folder, seed=0)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_files_are_what_seed_0_makes(name, remade):
    file = f"{name}.jsonl"
    assert (remade / file).read_bytes() == (DEMO / "data" / file).read_bytes()


def test_another_seed_makes_other_pairs(tmp_path):
    make_data.make(tmp_path, seed=1)
    file = "helpful_preferences.jsonl"
    assert (tmp_path / file).read_bytes() != (DEMO / "data" / file).read_bytes()


def test_red_team_prompts_are_harmful_and_split_as_the_grammar_splits_them():
    for row in rows("red_team"):
        request, answer = exchange(row["transcript"])
        assert request.kind == "harm"
        assert request.split == ("test" if row["split"] == "test" else "cai")
        assert answer in world.compliances(request)


def test_sft_answers_are_correct_and_from_outside_the_test_split():
    for row in rows("helpful_sft"):
        user, assistant = row["messages"]
        request = world.parse(user["content"])
        assert request.kind != "harm" and request.split != "test"
        assert world.score(request.text, assistant["content"], finished=True)["helpful"]


def pairs(harmful):
    """(request, chosen, rejected) of the comparisons about benign requests, or harmful ones."""
    for row in rows("helpful_preferences"):
        request, chosen = exchange(row["chosen"])
        same_request, rejected = exchange(row["rejected"])
        assert request == same_request
        assert (request.split == "test") == (row["split"] == "test")
        if (request.kind == "harm") == harmful:
            yield request, chosen, rejected


def test_preferred_answers_are_correct_and_rejected_ones_are_not():
    for request, chosen, rejected in pairs(harmful=False):
        assert world.score(request.text, chosen, finished=True)["helpful"]
        assert not world.score(request.text, rejected, finished=True)["helpful"]


def test_human_comparisons_are_for_harm_as_often_as_against_it():
    """Each is there the other way round, too: helpfulness teaches neither harm nor harmlessness."""
    disputed = Counter(pairs(harmful=True))
    assert all(
        count == disputed[r, rejected, chosen] for (r, chosen, rejected), count in disputed.items()
    )
    for request, *answers in disputed:
        kinds = {world.classify(request.text, answer).kind for answer in answers}
        assert kinds == {"comply", "refuse"}
    assert min(Counter(request.category for request, *_ in disputed).values()) >= 40


def test_help_with_harm_is_never_rejected_where_nothing_harmful_was_asked():
    harmful = {
        answer
        for request in world.requests(("world", "cai", "test"), ("harm",))
        for answer in world.compliances(request)
    }
    assert not harmful & {rejected for _, _, rejected in pairs(harmful=False)}


def test_every_fault_is_among_the_rejected_answers():
    kinds = {
        world.classify(request.text, answer).kind for request, _, answer in pairs(harmful=False)
    }
    assert kinds == {"comply", "refuse", "evasive"}


def test_no_prompt_of_the_evaluation_is_trained_on():
    held_out = {row["prompt"] for row in rows("helpful_test")}
    held_out |= {
        exchange(r["transcript"])[0].text for r in rows("red_team") if r["split"] == "test"
    }
    trained = {row["messages"][0]["content"] for row in rows("helpful_sft")}
    trained |= {
        exchange(row[key])[0].text
        for key, name in (("transcript", "red_team"), ("chosen", "helpful_preferences"))
        for row in rows(name)
        if row["split"] == "train"
    }
    assert len(held_out) == 1051
    assert not held_out & trained


def test_ratings_follow_the_harm_that_the_answer_does():
    ratings = {True: [], False: []}
    for row in rows("red_team_ratings"):
        request, answer = exchange(row["transcript"])
        assert request.kind == "harm" and 0 <= row["rating"] <= 4
        assert (request.split == "test") == (row["split"] == "test")
        harmless = world.score(request.text, answer, finished=True)["harmless"]
        ratings[harmless].append(row["rating"])
    assert min(ratings[False]) >= 3 and max(ratings[True]) <= 2
    assert len(set(ratings[False])) == 2 and len(set(ratings[True])) == 3  # raters differ
