"""Services that take a request in another form: by settings, or as their own words ask for it."""

import pytest
from pydantic import ValidationError
from tests.loopback import Answer, Call

from cai.asking.chat.chat_client import ChatClient, completions_url
from cai.asking.client import Failed
from cai.asking.journal.entries import Journal
from cai.settings.chat_service import ChatSettings

ASKED = [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "Which?"}]
OLD_LENGTH = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)
NO_TEMPERATURE = {
    "message": "Unsupported value: 'temperature' does not support 0.0 with this model. "
    "Only the default (1) value is supported.",
    "param": "temperature",
    "code": "unsupported_value",
}
NOT_BOTH = "`temperature` and `top_p` cannot both be specified for this model."


def refusal(error: object, status: int = 400) -> Answer:
    return Answer({"error": error if isinstance(error, dict) else {"message": error}}, status)


def answered(call: Call) -> Answer:
    text = call.body["messages"][-1]["content"]
    return Answer({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


def without_system(words: str, status: int):
    def answer(call: Call) -> Answer:
        refused = call.body["messages"][0]["role"] == "system"
        return refusal(words, status) if refused else answered(call)

    return answer


def a_reasoning_model(call: Call) -> Answer:
    if "max_tokens" in call.body:
        return refusal(OLD_LENGTH)
    return refusal(NO_TEMPERATURE) if "temperature" in call.body else answered(call)


def with_one_of_two(call: Call) -> Answer:
    return refusal(NOT_BOTH) if {"temperature", "top_p"} <= call.body.keys() else answered(call)


def client_of(server, journal: Journal | None = None, **settings: object) -> ChatClient:
    kept = Journal(None) if journal is None else journal
    return ChatClient(server.url + "/v1", "m", None, kept, ChatSettings(retries=2, **settings))


def conversations(count: int) -> list[list[dict]]:
    return [[ASKED[0], {"role": "user", "content": str(number)}] for number in range(count)]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Conversation roles must alternate user/assistant/user/assistant/...", 400),
        ("System role not supported", 400),
        ("TemplateError: Conversation roles must alternate", 500),
        ("Developer instruction is not enabled for models/m", 400),
        ("Input should be 'user' or 'assistant'", 422),
        ("'system' is not one of ['user', 'assistant']", 400),
        ("Role 'system' is not supported by this template", 400),
    ],
)
def test_the_system_text_goes_into_the_users_turn_where_there_is_no_system_role(
    loopback, capfd, words, status
) -> None:
    server = loopback(without_system(words, status))
    client = client_of(server)
    answers = client.answers(conversations(20), "judge")
    assert answers == [f"Be fair.\n\n{number}" for number in range(20)]
    assert len(server.calls) == 21  # it was tried once
    assert client.sent_as == ["the system text in the user's turn"]
    [line] = [line for line in capfd.readouterr().err.splitlines() if "trying" in line]
    assert words in line and server.url in line


def test_a_model_that_takes_other_parameters_is_asked_as_it_says(loopback, capfd) -> None:
    server = loopback(a_reasoning_model)
    client = client_of(server, max_tokens=99)
    assert client.answers(conversations(9), "judge") == [str(number) for number in range(9)]
    assert len(server.calls) == 11
    last = server.calls[-1].body
    assert last.keys() == {"model", "messages", "max_completion_tokens", "top_p"}
    assert last["max_completion_tokens"] == 99
    assert client.sent_as == ["max_completion_tokens for max_tokens", "without temperature"]
    assert capfd.readouterr().err.count("trying") == 2


def test_a_refusal_that_only_names_the_length_is_understood(loopback) -> None:
    extra = {"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}
    server = loopback(
        lambda call: (
            Answer({"detail": [extra]}, 422) if "max_tokens" in call.body else answered(call)
        )
    )
    assert client_of(server).answers(conversations(3), "judge") == ["0", "1", "2"]
    assert len(server.calls) == 4


def test_of_two_parameters_that_do_not_go_together_one_is_left_out(loopback) -> None:
    server = loopback(with_one_of_two)
    client_of(server).answers(conversations(3), "judge")
    assert server.calls[-1].body["temperature"] == 0.0
    assert "top_p" not in server.calls[-1].body


def test_what_was_learned_does_not_change_what_is_known(loopback, tmp_path) -> None:
    """The journal knows an answer by what was asked, however it was sent."""
    server = loopback(a_reasoning_model)
    for settings in ({}, {"length_field": "max_completion_tokens", "system": "fold"}):
        with Journal(tmp_path / "j") as journal:
            client_of(server, journal, **settings).answers(conversations(3), "judge")
    assert len(server.calls) == 5


def test_an_older_journals_answers_are_known_with_the_usual_settings(loopback, tmp_path) -> None:
    server = loopback(answered)
    with Journal(tmp_path / "j") as journal:
        client_of(server, journal).answers(conversations(3), "judge")
        client_of(server, journal, extra={}, leave_out=[]).answers(conversations(3), "judge")
        assert len(server.calls) == 3
        client_of(server, journal, extra={"reasoning_effort": "low"}).answers(
            conversations(3), "judge"
        )
    assert len(server.calls) == 6


def test_settings_say_how_it_is_sent(loopback) -> None:
    server = loopback(answered)
    client_of(
        server,
        system="fold",
        length_field="max_completion_tokens",
        leave_out=["temperature", "top_p"],
        extra={"chat_template_kwargs": {"enable_thinking": False}},
    ).answers([ASKED], "judge")
    [call] = server.calls
    assert call.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Be fair.\n\nWhich?"}],
        "max_completion_tokens": 1024,
        "chat_template_kwargs": {"enable_thinking": False},
    }


@pytest.mark.parametrize(
    "words",
    [
        {"message": "temperature must be at least 0.01", "param": "temperature"},
        "the prompt is too long",
        "something is wrong",
    ],
)
def test_nothing_is_tried_where_the_service_does_not_say_so(loopback, capfd, words) -> None:
    bad = {"content": "bad", "role": "user"}

    def picky(call: Call) -> Answer:
        return refusal(words) if call.body["messages"][-1] == bad else answered(call)

    server = loopback(picky)
    [good, failed] = client_of(server, in_flight=1).answers([ASKED, [bad]], "judge")
    assert good == "Which?" and isinstance(failed, Failed)
    assert "trying" not in capfd.readouterr().err
    assert all("temperature" in call.body for call in server.calls)


def test_what_the_settings_fix_is_not_changed(loopback) -> None:
    server = loopback(without_system("System role not supported", 400))
    with pytest.raises(Exception, match="System role not supported"):
        client_of(server, system="turn").answers([ASKED], "judge")
    assert all(call.body["messages"][0]["role"] == "system" for call in server.calls)


@pytest.mark.parametrize("field", ["messages", "model", "temperature", "stream", "n"])
def test_further_fields_are_none_that_the_client_sets(field) -> None:
    with pytest.raises(ValidationError, match=f"{field} is not for `extra`"):
        ChatSettings(extra={field: 1})


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://x/v1", "https://x/v1/chat/completions"),
        ("https://x/v1/", "https://x/v1/chat/completions"),
        ("https://x/v1/chat/completions", "https://x/v1/chat/completions"),
        ("https://x/v1?api-version=1", "https://x/v1/chat/completions?api-version=1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_a_query_of_the_address_stays_at_its_end(url, called) -> None:
    assert completions_url(url) == called
