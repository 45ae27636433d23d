"""Figures of chains of revisions whose scores are set."""

import json

import pytest

from cai.figures.chains import by_round, texts_of
from cai.figures.revisions import FIGURES, MODELS, Chain
from cai.settings.configuration import load_settings
from cai.settings.constitution import read_yaml
from cai.workflow import paper_runs

IDS = [f"p{i}" for i in range(12)]


def chain(name, gain, texts="round {r} of {p}"):
    """Scores rise by ``gain`` a round; which prompt has which level does not matter."""
    rounds = range(3)
    scores = [{p: float(i) + gain * r for i, p in enumerate(IDS)} for r in rounds]
    return Chain(
        name,
        [{p: texts.format(r=r, p=p) for p in IDS} for r in rounds],
        dict.fromkeys(MODELS, scores),
        [{p: i < 6 * r for i, p in enumerate(IDS)} for r in rounds],
    )


def options(*chains, **fields):
    told = {"seed": 1, "revisions": {"rounds": 2, "draws": 1}, "principles": 4, "drawn": {}}
    return told | {"critiques": {c.name: ["the same words"] * 12 for c in chains}} | fields


def drawn(figure, *chains, **fields):
    return FIGURES[figure](chains, options(*chains, **fields)).results


def test_figure_5_has_the_change_of_each_model_paired_by_prompt():
    results = drawn("fig05", chain("critiqued", 0.25))
    for changes in results["change_from_round_0"].values():
        assert [change["value"] for change in changes] == [0.25, 0.5]
        assert all(change["low"] == change["high"] for change in changes)  # alike for all prompts
    truth = results["by_round"]["Harmless in truth (%)"]
    assert [estimate["value"] for estimate in truth] == [0, 50, 100]


def test_figure_6_pools_draws_and_compares_with_all_principles():
    chains = (
        chain("principles-1-0", 0.0),
        chain("principles-1-1", 0.2),
        chain("critiqued", 0.5, texts="always these words"),
    )
    results = drawn("fig06", *chains, revisions={"rounds": 2, "draws": 2})
    assert list(results["by_round"]) == ["1", "4"]
    last = {n: found[-1]["value"] for n, found in results["by_round"].items()}
    assert last["4"] - last["1"] == pytest.approx(1.0 - 0.2)
    assert results["all_principles_against"]["1"]["value"] == pytest.approx(0.8)
    alike = {n: e["similarity"]["value"] for n, e in results["diversity"]["revisions"].items()}
    assert alike["4"] == 1 and alike["1"] < 1
    assert results["diversity"]["critiques"]["1"]["similarity"]["value"] == 1


def test_figure_7_is_the_difference_on_prompts_that_both_chains_have():
    critiqued, direct = chain("critiqued", 0.5), chain("direct", 0.2)
    for rounds in direct.scores["harmless"]:
        del rounds["p3"]
    gaps = drawn("fig07", critiqued, direct)["critiqued_less_direct"]
    assert [gap["value"] for gap in gaps] == pytest.approx([0, 0.3, 0.6])
    assert {gap["n"] for gap in gaps} == {11}


def test_texts_of_a_chain_are_told_apart_by_round():
    row = {
        "id": "a",
        "prompt": "?",
        "response": "no",
        "rounds": [{"revision": "yes"}, {"revision": "yes"}],
    }
    texts = list(texts_of(row))
    assert [(t["round"], t["answer"]) for t in texts] == [(0, "no"), (1, "yes"), (2, "yes")]
    assert by_round(texts, {"a.0": 1.0, "a.2": 3.0}) == [{"a": 1.0}, {}, {"a": 3.0}]


def test_fewer_principles_are_among_more_and_an_edit_of_a_text_changes_none():
    principles = [
        json.dumps({"id": p["id"], "critique": p["critique"]})
        for p in read_yaml("demo/constitution.yaml")["principles"]
    ]
    edited = [text.replace("Point", "Now point") for text in principles]

    def ids(number, texts=principles, draw=0):
        found = paper_runs.principles_of(f"principles-{number}-{draw}", texts, seed=1)
        return [json.loads(text)["id"] for text in found]

    assert ids(1) == ids(2)[:1] and ids(2) == ids(3)[:2] and len(ids(3)) == 3
    assert ids(2) == ids(2, edited)
    assert len({tuple(ids(2, draw=draw)) for draw in range(20)}) > 3
    assert paper_runs.principles_of("critiqued", principles, 1) == principles


def test_numbers_beyond_the_constitution_are_left_out():
    settings = load_settings(["config/config.yaml"])
    assert paper_runs.chains(settings, 6) == {
        1: ["principles-1-0"],
        2: ["principles-2-0"],
        4: ["principles-4-0"],
        6: ["critiqued"],
    }
