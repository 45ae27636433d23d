import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.loopback import Answer

from cai.asking.transport.http import (
    Flow,
    OutOfService,
    Refused,
    TimedOut,
    Transient,
    Unreachable,
    exchange,
    persist,
)
from cai.asking.transport.session import open_session


def ask(url: str, **options) -> str:
    return exchange(open_session(), "PUT", url, **{"timeout": 5, "json": {}, **options})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_may_pass(loopback, status):
    server = loopback(lambda call: Answer("busy", status))
    with pytest.raises(Transient, match=f"HTTP {status}: busy"):
        ask(server.url)


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_statuses_of_an_answer(loopback, status):
    server = loopback(lambda call: Answer("yes", status))
    assert ask(server.url) == "yes"


@pytest.mark.parametrize("status", [206, 207, 299])
def test_statuses_of_a_part(loopback, status):
    server = loopback(lambda call: Answer("ye", status))
    with pytest.raises(Transient, match=f"HTTP {status}: ye"):
        ask(server.url)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_statuses_that_stay(loopback, status):
    server = loopback(lambda call: Answer("no", status))
    with pytest.raises(Refused, match=f"HTTP {status}: no"):
        ask(server.url)


def test_a_redirect_is_not_followed(loopback):
    target = loopback(lambda call: Answer("here"))
    server = loopback(lambda call: Answer("", 307, {"Location": target.url}))
    with pytest.raises(OutOfService, match=f"HTTP 307: to {target.url}"):
        ask(server.url)
    assert target.calls == []


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 410])
def test_statuses_that_end_the_job(loopback, status):
    server = loopback(lambda call: Answer("no", status))
    with pytest.raises(
        OutOfService, match=rf"^{server.url}/v1\?key=\.\.\.: .*HTTP {status}: no; wh"
    ):
        ask(f"{server.url.replace('//', '//me:secret@')}/v1?key=secret")


def test_no_server():
    with pytest.raises(Unreachable, match=r"no connection \(Connection refused\)"):
        ask("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:8000/v1", "ftp://x/v1", "x", "http://", "http://[::1", "http://a b/"),
        *("http://x:99999/", "http://" + "x" * 70 + ".y/", "http://\ud83d/"),
    ],
)
def test_what_is_no_address_ends_the_job(url):
    with pytest.raises(OutOfService, match="no address of a service"):
        ask(url)


def test_a_service_that_cannot_be_reached_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.01)
    monkeypatch.setattr("cai.asking.transport.http.PATIENCE", 0.3)
    flow = Flow(8)
    with pytest.raises(
        OutOfService, match=r"^http://127\.0\.0\.1:9/x: .*cannot be reached.*refused"
    ):
        persist(lambda: ask("http://127.0.0.1:9/x"), 10_000, threading.Event(), flow)


def test_a_late_answer(loopback):
    release = threading.Event()
    server = loopback(lambda call: release.wait(10) and Answer("late"))
    with pytest.raises(TimedOut, match=r"within 0\.2 s"):
        ask(server.url, timeout=0.2)
    release.set()


def test_a_secret_is_blotted_out_of_answers_and_errors(loopback):
    server = loopback(lambda call: Answer("the key abc123 is odd", call.body["status"]))
    assert ask(server.url, secret="abc123", json={"status": 200}) == "the key [key] is odd"
    for status, kind in ((400, Refused), (500, Transient)):
        with pytest.raises(kind, match=r"the key \[key\] is odd"):
            ask(server.url, secret="abc123", json={"status": status})


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("3", 3, 3),
        (format_datetime(datetime.now(UTC) + timedelta(hours=9), usegmt=True), 600, 600),
        (format_datetime(datetime.now(UTC) - timedelta(hours=9), usegmt=True), 0, 0),
    ],
    ids=["seconds", "a later day", "an earlier day"],
)
def test_retry_after(loopback, value, least, most):
    server = loopback(lambda call: Answer("", 429, {"Retry-After": value}))
    with pytest.raises(Transient) as caught:
        ask(server.url)
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "-1"}])
def test_no_usable_retry_after(loopback, headers):
    server = loopback(lambda call: Answer("", 429, headers))
    with pytest.raises(Transient) as caught:
        ask(server.url)
    assert caught.value.retry_after is None


def test_persist_tries_again_until_it_succeeds():
    failures = [Transient("one"), Transient("two", retry_after=0.01)]

    def call() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert persist(call, 3, threading.Event()) == "done"


def test_persist_raises_the_last_failure_after_the_last_attempt():
    calls = []

    def call() -> None:
        calls.append(len(calls))
        raise Transient(f"attempt {len(calls)}", retry_after=0.01)

    with pytest.raises(Transient, match="attempt 3"):
        persist(call, 3, threading.Event())
    assert len(calls) == 3


def test_persist_does_not_repeat_what_was_refused():
    calls = []

    def call() -> None:
        calls.append(1)
        raise Refused("never")

    with pytest.raises(Refused):
        persist(call, 5, threading.Event())
    assert len(calls) == 1


def test_a_stop_ends_the_waiting():
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()

    def call() -> None:
        raise Transient("asks for patience", retry_after=600)

    started = time.monotonic()
    with pytest.raises(Transient):
        persist(call, 5, stop)
    assert time.monotonic() - started < 60
