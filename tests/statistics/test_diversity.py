"""Diversity of texts whose answer is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.statistics.diversity import distinct, similarity

TEXTS = st.lists(st.text("abc ", max_size=20), min_size=2, max_size=8)


def test_distinct_counts_different_sequences_of_words():
    texts = ["a b a b", "A b"]
    assert distinct(texts, 1) == 2 / 6
    assert distinct(texts, 2) == 2 / 4  # a b, b a, a b; a b
    assert distinct(texts, 5) == 0


def test_similarity_of_known_texts():
    texts = ["a b c", "a b d", "x y z"]  # one of three word pairs is shared by the first two
    assert similarity(texts, 1).value == pytest.approx((1 / 3) / 3)


def test_equal_texts_are_alike_and_different_ones_are_not():
    assert similarity(["one and the same"] * 4, 1)[1:] == (1, 1, 1)
    assert similarity(["a b", "c d", "e f"], 1)[1:] == (0, 0, 0)


def test_one_text_has_no_pair():
    with pytest.raises(ValueError, match="at least two"):
        similarity(["alone"], 1)


@given(TEXTS)
def test_similarity_lies_between_its_bounds_and_order_does_not_matter(texts):
    forward, backward = similarity(texts, 1), similarity(texts[::-1], 1)
    assert -1e-9 <= forward.low <= forward.high <= 1 + 1e-9
    assert forward.value == pytest.approx(backward.value)
