"""Services that fail: what is asked again, what is kept, and when a job ends."""

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loopback import Answer, Call, Loopback

from cai.asking.client import Client, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.openai_protocol import OpenAiProtocol
from cai.asking.serving import Served, ServerFailed
from cai.asking.transport.http import OutOfService
from cai.core.errors import UserError
from cai.models.sampling import Sampling
from cai.models.tokens import Tokenizer
from cai.plan.rehearsal import _SilentClient, _Tally
from cai.settings.model_servers import ClientSettings, Serving

pytestmark = pytest.mark.slow  # waits as the programs do

TOKENIZER = Tokenizer(Path(__file__).parents[2] / "demo/models/instruct/tokenizer.model")
OK = Completion("ok", "stop")
BUSY = Answer("slow down", 429, {"Retry-After": "0"})
EMPTY = Answer({"error": {"code": "insufficient_quota", "message": "You have no credits"}}, 429)
FILTERED = Answer({"error": {"code": "content_filter", "message": "x"}}, 400)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.01)


def request(prompt: str) -> Request:
    return Request(prompt, Sampling(max_tokens=8), 0, ("</s>",), add_bos=True)


def requests(count: int) -> list[Request]:
    return [request(f"prompt {number}") for number in range(count)]


def nemo(url: str, journal: Journal, **client) -> Client:
    options = ClientSettings(**{"retries": 3, "timeout": 5, "batch_size": 8, **client})
    return Client(Served(None, url, "unused.log"), journal, "model", options)


def openai(url: str, journal: Journal, in_flight: int = 8, **client) -> Client:
    served = Served(None, url, "unused.log", page="/v1/models")
    options = ClientSettings(**{"retries": 3, "timeout": 5, **client})
    serving = Serving(kind="openai", prompts="text", in_flight=in_flight)
    return Client(
        served, journal, "model", options, OpenAiProtocol(served, options, serving, TOKENIZER)
    )


def prompts(call: Call) -> list[str]:
    return call.body.get("sentences") or [call.body["prompt"]]


def well(call: Call) -> Answer:
    """Any prompt goes on with " ok"."""
    if "prompt" in call.body:
        return Answer({"choices": [{"text": " ok", "finish_reason": "stop"}]})
    sentences = [prompt + " ok" for prompt in call.body["sentences"]]
    return Answer({"sentences": sentences, "tokens": [["x", "</s>"] for _ in sentences]})


def counted(fails: Callable[[int, Call], Answer | None]) -> Callable[[Call], Answer]:
    """Answers well but where ``fails(number of the request, call)`` has another answer."""
    lock, count = threading.Lock(), [0]

    def answer(call: Call) -> Answer:
        with lock:
            count[0] += 1
            number = count[0]
        return fails(number, call) or well(call)

    return answer


BOTH = pytest.mark.parametrize("make", [nemo, openai])


@BOTH
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Answer("pay", 402), "exhausted: HTTP 402: pay"),
        (EMPTY, "exhausted: HTTP 429: .*insufficient_quota"),
        (Answer("no", 401), "key.*HTTP 401: no"),
        (Answer("gone", 404), "HTTP 404: gone"),
        (Answer("", 308, {"Location": "http://else"}), "moved.*HTTP 308: to http://else"),
    ],
)
def test_a_service_that_is_at_fault_ends_the_job_and_what_it_answered_stays(
    loopback, tmp_path, make, failure, message
):
    server = loopback(counted(lambda number, call: failure if number > 5 else None))
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(OutOfService, match=rf"^{server.url}/\S+: .*{message}"):
            make(server.url, journal, in_flight=1).complete(requests(60), "x")
        kept = len(journal)
        assert kept == sum(len(prompts(call)) for call in server.calls[:5])
    assert len(server.calls) == 6


def test_an_answer_that_is_under_way_when_the_account_is_empty_is_kept(loopback):
    empty = threading.Event()

    def fails(number: int, call: Call) -> Answer | None:
        if number == 4:
            empty.set()
            return EMPTY
        if 1 < number < 4:
            assert empty.wait(20)
            time.sleep(0.2)
        return EMPTY if number > 4 else None

    server, journal = loopback(counted(fails)), Journal(None)
    with pytest.raises(OutOfService):
        openai(server.url, journal, in_flight=3).complete(requests(500), "x")
    assert len(journal) == 3
    assert len(server.calls) < 9


@BOTH
def test_an_empty_account_is_noticed_at_once(loopback, make):
    server = loopback(lambda call: EMPTY)
    with pytest.raises(OutOfService, match="exhausted"):
        make(server.url, Journal(None), in_flight=64).complete(requests(800), "x")
    assert len(server.calls) == 1


@BOTH
def test_a_service_that_answers_nothing_is_proven_so_by_few_requests(loopback, make):
    server = loopback(lambda call: Answer("boom", 500))
    with pytest.raises(ServerFailed, match="HTTP 500: boom"):
        make(server.url, Journal(None), in_flight=64).complete(requests(800), "x")
    assert 6 <= len(server.calls) <= 8  # three attempts, and three with a trivial prompt


@BOTH
def test_a_service_is_asked_by_many_only_when_it_has_answered(loopback, make):
    lock, together = threading.Lock(), []

    def answer(call: Call) -> Answer:
        with lock:
            together.append(len(server.calls) - len(answered))
        time.sleep(0.1)
        with lock:
            answered.append(1)
        return well(call)

    answered: list[int] = []
    server = loopback(answer)
    make(server.url, Journal(None), in_flight=8).complete(requests(80), "x")
    assert together[0] == 1
    assert max(together) > 2


def test_a_service_that_goes_away_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http.LONG_PATIENCE", 0.3)
    server = Loopback(well)
    client = openai(server.url, Journal(None), retries=10_000)
    assert client.complete(requests(3), "x") == [OK] * 3
    server.close()
    with pytest.raises(OutOfService, match=r"^http://127.*cannot be reached.*refused"):
        client.complete(requests(50), "x")


@BOTH
@pytest.mark.parametrize("moment", [BUSY, Answer("boom", 500), Answer("x", 502), Answer("<html>")])
def test_a_moments_failure_drops_nothing(loopback, make, moment):
    """Every other request fails, whatever it asks."""
    server = loopback(counted(lambda number, call: moment if number % 2 else None))
    answers = make(server.url, Journal(None), in_flight=1).complete(requests(60), "x")
    assert answers == [OK] * 60


@settings(deadline=None, max_examples=40)
@given(
    poisoned=st.sets(st.integers(0, 15), max_size=4),
    busy=st.sets(st.integers(1, 40), max_size=12),
    boom=st.booleans(),
)
def test_a_batch_is_narrowed_to_the_prompts_at_fault(poisoned, busy, boom):
    """Whatever else fails for a moment; each prompt costs a few requests at most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cai.asking.transport.http._backoff", lambda state: 0.0)
        bad = {f"prompt {number:02}" for number in poisoned}
        poison = Answer("boom", 500) if boom else Answer("the prompt is odd", 400)

        def fails(number: int, call: Call) -> Answer | None:
            if number in busy and number - 1 not in busy:  # no two moments in a row
                return BUSY
            return poison if bad & set(prompts(call)) else None

        asked = [request(f"prompt {number:02}") for number in range(16)]
        with Loopback(counted(fails)) as server, Journal(None) as journal:
            client = nemo(server.url, journal, batch_size=16, retries=3, in_flight=1)
            answers = client.complete(asked, None)
        expected = [r.prompt in bad for r in asked]
        assert [isinstance(answer, Failed) for answer in answers] == expected
        assert len(server.calls) <= 8 + 14 * len(bad) + 2 * len(busy)


@BOTH
def test_a_refused_prompt_is_not_asked_again(loopback, tmp_path, make):
    def fails(number: int, call: Call) -> Answer | None:
        return FILTERED if any(prompt.endswith("7") for prompt in prompts(call)) else None

    server = loopback(counted(fails))
    for again in (False, True):
        with Journal(tmp_path / "j") as journal:
            answers = make(server.url, journal).complete(requests(40), "x")
        expected = Failed("refused by the service (content_filter)")
        assert answers == [expected if number % 10 == 7 else OK for number in range(40)]
        assert not again or not server.calls
        server.calls.clear()


def test_a_plan_counts_a_refused_prompt_as_known(loopback):
    """It will not be asked, and it costs nothing."""
    server = loopback(lambda call: FILTERED if "7" in str(prompts(call)) else well(call))
    journal = Journal(None)
    openai(server.url, journal).complete(requests(10), "x")
    planned = _SilentClient(_Tally(), journal, "model", ClientSettings())
    answers = planned.complete(requests(12), "x")
    assert sum(isinstance(answer, Failed) for answer in answers) == 1
    counts = planned.usage.as_dict()
    assert (counts["questions"], counts["reused"]) == (12, 10)


@BOTH
def test_a_service_that_refuses_every_prompt_of_a_form_is_at_fault(loopback, make):
    """The prompts are not: nothing is kept as refused for a wrong setting."""
    server = loopback(lambda call: Answer("top_p must be less than 1", 400))
    journal = Journal(None)
    with pytest.raises(UserError, match=r"refuses .*HTTP 400: top_p must be less"):
        make(server.url, journal).complete(requests(30), "x")
    assert len(journal) == 0


def test_most_prompts_may_be_refused_in_words_that_nobody_knows(loopback):
    """A trivial prompt, too: one that is answered shows that the form is right."""

    def fails(number: int, call: Call) -> Answer | None:
        return None if "3" in str(prompts(call)) else Answer("bad", 400)

    server, journal = loopback(counted(fails)), Journal(None)
    answers = openai(server.url, journal).complete(requests(8), "x")
    refused = Failed("refused by the service (bad_request)")
    assert answers == [OK if number == 3 else refused for number in range(8)]
    assert len(server.calls) == len(journal) == 8


def test_answers_that_are_always_late_end_the_job(loopback):
    """However many retries there are: each costs a whole time-out."""
    server = loopback(lambda call: time.sleep(0.4) or well(call))
    started = time.monotonic()
    with pytest.raises(ServerFailed, match=r"0\.2 s .*client\.timeout"):
        openai(server.url, Journal(None), retries=100, timeout=0.2).complete(requests(9), "x")
    assert time.monotonic() - started < 5


@BOTH
def test_what_a_service_says_does_not_steer_the_terminal(loopback, make):
    server = loopback(lambda call: Answer("\x1b[31mred\u202e\nline", 402))
    with pytest.raises(OutOfService) as caught:
        make(server.url, Journal(None)).complete(requests(3), "x")
    assert "\ufffd[31mred\ufffd line" in str(caught.value)


JUDGE = """{"kind": "chat", "url": "%s/v1", "model": "m", "client": {"retries": 2}}"""


def test_a_job_of_an_exhausted_account_does_not_end_well(loopback, tmp_path):
    """22 good answers, then none: exit code 2, one line, and the answers stay."""
    lock, calls = threading.Lock(), Counter()

    def answer(call: Call) -> Answer:
        with lock:
            calls["all"] += 1
            good = calls["all"] <= 22
        said = '{"best": "A", "worst": "B"}'
        message = {"message": {"content": said}, "finish_reason": "stop"}
        return Answer({"choices": [message]}) if good else Answer("no credits", 402)

    url = loopback(answer).url
    rows = "".join(
        f'{{"id": "{n:016}", "prompt": "How {n}?", "candidates": [{{"temperature": 1.0, "text": '
        f'"Kind {n}."}}, {{"temperature": 1.0, "text": "Other {n}."}}]}}\n'
        for n in range(40)
    )
    (tmp_path / "in.jsonl").write_text(rows)
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "scripts/rl_cai/judge_candidates.py",
        "--input",
        tmp_path / "in.jsonl",
        "--output",
    ]
    command += [tmp_path / "out.jsonl", "--journal", tmp_path / "j.jsonl", "--judge", JUDGE % url]
    command += ["--principles", '{"id": "p", "preference": "Which answer is kinder?"}']
    done = subprocess.run(list(map(str, command)), cwd=root, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2, done.stderr
    assert re.search(rf"{url}/v1/chat/completions: the account is exhausted.*402", errors[0])
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
    with Journal(tmp_path / "j.jsonl") as journal:
        assert len(journal) == 22
