"""What chat services send in place of an answer: each is read, counted or asked for again."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loopback import Answer, Call

from cai.asking.chat.chat_answer import read
from cai.asking.chat.chat_client import CHOICE, GARBLED_TRIES, ChatAnswer, ChatClient, ChatRequest
from cai.asking.client import Failed
from cai.asking.journal.entries import Journal
from cai.asking.journal.upkeep import forget, of_no_use
from cai.asking.transport.http import Refused, Transient
from cai.asking.transport.received import Unfit
from cai.asking.verdicts.choices import vote
from cai.core.errors import UserError
from cai.settings.chat_service import ChatSettings

BODY = {"max_tokens": 50}
FIFTY = {"prompt_tokens": 1, "completion_tokens": 50}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.01)


def sent(content: object = "(A)", finish: object = "stop", **message: object) -> dict:
    message = {"role": "assistant", "content": content, **message}
    return {"choices": [{"message": message, "finish_reason": finish}]}


def kept(answer: object, body: dict = BODY) -> dict:
    return read(answer if isinstance(answer, str) else json.dumps(answer), "http://x", body)


@pytest.mark.parametrize(
    ("answer", "text", "finish"),
    [
        (sent(), "(A)", "stop"),
        (sent(finish="length"), "(A)", "length"),
        (sent(finish="MAX_TOKENS"), "(A)", "length"),
        (sent(finish="end_turn"), "(A)", "stop"),
        (sent(finish=None), "(A)", "stop"),
        (sent(finish=""), "(A)", "stop"),
        ({**sent(finish=" "), "usage": FIFTY}, "(A)", "length"),
        (sent(finish="null"), "(A)", "stop"),
        ({**sent(finish=None), "usage": FIFTY}, "(A)", "length"),
        (sent([{"type": "text", "text": "(A"}, {"type": "text", "text": ")"}]), "(A)", "stop"),
        (sent([{"type": "thinking", "thinking": []}, {"type": "text", "text": "B"}]), "B", "stop"),
        (sent("A \ud83d B"), "A \ufffd B", "stop"),
        (sent("\ud83d\ude00"), "\U0001f600", "stop"),
        # nothing is left for the answer, however often it is asked for
        (sent(None, "length", reasoning_content="Hm."), "", "length"),
        (sent("", "length"), "", "length"),
        (sent("", reasoning_content="Hm."), "", "stop"),
        (sent(None, reasoning="Hm."), "", "stop"),
        (
            {
                **sent(""),
                "usage": {
                    "prompt_tokens": 1,
                    "completion_tokens": 2,
                    "completion_tokens_details": {"reasoning_tokens": 2},
                },
            },
            "",
            "stop",
        ),
    ],
)  # fmt: skip
def test_what_is_kept(answer, text, finish) -> None:
    found = kept(answer)
    assert (found["text"], found["finish"]) == (text, finish)


@pytest.mark.parametrize(
    "answer",
    [
        sent(None, refusal="I can't."),
        sent([{"type": "refusal", "refusal": "I can't."}]),
    ],
)
def test_a_models_refusal_is_kept_in_its_words(answer) -> None:
    assert kept(answer) == {"refusal": "I can't."}


@pytest.mark.parametrize("finish", ["content_filter", "sensitive", "PROHIBITED_CONTENT"])
def test_a_content_filter_is_a_refusal(finish) -> None:
    with pytest.raises(Refused):
        kept(sent(finish=finish))


def test_a_byte_order_mark_before_an_answer_is_none_of_it() -> None:
    assert kept("\ufeff" + json.dumps(sent())) == kept(sent())


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": "x"}',
        '{"choices": [7]}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"message": "(A)", "finish_reason": "stop"}]}',
        '{"choices": ' + "[" * 100_000,
        '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"choices": ' + "7" * 5000 + "}",
        json.dumps(sent("")),
        json.dumps(sent(None)),
        json.dumps(sent(finish="tool_calls")),
        json.dumps(sent(finish=7)),
    ],
)
def test_what_is_in_no_known_form_may_pass(answer) -> None:
    with pytest.raises(Transient):
        kept(answer)


def tokens(logprob: object = -0.1, token: object = "A", top: object = None) -> dict:
    answer = sent("A")
    found = {"token": token, "logprob": logprob, "top_logprobs": top}
    answer["choices"][0]["logprobs"] = {"content": [found]}
    return answer


@pytest.mark.parametrize(
    "answer",
    [
        sent(7),
        sent({"text": "(A)"}),
        sent(["(A)"]),
        sent([{"type": "text", "text": 7}]),
        sent(None, refusal=7),
    ],
)
def test_a_value_of_another_type_fails_that_record(answer) -> None:
    with pytest.raises(Unfit):
        kept(answer)


@pytest.mark.parametrize(
    "answer",
    [
        *(tokens(wrong) for wrong in (None, "-0.1", 1000, 5000, True, math.nan, -math.inf, [], {})),
        *(tokens(token=wrong) for wrong in (None, 7, [])),
        *(tokens(top=wrong) for wrong in (7, [7], [{"token": "B", "logprob": None}])),
    ],
)
def test_a_log_probability_that_is_none_fails_that_record(answer) -> None:
    with pytest.raises(Unfit):
        kept(answer, {**BODY, **CHOICE})


def test_a_service_without_log_probabilities_is_the_users_matter() -> None:
    for logprobs in (None, {}, {"content": None}, []):
        answer = sent()
        answer["choices"][0]["logprobs"] = logprobs
        with pytest.raises(UserError, match="log-probabilities"):
            kept(answer, {**BODY, **CHOICE})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    content=JSON,
    finish=JSON | st.sampled_from(["stop", "length"]),
    usage=JSON,
    logprobs=JSON,
    refusal=JSON,
    asked=st.booleans(),
)
def test_whatever_the_fields_hold_is_read_or_sorted(
    content, finish, usage, logprobs, refusal, asked
) -> None:
    answer = sent(content, finish, refusal=refusal)
    answer["usage"] = usage
    answer["choices"][0]["logprobs"] = {"content": logprobs}
    try:
        found = kept(answer, {**BODY, **CHOICE} if asked else BODY)
    except (Transient, Refused, Unfit, UserError):
        return
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


@given(JSON)
def test_whatever_is_sent_is_read_or_sorted(answer) -> None:
    with pytest.raises((Transient, Refused, Unfit, UserError)):
        kept(answer)


def ask(loopback, replies: dict[str, object], **settings: object) -> tuple[list, list[Call]]:
    """Ask each question of a service that has a reply for each; returns answers and calls."""

    def reply(call: Call) -> Answer:
        return Answer(replies[call.body["messages"][0]["content"]])

    server = loopback(reply)
    options = ChatSettings(**{"retries": 10, "in_flight": 1, **settings})
    client = ChatClient(server.url, "m", None, Journal(None), options)
    asked = [ChatRequest([{"role": "user", "content": text}]) for text in replies]
    return client.ask(asked, "judge"), server.calls


def test_what_went_all_into_reasoning_is_asked_once(loopback) -> None:
    thought = sent(None, "length", reasoning_content="Let me think.")
    answers, calls = ask(loopback, {"a": sent(), "b": thought})
    assert answers == [ChatAnswer("(A)"), ChatAnswer("", "length")]
    assert len(calls) == 2


def test_nonsense_fails_its_record_and_is_not_asked_for_ever(loopback) -> None:
    deep = '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}"
    answers, calls = ask(loopback, {"a": sent(), "b": deep, "c": sent(7), "d": sent("B")})
    assert (answers[0], answers[3]) == (ChatAnswer("(A)"), ChatAnswer("B"))
    assert all(isinstance(answer, Failed) for answer in answers[1:3])
    assert "unexpected answer" in answers[1].reason and "7" in answers[2].reason
    assert len(calls) == 3 + GARBLED_TRIES


def test_what_an_older_journal_holds_unread_is_told_without_a_request(loopback, tmp_path) -> None:
    """Its answers are not marked; from then on they are, and can be forgotten."""
    path, server = tmp_path / "preferences-0.jsonl", loopback(lambda call: Answer(sent("Hm.")))
    turns = [[{"role": "user", "content": str(number)}] for number in range(20)]
    with Journal(path) as journal:
        ChatClient(server.url, "m", None, journal).answers(turns, "judge")
    form = ChatRequest([], read=lambda answer: vote(answer.text), expected="(A) or (B)")
    asked = [form._replace(messages=each) for each in turns]
    told = r"none of the first 20 answers .* --unreadable "
    with pytest.raises(UserError, match=told), Journal(path) as journal:
        ChatClient(server.url, "m", None, journal).ask(asked, "judge")
    assert len(server.calls) == 20
    assert of_no_use([path], "unreadable") == forget([path], ["unreadable"]) == 20
