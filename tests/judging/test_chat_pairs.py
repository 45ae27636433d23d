"""A chat service that compares pairs: votes, log-probabilities, chain of thought."""

import re
from collections import Counter

import pytest
from tests.judging.service import BETTER, Service, better, other, says, with_probability
from tests.steps.step_programs import candidates, preferences


def first_is_better(row: dict) -> bool:
    return BETTER.index(row["a"]) < BETTER.index(row["b"])


def chat(service: Service, pairwise: dict, **more: object) -> dict:
    return {"kind": "chat", "url": service.url, "model": "m", "pairwise": pairwise, **more}


def test_one_vote_is_a_hard_label(judge, asked) -> None:
    with Service(lambda body, number: says(f"({better(body)})")) as service:
        step = judge(candidates(20))
        rows = step.rows(*asked(**chat(service, {}, orders=2)))
    assert len(service.bodies) == 40
    assert all(row["p_a"] == first_is_better(row) for row in rows)
    assert step.report["order_agreement"] == 1
    assert sum(of["comparisons"] for of in step.report["principles"].values()) == 20
    drawn = Counter(row["principle"] for row in rows)
    assert set(drawn) == set(preferences())


def test_votes_are_shares_of_the_samples(judge, asked) -> None:
    """The service contradicts itself the third time that it is asked the very same thing."""

    def reply(body: dict, number: int) -> dict:
        return says(better(body) if number < 2 else other(better(body)))

    with Service(reply) as service:
        step = judge(candidates(10))
        rows = step.rows(
            *asked(**chat(service, {"samples": 3}, orders=2, client={"temperature": 0.7}))
        )
    assert len(service.bodies) == 10 * 2 * 3
    assert {body["temperature"] for body in service.bodies} == {0.7}
    for row in rows:
        assert row["p_a"] == pytest.approx(2 / 3 if first_is_better(row) else 1 / 3)
    assert step.report["answers"] == {"asked": 60, "failed": {}}


def test_votes_that_cannot_be_read_are_counted_and_left_out(judge, asked) -> None:
    def reply(body: dict, number: int) -> dict:
        return says("It depends." if number == 0 else better(body))

    with Service(reply) as service:
        step = judge(candidates(10))
        options = asked(**chat(service, {"samples": 2}, client={"temperature": 0.7}))
        rows = step.rows(*options)
    assert all(row["p_a"] == first_is_better(row) for row in rows)
    assert step.report["answers"] == {
        "asked": 20,
        "failed": {"the judge's answer cannot be read": 10},
    }
    assert step.report["failed"] == {}


def test_a_pair_without_any_readable_vote_is_dropped_with_its_text(judge, asked) -> None:
    def reply(body: dict, number: int) -> dict:
        return says("It depends." if "neighbour 3?" in str(body) else better(body))

    with Service(reply) as service:
        step = judge(candidates(5))
        rows = step.rows(*asked(**chat(service, {})))
    assert len(rows) == 4
    assert step.ledger["rejected"][0]["record"]["answer"] == "It depends."
    assert step.report["failure_rate"] == 0.2


@pytest.mark.parametrize(
    ("refusal", "by"),
    [
        (says(None, refusal="I can't help with that."), "the model"),
        (
            {"choices": [{"message": {"content": "(A)"}, "finish_reason": "content_filter"}]},
            "content_filter",
        ),
    ],
)
def test_a_refusal_is_counted_once_and_not_asked_again(judge, asked, refusal, by) -> None:
    def reply(body: dict, number: int) -> dict:
        return refusal if "neighbour 3?" in str(body) else says(better(body))

    with Service(reply) as service:
        step = judge(candidates(5))
        step.rows(*asked(**chat(service, {})))
        step.rows(*asked(**chat(service, {})))
    assert len(service.bodies) == 5
    assert step.report["failed"] == {f"refused by the service ({by})": 1}


def test_log_probabilities_are_soft_labels(judge, asked) -> None:
    with Service(lambda body, number: with_probability(better(body), 0.8)) as service:
        step = judge(candidates(10))
        rows = step.rows(*asked(**chat(service, {"logprobs": True}, orders=2)))
    assert all(body["logprobs"] and body["top_logprobs"] == 5 for body in service.bodies)
    assert {body["temperature"] for body in service.bodies} == {0.0}
    for row in rows:
        assert row["p_a"] == pytest.approx(0.8 if first_is_better(row) else 0.2)


def test_a_service_without_log_probabilities_is_told_in_one_line(judge, asked) -> None:
    with Service(lambda body, number: says("(A)")) as service:
        done = judge(candidates(2)).run(*asked(**chat(service, {"logprobs": True})))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "gives no log-probabilities" in line
    assert "preferences.judges.chat.pairwise.logprobs: false" in line


def thinks(body: dict, number: int, choice) -> dict:
    """Reasons when it is asked once, chooses when it is asked again."""
    if len(body["messages"]) == 1:
        return says(f"Thought number {number}.")
    return choice(body)


@pytest.mark.parametrize("logprobs", [False, True])
def test_reasoning_comes_before_the_answer_whose_probability_is_clamped(
    judge, asked, logprobs
) -> None:
    def choice(body: dict) -> dict:
        letter = better(body)
        return with_probability(letter, 0.99) if logprobs else says(f"The answer is ({letter}).")

    with Service(lambda body, number: thinks(body, number, choice)) as service:
        step = judge(candidates(10))
        pairwise = {"reasoning": {"max_tokens": 77}, "samples": 3, "logprobs": logprobs}
        rows = step.rows(*asked(**chat(service, pairwise)))
    first = [body for body in service.bodies if len(body["messages"]) == 1]
    second = [body for body in service.bodies if len(body["messages"]) == 3]
    assert len(first) == len(second) == 30
    assert {(body["max_tokens"], body["temperature"]) for body in first} == {(77, 1.0)}
    for body in second:
        question, thought, request = (message["content"] for message in body["messages"])
        assert re.fullmatch(r"Thought number [012]\.", thought)
        assert "step by step" in question and "alone" in request
    assert all(row["p_a"] == pytest.approx(0.6 if first_is_better(row) else 0.4) for row in rows)
    assert {row["judge"]["reasoning"] for row in rows} == {"Thought number 0."}


def test_reasoning_that_was_cut_off_is_not_taken_for_an_answer(judge, asked) -> None:
    def reply(body: dict, number: int) -> dict:
        answer = thinks(body, number, lambda body: says(better(body)))
        if "neighbour 3?" in str(body):
            answer["choices"][0]["finish_reason"] = "length"
        return answer

    with Service(reply) as service:
        step = judge(candidates(5))
        step.rows(*asked(**chat(service, {"reasoning": {}})))
    assert step.report["failed"] == {"the judge's reasoning did not end (reasoning.max_tokens)": 1}
    assert len(service.bodies) == 9


def test_the_whole_constitution_is_one_question(judge, asked) -> None:
    with Service(lambda body, number: says(better(body))) as service:
        step = judge(candidates(5))
        rows = step.rows(*asked(**chat(service, {"constitution": "whole"})))
    assert len(service.bodies) == 5
    for body in service.bodies:
        texts = [texts["preference"] for texts in preferences().values()]
        assert all(text in body["messages"][0]["content"] for text in texts)
    assert {row["principle"] for row in rows} == {None}
    assert step.report["principles"] == {}


def test_an_ensemble_of_principles_tells_where_they_disagree(judge, asked) -> None:
    """Each pair is judged under all four; under one of them the service prefers the worse."""

    def reply(body: dict, number: int) -> dict:
        letter = better(body)
        return says(other(letter) if "honesty" in str(body) else letter)

    with Service(reply) as service:
        step = judge(candidates(6))
        rows = step.rows(*asked(**chat(service, {"principles_per_comparison": 4})))
    assert len(service.bodies) == 24
    assert all(row["p_a"] == (0.75 if first_is_better(row) else 0.25) for row in rows)
    assert step.report["principle_agreement"] == pytest.approx(3 / 6)
    assert step.report["principles"]["honesty"]["agreement"] == 0
    assert step.report["principles"]["kindness"]["agreement"] == pytest.approx(2 / 3)


def test_requests_and_tokens_are_counted_and_those_of_the_journal_too(judge, asked) -> None:
    with Service(lambda body, number: says(better(body))) as service:
        step = judge(candidates(10))
        step.rows(*asked(**chat(service, {}, orders=2)))
        first = step.report["usage"]
        step.rows(*asked(**chat(service, {}, orders=2)))
        second = step.report["usage"]
    tokens = {"answer": 60, "prompt": 1000}
    assert first == {"questions": 20, "reused": 0, "requests": 20, "tokens": tokens, "uncounted": 0}
    assert second == {**first, "reused": 20, "requests": 0}


def test_requests_that_failed_are_counted_and_tokens_that_nobody_told_are_not(judge, asked) -> None:
    def reply(body: dict, number: int) -> dict:
        answer = says("" if number == 0 else better(body))  # an empty answer is asked for again
        del answer["usage"]
        return answer

    with Service(reply) as service:
        step = judge(candidates(3))
        step.rows(*asked(**chat(service, {})))
    assert step.report["usage"] == {
        "questions": 3,
        "reused": 0,
        "requests": 6,
        "tokens": {},
        "uncounted": 3,
    }
