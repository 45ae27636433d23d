"""Which answers are compared, and in which order: hashes decide, and nothing else."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from step_programs import candidates

from cai.judging.pairs import draw_pairs, shuffled
from cai.settings.constitution import draw_principles

texts = st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=6, unique=True)


def record(found: list[str], temperatures: list[float] | None = None) -> dict:
    temperatures = temperatures or [1.0] * len(found)
    return {
        "id": "1",
        "prompt": "q",
        "candidates": [
            {"temperature": t, "text": text} for t, text in zip(temperatures, found, strict=True)
        ],
    }


@settings(deadline=None)
@given(texts, st.integers(1, 20), st.integers(0, 5), st.randoms())
def test_pairs_depend_on_the_texts_alone(found, count, seed, rng) -> None:
    mixed = rng.sample(found, len(found))
    temperatures = [rng.random() + 0.1 for _ in found]
    pairs = draw_pairs(record(found), count, seed)
    assert pairs == draw_pairs(record(mixed, temperatures), count, seed)
    assert len(pairs) == min(count, len(found) * (len(found) - 1) // 2)
    assert len({frozenset((pair.a, pair.b)) for pair in pairs}) == len(pairs)
    assert all(pair.a != pair.b for pair in pairs)


@settings(deadline=None)
@given(texts, st.integers(0, 5), st.randoms())
def test_the_order_shown_depends_on_the_texts_alone(found, seed, rng) -> None:
    order = shuffled(record(found), found, seed)
    assert order == shuffled(record(found), rng.sample(found, len(found)), seed)
    assert sorted(order) == sorted(found)


def test_no_temperature_stands_first_more_often() -> None:
    first = Counter()
    for row in candidates(2000):
        temperatures = {c["text"]: c["temperature"] for c in row["candidates"]}
        pairs = draw_pairs(row, 6, seed=1)
        first.update(temperatures[pair.a] for pair in pairs)
        first.update(("shown", temperatures[t]) for t in shuffled(row, list(temperatures), 1)[:1])
    for temperature in (0.5, 1.0, 1.5, 2.0):
        assert abs(first[temperature] / 6000 - 0.5) < 0.04  # 6 sigma
        assert abs(first["shown", temperature] / 2000 - 0.25) < 0.06


def test_pairs_are_drawn_evenly() -> None:
    drawn = Counter(
        frozenset((pair.a, pair.b)) for row in candidates(3000) for pair in draw_pairs(row, 1, 1)
    )
    assert len(drawn) == 6
    assert all(abs(count / 3000 - 1 / 6) < 0.04 for count in drawn.values())


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), st.integers(1, 9))
def test_drawn_principles_are_different_and_do_not_depend_on_order(ids, count) -> None:
    drawn = draw_principles(1, "record", 2, ids, count)
    assert drawn == draw_principles(1, "record", 2, random.sample(ids, len(ids)), count)
    assert len(set(drawn)) == len(drawn) == min(count, len(ids))
    assert drawn[:1] == draw_principles(1, "record", 2, ids, 1)


def test_adding_a_principle_moves_its_share_of_the_records() -> None:
    ids = ["a", "b", "c", "d"]
    before = {n: draw_principles(1, str(n), 1, ids, 1) for n in range(4000)}
    after = {n: draw_principles(1, str(n), 1, [*ids, "e"], 1) for n in range(4000)}
    moved = [n for n in before if before[n] != after[n]]
    assert abs(len(moved) / 4000 - 1 / 5) < 0.04  # 6 sigma
    assert all(after[n] == ["e"] for n in moved)
