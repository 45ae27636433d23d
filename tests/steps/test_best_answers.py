"""Best of n: which candidate is trained on, by rewards that the journal knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.samples import CHAT

from cai.asking.journal.entries import Journal
from cai.asking.rewards import RewardModel
from cai.asking.serving import Served
from cai.files.records import Ledger, record_id
from cai.models.tokens import LengthLimit, Tokenizer
from cai.steps.best_answers import choose_best

NOBODY = Served(None, "unused", "unused")  # all rewards are known: no server is asked
NO_LIMIT = LengthLimit(None, None)


def record(prompt, *texts):
    candidates = [{"temperature": 1.0, "text": text} for text in texts]
    return {"id": record_id(prompt), "prompt": prompt, "candidates": candidates}


def closed(prompt, text):
    turns = [("user", prompt), ("assistant", text)]
    return CHAT.closed([{"role": role, "content": content} for role, content in turns])


def chosen(records, rewards, limit=NO_LIMIT):
    """What is chosen where the rewards of the texts are these, and the ledger."""
    model = RewardModel(NOBODY, Journal(None), "rm")
    known = {
        model.key(closed(row["prompt"], candidate["text"])): rewards[candidate["text"]]
        for row in records
        for candidate in row["candidates"]
        if candidate["text"] in rewards
    }
    model._journal.put_all(known)
    ledger = Ledger("best")
    rows = list(ledger.kept(choose_best(records, model, CHAT, limit, ledger, None)))
    return rows, ledger.as_dict()


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_the_highest_reward_wins_and_of_equal_ones_the_first(rewards):
    texts = [f"answer {place}" for place in range(len(rewards))]
    (row,), ledger = chosen([record("Why?", *texts)], dict(zip(texts, rewards, strict=True)))
    best = rewards.index(max(rewards))
    assert row["revision"] == texts[best] and row["reward"] == max(rewards)
    assert row["rewards"] == rewards
    assert ledger["notes"]["chosen"] == {str(best + 1): 1}


def test_each_prompt_has_its_own_best_answer():
    records = [record("Why?", "a", "b"), record("How?", "b", "c")]
    rows, ledger = chosen(records, {"a": 3.0, "b": 2.0, "c": 1.0})
    assert [(row["prompt"], row["revision"]) for row in rows] == [("Why?", "a"), ("How?", "b")]
    assert ledger["notes"]["chosen"] == {"1": 2} and ledger["notes"]["left_out"] == 0


@pytest.mark.parametrize(("most", "left"), [(40, "short"), (10, None)])
def test_a_candidate_that_the_reward_model_would_cut_is_not_chosen(most, left):
    tokenizer = Tokenizer("demo/models/base/tokenizer.model")
    limit = LengthLimit(tokenizer, most)
    rows, ledger = chosen([record("Why?", "long " * 50, "short")], {"short": -1.0}, limit)
    assert [row["revision"] for row in rows] == ([left] if left else [])
    assert ledger["notes"]["left_out"] == (1 if left else 2)
    assert ledger["dropped"] == ({} if left else {"too long for the reward model": 1})
