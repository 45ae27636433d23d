"""Differences of settings, in terms that their reader knows."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.core.changes import changes, compare, plain, word_diff

KEYS = st.sampled_from(["seed", "server", "few_shot", "a"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "a=1", "{"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_equal_values_do_not_differ(value):
    assert list(compare(plain(value), plain(json.loads(json.dumps(value))))) == []


@settings(deadline=None)
@given(VALUES, VALUES)
def test_the_other_way_round_before_and_now_are_swapped(left, right):
    there = set(map(repr, compare(plain(left), plain(right))))
    back = {
        repr(change._replace(before=change.now, now=change.before))
        for change in compare(plain(right), plain(left))
    }
    assert there == back
    assert there or plain(left) == plain(right)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_a_word_diff_holds_both_texts(left, right):
    marked = word_diff(" ".join(left), " ".join(right)).split(" ")
    before, now, side = [], [], "both"
    for word in filter(None, marked):
        for mark, name in (("[-", "before"), ("{+", "now")):
            side = name if word.startswith(mark) else side
        clean = word.removeprefix("[-").removeprefix("{+")
        end = clean.endswith(("-]", "+}"))
        clean = clean.removesuffix("-]").removesuffix("+}")
        before += [clean] if side != "now" else []
        now += [clean] if side != "before" else []
        side = "both" if end else side
    assert (before, now) == (left, right)


PRINCIPLES = [json.dumps({"id": name, "preference": f"More {name}?"}) for name in ("a", "b")]


@pytest.mark.parametrize(
    "before, now, told",
    [
        (
            PRINCIPLES,
            [PRINCIPLES[0].replace("More", "Most")],
            ["principle a: preference edited", "principle b removed"],
        ),
        (PRINCIPLES[:1], PRINCIPLES, ["principle b added"]),
        (PRINCIPLES, PRINCIPLES[::-1], []),
        ('{"t": {"top_k": 0}}', '{"t": {"top_k": 5}}', ["p.t.top_k: 0 -> 5"]),
        (["python", "x.py", "a.b=1", "+c=2"], ["python", "x.py", "a.b=2"],
         ["p.a.b: 1 -> 2", "p.c: gone, 2"]),
        (["--seed", 1, "--limit", 5], ["--seed", 2, "--limit", 5], ["p.seed: 1 -> 2"]),
        (1, 1.5, ["p: 1 -> 1.5"]),
        (0, False, ["p: 0 -> false"]),
        ("x" * 99, "y", [f"p: {'x' * 57}... -> y"]),
    ],
)  # fmt: skip
def test_a_change_is_told_in_short_lines(before, now, told):
    assert changes("p", before, now) == told
