"""The judge's client against servers of this machine that speak the protocol, well and badly."""

import threading
import time
from collections import Counter

import pytest
from tests.loopback import Answer, Call

from cai.asking.chat.chat_client import ChatClient
from cai.asking.client import Failed
from cai.asking.journal.entries import Journal
from cai.asking.serving import ServerFailed
from cai.core.errors import UserError
from cai.settings.chat_service import ChatSettings

KEY = "nvapi-0123456789/secret"
VARIABLE = "TEST_JUDGE_KEY"


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.01)
    monkeypatch.setenv(VARIABLE, KEY)


def says(text: object) -> Answer:
    return Answer({"choices": [{"message": {"role": "assistant", "content": text}}]})


def well(call: Call) -> Answer:
    return says(call.body["messages"][-1]["content"].upper())


def ask(text: str) -> list[dict]:
    return [{"role": "system", "content": "judge"}, {"role": "user", "content": text}]


def client_of(server, journal=None, key_variable: str | None = VARIABLE, **settings) -> ChatClient:
    options = ChatSettings(**{"retries": 3, "timeout": 5, **settings})
    kept = Journal(None) if journal is None else journal
    return ChatClient(server.url + "/v1/", "big-judge", key_variable, kept, options)


def test_answers_come_in_order_and_equal_questions_are_asked_once(loopback):
    server = loopback(well)
    texts = ["a", "b", "a", "c"]
    answers = client_of(server).answers([ask(text) for text in texts], "judge")
    assert answers == ["A", "B", "A", "C"]
    assert len(server.calls) == 3


def test_what_is_sent(loopback):
    server = loopback(well)
    client_of(server, temperature=0.5, max_tokens=99).answers([ask("a")], "judge")
    [call] = server.calls
    assert call.body == {
        "model": "big-judge",
        "messages": ask("a"),
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 1.0,
    }
    assert call.headers["Authorization"] == f"Bearer {KEY}"


def test_a_netrc_file_does_not_take_the_keys_place(loopback, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for variable, expected in ((VARIABLE, f"Bearer {KEY}"), (None, None)):
        server = loopback(well)
        client_of(server, key_variable=variable).answers([ask("a")], "judge")
        assert server.calls[0].headers.get("Authorization") == expected


def test_many_are_in_flight(loopback):
    together = threading.Barrier(5, timeout=10)

    def waits(call: Call) -> Answer:
        if len(server.calls) > 1:  # the first proves that the service answers
            together.wait()
        return well(call)

    server = loopback(waits)
    answers = client_of(server, in_flight=5).answers([ask(str(n)) for n in range(11)], "judge")
    assert answers == [str(n) for n in range(11)]


def test_what_is_in_the_journal_is_not_asked_and_needs_no_key(loopback, tmp_path, monkeypatch):
    server = loopback(well)
    with Journal(tmp_path / "j") as journal:
        client_of(server, journal).answers([ask("a")], "judge")
    monkeypatch.delenv(VARIABLE)
    with Journal(tmp_path / "j") as journal:
        assert client_of(server, journal).answers([ask("a")], "judge") == ["A"]
        assert client_of(server, journal).answers([], "judge") == []
    assert len(server.calls) == 1


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "sm\u00f6rg\u00e5s", "a\nb"])
def test_without_a_usable_key_nothing_is_sent(loopback, monkeypatch, value):
    server = loopback(well)
    if value is None:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UserError, match=VARIABLE) as caught:
        client_of(server).answers([ask("a")], "judge")
    assert server.calls == []
    assert not (value or "").strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        Answer("slow down", 429),
        Answer("slow down", 429, {"Retry-After": "0"}),
        Answer("boom", 500),
        Answer("gateway", 503),
        Answer("<html>not JSON</html>"),
        Answer("null"),
        Answer({"choices": []}),
        Answer({"error": "overloaded"}),
        says(None),
        says("  "),
    ],
)
def test_what_may_pass_is_tried_again(loopback, bad):
    server = loopback(lambda call: bad if len(server.calls) < 3 else well(call))
    assert client_of(server).answers([ask("a")], "judge") == ["A"]
    assert len(server.calls) == 3


def test_a_server_that_asks_for_patience_gets_it(loopback):
    times = []

    def limits(call: Call) -> Answer:
        times.append(time.monotonic())
        return Answer("", 429, {"Retry-After": "1"}) if len(times) == 1 else well(call)

    assert client_of(loopback(limits)).answers([ask("a")], "judge") == ["A"]
    assert times[1] - times[0] >= 1


def test_a_slow_answer_is_asked_for_again(loopback):
    release = threading.Event()

    def slow(call: Call) -> Answer:
        if len(server.calls) == 1:
            release.wait(10)
        return well(call)

    server = loopback(slow)
    assert client_of(server, timeout=0.3).answers([ask("a")], "judge") == ["A"]
    release.set()


def test_a_conversation_that_fails_leaves_the_others_alone(loopback, tmp_path):
    def picky(call: Call) -> Answer:
        text = call.body["messages"][-1]["content"]
        long = Answer("the prompt is too long", 400)
        return {"long": long, "bad": Answer("boom", 500)}.get(text, well(call))

    server = loopback(picky)
    texts = ["a", "long", "b", "bad"]
    expected = [
        "A",
        Failed("refused by the service (too_long)"),
        "B",
        Failed("no answer from the judge: HTTP 500: boom"),
    ]
    for asked in ({"a": 1, "long": 1, "b": 1, "bad": 3}, {"bad": 3}):
        with Journal(tmp_path / "j") as journal:
            answers = client_of(server, journal).answers([ask(text) for text in texts], "judge")
        assert answers == expected
        found = Counter(call.body["messages"][-1]["content"] for call in server.calls)
        assert {text: found[text] for text in texts if found[text]} == asked
        server.calls.clear()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer("no", 401), f"key .*{VARIABLE}.*HTTP 401: no"),
        (Answer("no", 403), VARIABLE),
        (Answer("no", 404), r"HTTP 404: no"),
        (Answer("pay", 402), r"exhausted: HTTP 402: pay"),
        (Answer({"error": {"code": "insufficient_quota"}}, 429), "exhausted.*insufficient_quota"),
        (Answer("", 307, {"Location": "http://x"}), "moved.* to http://x"),
    ],
)
@pytest.mark.parametrize("first", [0, 22])
def test_what_is_wrong_for_all_ends_the_run(loopback, answer, message, first):
    server = loopback(lambda call: well(call) if len(server.calls) <= first else answer)
    journal = Journal(None)
    with pytest.raises(UserError, match=rf"^{server.url}/v1/chat/completions: .*{message}"):
        client_of(server, journal, in_flight=1).answers([ask(str(n)) for n in range(40)], "judge")
    assert len(server.calls) == first + 1
    assert len(journal) == first


def test_a_service_that_fails_again_and_again_is_given_up(loopback):
    def stops(call: Call) -> Answer:
        return well(call) if len(server.calls) <= 10 else Answer("boom", 500)

    server, journal = loopback(stops), Journal(None)
    with pytest.raises(ServerFailed, match=r"HTTP 500: boom"):
        client_of(server, journal, in_flight=1).answers([ask(str(n)) for n in range(500)], "judge")
    assert len(journal) == 10


def test_a_service_that_filters_most_is_not_given_up_and_is_not_asked_again(loopback, tmp_path):
    """A red team's prompts: the filter's refusals are no failures of the service."""
    filtered = Answer({"error": {"code": "content_filter", "message": "filtered"}}, 400)

    def filters(call: Call) -> Answer:
        return well(call) if call.body["messages"][-1]["content"].endswith("7") else filtered

    server = loopback(filters)
    questions = [ask(str(n)) for n in range(120)]
    for asked in (120, 0):
        with Journal(tmp_path / "j") as journal:
            answers = client_of(server, journal).answers(questions, "judge")
        assert answers.count(Failed("refused by the service (content_filter)")) == 108
        assert len(server.calls) == asked
        server.calls.clear()


def test_a_service_that_refuses_every_request_is_the_users_mistake(loopback):
    server, journal = loopback(lambda call: Answer("temperature must be 1", 400)), Journal(None)
    with pytest.raises(UserError, match=r"refuses .*HTTP 400: temperature must be 1"):
        client_of(server, journal, in_flight=1).answers([ask(str(n)) for n in range(50)], "judge")
    assert (len(server.calls), len(journal)) == (2, 0)


def echoes(status: int, shown: str):
    """A server that sends the key back, as a careless gateway does in its error pages."""

    def answer(call: Call) -> Answer:
        key = call.headers["Authorization"].removeprefix("Bearer ")
        escaped = key.replace("/", "\\/")
        body = {
            "plain": f'{{"choices": [{{"message": {{"content": "I saw {key}"}}}}]}}',
            "escaped": f'{{"choices": [{{"message": {{"content": "I saw {escaped}"}}}}]}}',
            "at the cut": "x" * 290 + key,
        }[shown]
        return Answer(body, status)

    return answer


@pytest.mark.parametrize("shown", ["plain", "escaped", "at the cut"])
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_the_key_is_nowhere(loopback, tmp_path, capfd, caplog, status, shown):
    caplog.set_level("DEBUG")
    path = tmp_path / "j"
    outcome = ""
    with Journal(path) as journal:
        try:
            outcome = repr(
                client_of(loopback(echoes(status, shown)), journal).answers([ask("a")], "j")
            )
        except UserError as error:
            outcome = repr(error)
    outputs = [outcome, path.read_text(), *capfd.readouterr(), caplog.text]
    assert outcome
    for output in outputs:
        plain = output.replace("\\", "")
        assert not any(KEY[start : start + 6] in plain for start in range(len(KEY) - 5))
