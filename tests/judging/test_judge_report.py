"""What is told of a judge: of its orders, its principles, and of the candidates' temperatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.files.records import Ledger
from cai.judging.label_report import by_temperature, judge_report


def row(p_a: float = 0.5, a: str = "x", b: str = "y", record: str = "1", **judge: object) -> dict:
    told = {"kind": "logprob", "tie": p_a == 0.5, **judge}
    return {
        "id": record,
        "prompt": "q",
        "a": a,
        "b": b,
        "principle": None,
        "p_a": p_a,
        "judge": told,
    }


def report(rows: list[dict], failed: int = 0) -> dict:
    ledger = Ledger("judge")
    ledger.count_in(len(rows) + failed)
    for _ in range(failed):
        ledger.drop("nonsense")
    return judge_report(rows, ledger)


def test_orders_that_both_see_no_difference_agree() -> None:
    found = report(
        [row(by_order=orders) for orders in ([0.9, 0.7], [0.5, 0.5], [0.5, 0.3], [0.7, 0.3])]
    )
    assert found["order_agreement"] == 0.5


def test_principles_that_prefer_the_same_answer_agree() -> None:
    found = report(
        [
            row(by_principle={"care": 0.9, "calm": 0.8, "candour": 0.1}),
            row(by_principle={"care": 0.9, "calm": 0.6}),
            row(by_principle={"candour": 0.5}),
        ]
    )
    assert found["principle_agreement"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["principles"] == {
        "calm": {"comparisons": 2, "confidence": pytest.approx(0.2), "agreement": 2 / 3},
        "candour": {"comparisons": 2, "confidence": pytest.approx(0.2), "agreement": 0},
        "care": {"comparisons": 2, "confidence": pytest.approx(0.4), "agreement": 2 / 3},
    }


def test_one_principle_a_comparison_has_none_to_agree_with() -> None:
    found = report([row(by_principle={"care": 0.9}), row(by_principle={"calm": 0.9})])
    assert found["principle_agreement"] is None
    assert found["principles"]["care"]["agreement"] is None


def test_rates_are_of_what_was_judged() -> None:
    found = report([row(0.5), row(0.9), row(0.5), row(0.2)], failed=1)
    assert found["failure_rate"] == 0.2
    assert found["tie_rate"] == 0.5
    assert (found["comparisons"], found["judged"], found["equal"]) == (5, 4, 0)


def test_nothing_judged_is_reported_without_rates() -> None:
    found = report([])
    assert found["failure_rate"] is found["tie_rate"] is found["confidence"] is None


TEXTS = {"x": 0.5, "y": 1.0, "z": 1.0}
CANDIDATES = [
    {
        "id": "1",
        "prompt": "q",
        "candidates": [{"text": text, "temperature": t} for text, t in TEXTS.items()],
    }
]


def test_a_judge_that_likes_cold_answers_is_seen() -> None:
    rows = [row(0.9, "x", "y"), row(0.3, "z", "x"), row(0.8, "y", "z")]
    found = by_temperature(rows, CANDIDATES)
    assert found["comparisons"] == 2  # y and z are of the same temperature
    assert found["hotter_preferred"] == pytest.approx((0.1 + 0.3) / 2)
    assert found["standard_error"] == pytest.approx(0.1)
    assert found["by_temperature"] == {
        "0.5": {"comparisons": 2, "preferred": pytest.approx(0.8)},
        "1": {"comparisons": 2, "preferred": pytest.approx(0.2)},
    }


@given(st.lists(st.tuples(st.floats(0, 1), st.permutations("xyz"))))
def test_what_one_temperature_wins_another_loses(drawn) -> None:
    rows = [row(p_a, a, b) for p_a, (a, b, _) in drawn]
    found = by_temperature(rows, CANDIDATES)
    turned = by_temperature([row(1 - p_a, b, a) for p_a, (a, b, _) in drawn], CANDIDATES)
    assert found["comparisons"] == turned["comparisons"]
    if found["comparisons"]:
        assert found["hotter_preferred"] == pytest.approx(turned["hotter_preferred"], abs=1e-9)
        assert found["by_temperature"]["1"]["preferred"] == found["hotter_preferred"]
        total = sum(of["preferred"] for of in found["by_temperature"].values())
        assert total == pytest.approx(1)


def test_answers_without_temperatures_are_passed_over() -> None:
    plain = [{"id": "1", "prompt": "q", "candidates": [{"text": "x"}, {"text": "y"}]}]
    assert by_temperature([row(0.9)], plain)["comparisons"] == 0
