"""Whatever a server sends: a value, or one of few exceptions; of a batch the others stay."""

import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loopback import Answer, Call, Loopback

from cai.asking.client import Client, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.openai_protocol import OpenAiProtocol
from cai.asking.rewards import RewardModel
from cai.asking.serving import Served
from cai.asking.transport import received
from cai.asking.transport.http import OutOfService, Refused, Transient
from cai.core.errors import UserError
from cai.models.sampling import Sampling
from cai.settings.model_servers import ClientSettings, Serving

KEYS = [
    "choices",
    "text",
    "finish_reason",
    "logprobs",
    "tokens",
    "token_logprobs",
    "usage",
    "sentences",
    "logprob",
    "outputs",
    "name",
    "shape",
    "data",
    "error",
    "prompt_tokens",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["stop", "length", "rewards", "Hi there", "\ud83d"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
ODD = [
    *("[" * 100_000, '{"a":' * 100_000, "1" * 5000, "null", "[]", '"', "", "NaN", "<html>"),
    '{"sentences": null, "tokens": null}',
    '{"sentences": [["x"]], "tokens": [[["x"]]]}',
    '{"choices": [{"text": {"a": 1}, "finish_reason": "stop"}]}',
    '{"choices": {"0": 1}}',
    '{"outputs": [{"name": "rewards", "shape": [1, 1], "data": [null]}]}',
    '{"outputs": [{"name": "rewards", "shape": [1, 1], "data": {"a": 1}}]}',
    '{"outputs": [{"name": "rewards", "shape": [1, 1], "data": [1%s]}]}' % ("0" * 400),
]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.001)


@given(JSON)
@settings(deadline=None, max_examples=100)
def test_a_check_returns_what_it_promises_or_raises_what_is_known(value):
    known = (received.Unfit, Refused, Transient)
    for check, kind in (
        (received.text_of, str),
        (received.texts_of, list),
        (lambda x: received.number_of(x, "number"), float),
        (received.logprob_of, float),
        (received.probability_of, float),
        (received.end_of, str),
        (received.tokens_of, dict),
    ):
        try:
            found = check(value)
        except known as error:
            assert "\n" not in str(error) and len(str(error)) < 200
            continue
        assert isinstance(found, kind)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


@given(JSON.map(json.dumps) | st.text() | st.sampled_from(ODD))
@settings(deadline=None)
def test_decoding_raises_what_is_known(text):
    try:
        received.decoded(text, "http://x")
    except (Refused, Transient, OutOfService):
        pass


@pytest.mark.parametrize(
    ("logprob", "probability"),
    [(0.0, 1.0), (math.log(0.5), 0.5), (0.004, 1.0), (-9999.0, 0.0), (-3, math.exp(-3))],
)
def test_a_log_probability(logprob, probability):
    assert received.probability_of(logprob) == pytest.approx(probability)


WRONG = [None, "x", math.nan, math.inf, 1000, 5000.0, 0.5, True, [-0.5], {"a": 1}, 10**400]


@pytest.mark.parametrize("logprob", WRONG)
def test_what_is_none(logprob):
    with pytest.raises(received.Unfit, match="log-probability"):
        received.logprob_of(logprob)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("\ud83d\ude00", "\U0001f600"),
        ("Nice \ud83d\n", "Nice \ufffd\n"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_half_a_surrogate_pair(said, text):
    assert received.text_of(said) == text


# ---------------------------------------------------------------- through the clients


class Tokens:
    """A tokenizer with which any prompt is one token."""

    def encode(self, text: str, *, add_bos: bool) -> list[int]:
        return [1]


def nemo(url: str, journal: Journal, retries: int = 1) -> Client:
    settings = ClientSettings(retries=retries, timeout=5)
    return Client(Served(None, url, "unused.log"), journal, "model", settings)


def openai(url: str, journal: Journal, retries: int = 1) -> Client:
    served, settings = Served(None, url, "unused.log"), ClientSettings(retries=retries, timeout=5)
    protocol = OpenAiProtocol(served, settings, Serving(kind="openai"), Tokens())
    return Client(served, journal, "model", settings, protocol)


def request(prompt: str) -> Request:
    return Request(prompt, Sampling(max_tokens=8), 0, ("</s>",), add_bos=True)


@pytest.fixture(scope="module")
def fixed() -> Iterator[Loopback]:
    """A server that answers with its ``text``, whatever it is asked."""
    with Loopback(lambda call: Answer(fixed.text)) as fixed:
        yield fixed


@given(text=JSON.map(json.dumps) | st.sampled_from(ODD))
@settings(deadline=None, max_examples=40)
def test_no_answer_breaks_a_client(fixed, text):
    fixed.text = text
    for make in (nemo, openai):
        for ask in (
            lambda client: client.complete([request("Hi")], None),
            lambda client: client.probability_of_a(["Hi"], None, add_bos=True),
            lambda client: RewardModel(
                Served(None, fixed.url, "unused.log"), Journal(None), "m"
            )._infer(["Hi"]),
        ):
            journal = Journal(None)
            try:
                [answer] = ask(make(fixed.url, journal))
            except (UserError, Transient, Refused) as error:
                assert "\n" not in str(error)
                continue
            assert isinstance(answer, Completion | Failed | float)


@pytest.mark.parametrize("wrong", [value for value in WRONG if value != 10**400])
def test_a_wrong_log_probability_costs_its_record_alone(loopback, tmp_path, wrong):
    def answer(call: Call) -> Answer:
        prompts = call.body["sentences"]
        return Answer(
            {
                "sentences": [prompt + "(A)" for prompt in prompts],
                "tokens": [["<s>", "(A)"] for _ in prompts],
                "logprob": [[wrong if prompt == "bad" else -0.5] for prompt in prompts],
            }
        )

    with Journal(tmp_path / "j") as journal:
        client = nemo(loopback(answer).url, journal)
        a, bad, b = client.probability_of_a(["a", "bad", "b"], None, add_bos=True)
        assert len(journal) == 2
    assert a == b == pytest.approx(math.exp(-0.5))
    assert isinstance(bad, Failed) and "log-probability" in bad.reason


def test_half_a_surrogate_pair_costs_nothing(loopback, tmp_path):
    def nemo_says(call: Call) -> Answer:
        sentences = [prompt + " Nice \ud83d" for prompt in call.body["sentences"]]
        return Answer({"sentences": sentences, "tokens": [["x", "</s>"] for _ in sentences]})

    def openai_says(call: Call) -> Answer:
        return Answer({"choices": [{"text": " Nice \ud83d", "finish_reason": "stop"}]})

    for make, says in ((nemo, nemo_says), (openai, openai_says)):
        with Journal(tmp_path / make.__name__) as journal:
            answers = make(loopback(says).url, journal).complete([request("a"), request("b")], None)
        assert answers == [Completion("Nice \ufffd", "stop")] * 2


def test_a_row_of_another_type_costs_its_record_alone(loopback):
    def answer(call: Call) -> Answer:
        prompts = call.body["sentences"]
        return Answer(
            {
                "sentences": [["x"] if p == "bad" else p + " ok" for p in prompts],
                "tokens": [["x", ["</s>"]] if p == "worse" else ["x", "</s>"] for p in prompts],
            }
        )

    prompts = ["a", "bad", "worse", "b"]
    answers = nemo(loopback(answer).url, Journal(None)).complete(map_requests(prompts), None)
    assert [isinstance(each, Completion) for each in answers] == [True, False, False, True]


def map_requests(prompts: list[str]) -> list[Request]:
    return [request(prompt) for prompt in prompts]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 402, "message": "Insufficient credits"}, OutOfService),
        ({"code": "insufficient_quota"}, OutOfService),
    ],
)
def test_an_error_that_comes_as_an_answer_ends_the_job(loopback, error, kind):
    server = loopback(lambda call: Answer({"error": error}))
    for make in (nemo, openai):
        with pytest.raises(kind, match=rf"^{server.url}.*exhausted"):
            make(server.url, Journal(None)).complete([request("a")], None)


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY"])
def test_an_answer_that_a_filter_ended_is_a_refusal(loopback, finish):
    said = {"choices": [{"text": "I", "finish_reason": finish}]}
    server, journal = loopback(lambda call: Answer(said)), Journal(None)
    for _ in range(2):
        answers = openai(server.url, journal).complete([request("a")], None)
        assert answers == [Failed("refused by the service (content_filter)")]
    assert len(server.calls) == 1
