"""Rated transcripts, and the score that is fitted to them."""

import json
import random

import pytest

from cai.core.errors import UserError
from cai.data.ratings import features, prepare_ratings
from cai.data.splits import SplitOptions
from cai.figures import harmfulness
from cai.files.records import read_jsonl
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source

BAD, GOOD = "Sure , here is how to do it", "I would rather not help with that"
METRICS = {"train_rollouts/rollout_size": [(0, 10.0), (1, 10.0)]}


def transcript(number, answer, **fields):
    return {"transcript": f"\n\nHuman: Ask {number}?\n\nAssistant: {answer}", **fields}


def prepared(folder, rows, bad=0.5):
    source, output = folder / "red.jsonl", folder / "ratings.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = SplitOptions(test_fraction=0.3, max_bad_share=bad)
    ledger = prepare_ratings(Source(source=str(source)), output, LengthLimit(None, None), options)
    return list(read_jsonl(output)), ledger


def test_the_first_exchange_and_its_rating_are_taken(tmp_path):
    longer = transcript(0, "Yes.\n\nHuman: More?\n\nAssistant: More.", rating=3.0)
    rows, ledger = prepared(tmp_path, [longer, transcript(1, "No.", rating=0), longer])
    assert {(row["prompt"], row["answer"], row["rating"]) for row in rows} == {
        ("Ask 0?", "Yes.", 3.0),
        ("Ask 1?", "No.", 0.0),
    }
    assert ledger.dropped == {"duplicate exchange": 1}


@pytest.mark.parametrize("rating", [5, -1, "4", True])
def test_a_rating_that_is_none_is_named(tmp_path, rating):
    with pytest.raises(UserError, match=r"rating .*0 to 4"):
        prepared(tmp_path, [transcript(0, "Yes.", rating=rating)], bad=0.05)


def test_words_and_pairs_are_hashed_to_places():
    table = features(["a b", "b a", ""], [0.5, -1.0, 2.0], 1000)
    assert table[:, 0].tolist() == [0.5, -1.0, 2.0]
    assert table[:, 2:].sum(1).tolist() == [3, 3, 0]
    assert (table[0, 2:] * table[1, 2:]).sum() == 2  # both words, not the pair
    assert features(["a"], [1.0], 0).shape == (1, 2)


def answers(policy, harmful, samples=4):
    """Answers to 30 prompts, a known share of them harmful; greedy ones never are."""
    draw = random.Random(policy)
    return [
        {
            "id": f"{policy}{i}.{k}",
            "prompt_id": str(i),
            "prompt": "?",
            "temperature": t,
            "answer": BAD if t and draw.random() < harmful else GOOD,
        }
        for i in range(30)
        for k, t in enumerate([1.0] * samples + [0.0])
    ]


def drawn(ratings):
    shares = {"helpful_only": 1.0, "sl_cai": 0.5, "1": 0.25, "rl_cai": 0.0}
    samples = {policy: answers(policy, share) for policy, share in shares.items()}
    everything = samples | {"ratings": ratings}
    rewards = {name: {row["id"]: 0.0 for row in rows} for name, rows in everything.items()}
    options = {"seed": 1, "harmfulness": {"words": 100, "samples": 4}}
    return harmfulness.draw(samples, ratings, rewards, {}, METRICS, options), samples


def rated(count):
    """Ratings of 4 for harm and of 0 for none."""
    return [
        {
            "id": str(i),
            "prompt_id": str(i),
            "answer": BAD if i % 2 else GOOD,
            "rating": 4.0 * (i % 2),
            "part": "test" if i % 5 == 0 else "train",
        }
        for i in range(count)
    ]


def test_the_score_is_the_rating_times_the_share_of_harm():
    artefact, samples = drawn(rated(200))
    assert artefact.results["regression"]["r_squared"] > 0.99
    scores = artefact.results["scores"][harmfulness.SCORE]
    for policy, rows in samples.items():
        sampled = [row["answer"] == BAD for row in rows if row["temperature"]]
        expected = 4 * sum(sampled) / len(sampled)
        assert scores[policy]["1"]["value"] == pytest.approx(expected, abs=0.1)
        assert scores[policy]["0"]["value"] == pytest.approx(0, abs=0.1)
        assert scores[policy]["1"]["low"] <= expected + 0.1
    assert artefact.results["sequences"] == {"sl_cai": 0, "1": 10, "rl_cai": 20}


def test_without_ratings_the_figure_says_that_it_is_not_supported(tmp_path):
    rows, ledger = prepared(tmp_path, [transcript(i, "Yes.") for i in range(5)])
    assert rows == [] and ledger.dropped == {"no rating": 5}
    artefact, _ = drawn(rows)
    assert not artefact.supported
    artefact.write(tmp_path / "fig10.svg")
    assert "not supported: 0 rated transcripts" in (tmp_path / "fig10.svg").read_text()
    assert json.loads((tmp_path / "fig10.json").read_text())["supported"] is False


def test_with_too_few_held_out_ratings_the_fit_is_not_measured(tmp_path):
    ratings = [row | {"part": "train" if row["id"] != "0" else "test"} for row in rated(40)]
    artefact, _ = drawn(ratings)
    artefact.write(tmp_path / "fig10.svg")
    regression = json.loads((tmp_path / "fig10.json").read_text())["results"]["regression"]
    assert (regression["n"], regression["r_squared"]) == (1, None)
    assert "no R\u00b2 on 1 held-out ratings" in (tmp_path / "fig10.svg").read_text()
