"""Which of (A) and (B) a text or its tokens name; nothing is guessed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.generation.choices import probability_of_a, vote


@pytest.mark.parametrize(
    "text",
    [
        "(A)",
        "A",
        " A.",
        "**(A)**",
        "Answer: (A)",
        "The answer is (A).",
        "The better answer is: A",
        "(A)\n\nIt keeps the secret, which (B) does not.",
        "The first one warns.\nFinal answer: (A)",
        "(A)\n(A)",
    ],
)
def test_a_line_that_names_one_answer_is_a_vote(text) -> None:
    assert vote(text) == 1.0


def test_a_vote_for_the_other_answer() -> None:
    assert vote("(B)") == vote("The answer is (B).") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Neither.",
        "I cannot say that (A) is acceptable.",
        "(A) is worse than (B)",
        "(A) or (B)",
        "(A)\n(B)",
        "Answer: (A)\nOn reflection:\nAnswer: (B)",
        "(C)",
        "a",
        "A good answer",
        "BA",
        "I can't help with that.",
    ],
)
def test_what_is_not_clear_is_no_vote(text) -> None:
    assert vote(text) is None


@given(st.text() | st.text("(AB) \n:.answer"))
def test_any_text_is_a_vote_or_none(text) -> None:
    assert vote(text) in (None, 0.0, 1.0)


def token(text: str, probability: float = 1.0, **others: float) -> dict:
    top = [
        {"token": name, "logprob": math.log(p)} for name, p in {text: probability, **others}.items()
    ]
    return {"token": text, "logprob": math.log(probability), "top_logprobs": top}


@pytest.mark.parametrize(
    "tokens",
    [
        [token("A", 0.6, B=0.2)],
        [token("("), token("A", 0.6, B=0.2), token(")")],
        [token(" (A", 0.6, **{" (B": 0.2}), token(")")],
        [token("(A)", 0.6, **{"(B)": 0.2})],
        [token("A", 0.45, **{" A": 0.15, "B": 0.1, " B": 0.1})],
        [token("The"), token(" answer"), token(" is"), token(" ("), token("A", 0.6, B=0.2)],
    ],
)
def test_probabilities_are_normalised_over_both_letters(tokens) -> None:
    assert probability_of_a(tokens) == pytest.approx(0.75)


def test_the_other_letter_gets_what_is_left_when_it_is_not_told() -> None:
    assert probability_of_a([token("A", 0.9, C=0.05)]) == pytest.approx(0.9)
    assert probability_of_a([token("B", 0.9, C=0.05)]) == pytest.approx(0.1)
    assert probability_of_a([{"token": "B", "logprob": 0.0, "top_logprobs": None}]) == 0.0


def test_tokens_that_name_no_answer_have_no_probability() -> None:
    assert probability_of_a([token("Sure"), token("!")]) is None
    assert probability_of_a([token("(A)"), token("\n"), token("(B)")]) is None


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.booleans())
def test_it_is_a_probability_that_exchanging_the_letters_turns_round(p, q, first) -> None:
    letters = ("A", "B") if first else ("B", "A")
    found = probability_of_a([token(letters[0], p, **{letters[1]: q})])
    turned = probability_of_a([token(letters[1], p, **{letters[0]: q})])
    assert 0 <= found <= 1
    assert found + turned == pytest.approx(1)
