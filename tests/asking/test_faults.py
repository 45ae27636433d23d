"""Whose fault a failure is, by what services really say."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.asking.transport.faults import Fault, of_answer, of_response
from cai.asking.transport.http import OutOfService, Refused, Transient, raised


def error(**fields) -> dict:
    return {"error": fields}


def minimax(code: int, text: str) -> dict:
    return {"base_resp": {"status_code": code, "status_msg": text}}


VLLM_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
SAID = Path(__file__).with_name("service_errors.jsonl")  # what services say, with what it means


def text_of(body) -> str:
    return body if isinstance(body, str) else json.dumps(body)


@pytest.mark.parametrize("line", SAID.read_text().splitlines())
def test_what_services_say(line):
    said = json.loads(line)
    fault = of_response(said["status"], text_of(said["body"]))
    assert (fault.kind, fault.cause) == (said["kind"], said["cause"])


@pytest.mark.parametrize(
    ("answer", "kind", "cause"),
    [
        (error(code=402, message="Insufficient credits"), "service", "quota"),
        (error(code=502, message="Provider returned error"), "moment", "server"),
        (error(code="content_filter", message="x"), "prompt", "content_filter"),
        (error(code="insufficient_quota"), "service", "quota"),
        ({"object": "error", "message": VLLM_LONG, "code": 400}, "prompt", "too_long"),
        ({"error": "overloaded"}, "moment", "server"),
        ({"error": {"message": "Insufficient balance"}}, "service", "quota"),
        (
            minimax(1008, "insufficient balance") | {"choices": None},
            "service",
            "quota",
        ),
        (minimax(1002, "rate limit"), "moment", "server"),
        ({"choices": [{"error": {"code": 429, "message": "x"}, "text": ""}]}, "moment", "busy"),
    ],
)
def test_an_error_that_comes_as_an_answer(answer, kind, cause):
    fault = of_answer(answer)
    assert (fault.kind, fault.cause) == (kind, cause)


@pytest.mark.parametrize(
    "answer",
    [
        minimax(0, "") | {"choices": []},
        {"choices": [{"text": "hi"}]},
        {"choices": [{"text": "hi"}], "error": None},
        [],
        None,
        "x",
    ],
)
def test_an_answer_is_no_error(answer):
    assert of_answer(answer) is None


KEYS = ("error", "code", "type", "message", "detail", "loc", "param", "choices")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(status=st.integers(100, 999), body=JSON.map(text_of) | st.text(), wait=st.text(max_size=9))
def test_every_failure_is_sorted_and_always_the_same(status, body, wait):
    headers = {"Retry-After": wait, "Location": body[:20]}
    fault = of_response(status, body, headers)
    assert fault == of_response(status, body, headers)
    assert fault.reason.isprintable() or "\ufffd" in fault.reason or "\u200d" in fault.reason
    assert "\n" not in fault.reason and len(fault.reason) < 400
    assert fault.retry_after is None or 0 <= fault.retry_after <= 600
    kinds = {"prompt": Refused, "moment": Transient, "service": OutOfService}
    assert isinstance(raised(fault, "http://x"), kinds[fault.kind])


@settings(deadline=None)
@given(JSON)
def test_an_answer_is_an_error_or_not_whatever_it_is(answer):
    assert isinstance(of_answer(answer), Fault | None)


def test_what_a_body_says_does_not_steer_a_terminal():
    fault = of_response(400, "\x1b[31mred\u202e \ud83d\n\n two")
    assert fault.reason == "HTTP 400: \ufffd[31mred\ufffd \ufffd two"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "1.5"}, "", 1.5),
        ({"retry-after-ms": "250"}, "", 0.25),
        ({}, "Please try again in 20s.", 20),
        ({}, "Please retry after 6 seconds", 6),
        ({}, "try again in 350ms", 0.35),
        ({}, "try again in 2 minutes", 120),
        ({}, "Please try again in 7m12s.", 432),
        ({}, "Please try again in 12m34.56s.", 600),
        ({}, "try again in 1m2.5s", 62.5),
        ({}, "try again in 1h2m3s", 600),
        ({}, "retry in 1 minute and 5 seconds", 65),
        ({}, "your limit resets in 1m 30s", 90),
        ({}, "wait 5 million years", None),
        ({}, "wait " + "9" * 400 + " seconds", None),
        ({"Retry-After": "99999"}, "", 600),
        ({"Retry-After": "1e9"}, "", None),
        ({}, "busy", None),
    ],
)
def test_how_long_a_service_asks_to_wait(headers, body, seconds):
    assert of_response(429, body, headers).retry_after == (
        None if seconds is None else pytest.approx(seconds)
    )


UNITS = [("h", 3600), ("m", 60), ("s", 1)]


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.sampled_from(["", " "]))
def test_a_time_of_several_units_is_their_sum(hours, minutes, seconds, between):
    amounts = zip((hours, minutes, seconds), UNITS, strict=True)
    parts = [f"{amount}{unit}" for amount, (unit, _) in amounts if amount]
    fault = of_response(429, f"Please try again in {between.join(parts)}.")
    whole = hours * 3600 + minutes * 60 + seconds
    assert fault.retry_after == (min(whole, 600) if parts else None)
