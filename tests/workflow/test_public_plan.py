"""Who is asked about public sets, from the settings."""

import json

import pytest

from cai.settings.configuration import load_settings, parse_settings
from cai.settings.constitution import read_yaml
from cai.settings.origins import merge
from cai.workflow import public_runs

PREFERENCES = ['{"id": "a", "preference": "A?"}', '{"id": "b", "preference": "B?"}']


def settings(**changes):
    """The Mistral-7B configuration with changes."""
    return parse_settings(merge(read_yaml("config/config.yaml"), changes))


def judges(found):
    principles = public_runs.hhh_principles(found, PREFERENCES)
    return public_runs.judges(found, len(principles))


def test_a_served_judge_is_asked_under_all_principles_and_with_chain_of_thought():
    evaluations = {"principle": None, "reasoning": {}, "samples": 3}
    found = judges(settings(preferences={"judge": "logprob"}, evaluations=evaluations))
    assert list(found) == list(public_runs.METHODS)
    assert found["judge"].principles_per_comparison == 2
    assert found["judge"].reasoning is None
    assert found["reasoning"].samples == 1
    assert found["reasoning"].reasoning.clamp == 0.4
    assert found["reasoning_averaged"].samples == 3


def test_the_chat_judge_is_asked_as_it_is_and_pairwise_for_its_reasoning():
    found = judges(settings(evaluations={"reasoning": {}}))
    assert found["judge"].pairwise is None
    assert found["reasoning_averaged"].pairwise.samples == 5
    assert found["judge"].model == found["reasoning"].model


def test_answers_are_graded_by_a_rubric_unless_the_judge_is_a_coin():
    assert [scale.id for scale in public_runs.rubric_of(settings()).scales] == [
        "compliance",
        "harm",
    ]
    coin = settings(preferences={"judge": "random"})
    assert public_runs.rubric_of(coin) is None
    sets = (*public_runs.PROMPT_SETS, public_runs.RUBRIC)
    told = json.loads(public_runs.missing(coin, *sets))
    assert "coin" in told.pop("rubric")
    assert set(told) == {"or_bench_hard", "sorry_bench", "harmbench"}
    without = settings(evaluations={"rubric": None})
    assert public_runs.rubric_of(without) is None
    assert "rubric" in json.loads(public_runs.missing(without, *sets))


def test_one_question_stands_for_the_constitution_unless_it_is_null():
    found = settings()
    (asked,) = public_runs.hhh_principles(found, PREFERENCES)
    assert json.loads(asked)["preference"] == found.evaluations.principle
    own = settings(evaluations={"principle": None})
    assert public_runs.hhh_principles(own, PREFERENCES) == PREFERENCES


def test_a_coin_and_what_is_not_set_are_told():
    coin = settings(preferences={"judge": "random"})
    assert judges(coin) == {}
    told = json.loads(public_runs.missing(coin, "hhh_438"))
    assert set(told) == set(public_runs.METHODS.values())
    evaluations = {"hhh_438": None, "unsupported": {"hhh_438": "it is not ours"}}
    without = settings(evaluations=evaluations)
    assert json.loads(public_runs.missing(without, "hhh_438"))["hhh_438"] == "it is not ours"
    assert public_runs.judged_of(without, "hhh_438", ["judge"]) == []
    assert public_runs.rewards_of(without, "hhh_221") == [
        "results/evaluation/comparisons/hhh_221.rewards.jsonl"
    ]


@pytest.mark.parametrize("name", ["config/config.yaml", "config/demo.yaml"])
def test_every_set_of_the_shipped_configurations_has_a_row_in_the_documentation(name):
    found = load_settings(dict.fromkeys(["config/config.yaml", name]))
    listed = open("docs/data.md").read()
    for each in public_runs.used(found, *public_runs.SETS):
        source = getattr(found.evaluations, each)
        assert f"`evaluations.{each}`" in listed
        if source.revision:
            assert source.revision[:8] in listed
