"""How many requests a server gets: as many as it bears, and none while it asks for a pause."""

import threading
import time

import pytest
from tests.loopback import Answer, Call

from cai.asking.chat.chat_client import ChatClient
from cai.asking.journal.entries import Journal
from cai.asking.transport.http import Busy, Flow, Refused, TimedOut, Transient
from cai.settings.chat_service import ChatSettings

NEVER = threading.Event()


def fail(flow: Flow, failure: Exception) -> None:
    with pytest.raises(type(failure)), flow.turn(NEVER):
        raise failure


def succeed(flow: Flow, times: int) -> None:
    for _ in range(times):
        with flow.turn(NEVER):
            pass


@pytest.mark.parametrize("failure", [Busy("HTTP 429"), TimedOut("no answer")])
def test_an_overloaded_server_gets_half_as_many(failure):
    flow = Flow(32)
    fail(flow, failure)
    assert flow.limit == 16
    for _ in range(9):
        fail(flow, failure)
    assert flow.limit == 1


@pytest.mark.parametrize("failure", [Transient("HTTP 500"), Refused("HTTP 400"), ValueError()])
def test_other_failures_do_not_mean_that_it_is_overloaded(failure):
    flow = Flow(32)
    fail(flow, failure)
    assert flow.limit == 32


def test_requests_that_were_under_way_together_halve_it_once():
    flow = Flow(32)
    together = threading.Barrier(8, timeout=10)

    def request() -> None:
        with pytest.raises(Busy), flow.turn(NEVER):
            together.wait()
            raise Busy("HTTP 429")

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flow.limit == 16


def test_it_grows_by_one_a_window_and_never_over_its_most():
    flow = Flow(16)
    fail(flow, Busy("HTTP 503"))
    succeed(flow, 9)
    assert flow.limit == 9
    succeed(flow, 1000)
    assert flow.limit == 16


def test_no_more_than_the_limit_are_under_way():
    flow, most = Flow(8), []
    fail(flow, Busy("HTTP 429"))
    under_way = threading.Semaphore(0)

    def request() -> None:
        with flow.turn(NEVER):
            under_way.release()
            time.sleep(0.02)
            most.append(under_way._value)
            under_way.acquire()

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8
    assert max(most) <= 5  # 4, and perhaps one more by the answers until then


def test_a_stop_ends_the_waiting_for_a_turn():
    flow, stop = Flow(1), threading.Event()
    fail(flow, Busy("HTTP 429", retry_after=600))
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with flow.turn(stop):
        assert time.monotonic() - started < 60


def chat(text: str = "yes") -> Answer:
    message = {"role": "assistant", "content": text}
    return Answer({"choices": [{"message": message, "finish_reason": "stop"}]})


def ask(url: str, questions: int, **settings) -> list[str]:
    options = ChatSettings(**{"retries": 20, **settings})
    client = ChatClient(url, "model", None, Journal(None), options)
    asked = [[{"role": "user", "content": str(number)}] for number in range(questions)]
    return client.answers(asked, "x")


def test_retry_after_pauses_everybody(loopback):
    """The service is overloaded once: until it is over no thread asks anything."""
    lock, times = threading.Lock(), []

    def answer(call: Call) -> Answer:
        with lock:
            times.append(time.monotonic())
            first = len(times) == 20
        time.sleep(0.02)
        return Answer("", 429, {"Retry-After": "1"}) if first else chat()

    assert ask(loopback(answer).url, 100, in_flight=8) == ["yes"] * 100
    told = times[19] + 0.02
    paused = [moment for moment in times if told + 0.1 < moment < told + 0.9]
    assert len(times) == 101
    assert not paused


def test_a_service_that_bears_few_is_asked_by_few(loopback):
    """It refuses what is over 4 at a time; in the end all is answered, with few refusals."""
    lock, counts = threading.Lock(), {"now": 0, "refused": 0}

    def answer(call: Call) -> Answer:
        with lock:
            counts["now"] += 1
            over = counts["now"] > 4
            counts["refused"] += over
        time.sleep(0.01)
        with lock:
            counts["now"] -= 1
        return Answer("busy", 503, {"Retry-After": "0"}) if over else chat()

    assert ask(loopback(answer).url, 400, in_flight=64) == ["yes"] * 400
    assert counts["refused"] < 250


def test_one_slow_request_holds_up_nobody(loopback):
    others, calls = threading.Event(), []

    def answer(call: Call) -> Answer:
        calls.append(call)
        if call.body["messages"][0]["content"] == "0":
            assert others.wait(20)  # answered when all others are
        elif len(calls) == 60:
            others.set()
        return chat()

    assert ask(loopback(answer).url, 60, in_flight=4) == ["yes"] * 60
