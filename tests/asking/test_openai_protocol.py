"""What is sent to an OpenAI-compatible server, how its answers are read, and how it fails."""

import math
import threading
from collections import Counter
from pathlib import Path

import pytest
from tests.loopback import Answer, Call, Loopback

from cai.asking.client import Client, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.openai_protocol import OpenAiProtocol
from cai.asking.serving import Served, ServerFailed
from cai.core.errors import UserError
from cai.models.sampling import Sampling
from cai.models.tokens import Tokenizer
from cai.settings.model_servers import ClientSettings, Serving

MODEL = Path(__file__).parents[2] / "demo/models/instruct/tokenizer.model"
TOKENIZER = Tokenizer(MODEL)
BOS = 1


def choice(text: str = " ok", finish: str = "stop", **fields) -> Answer:
    return Answer({"choices": [{"text": text, "finish_reason": finish, **fields}]})


@pytest.fixture
def serve(loopback):
    """A server that answers prompts with ``answer(call)``."""
    return lambda answer=lambda call: choice(): loopback(answer)


def client_of(
    server: Loopback,
    journal: Journal | None = None,
    retries: int = 3,
    model: str = "model",
    named: str | None = None,
    **serving,
) -> Client:
    served = Served(None, server.url, "unused.log", page="/v1/models")
    settings = ClientSettings(retries=retries, timeout=5)
    asked = Serving(kind="openai", model=named, **serving)
    protocol = OpenAiProtocol(served, settings, asked, TOKENIZER)
    kept = Journal(None) if journal is None else journal
    return Client(served, kept, model, settings, protocol)


def request(prompt: str, seed: int = 0, stop: tuple[str, ...] = ("</s>",), **sampling) -> Request:
    return Request(prompt, Sampling(**{"max_tokens": 8, **sampling}), seed, stop, add_bos=True)


def bodies(server: Loopback) -> list[dict]:
    return [call.body for call in server.calls]


def test_what_is_sent(serve):
    server = serve()
    sampling = Sampling(
        max_tokens=7, min_tokens=2, temperature=0.7, top_k=3, top_p=0.8, repetition_penalty=1.1
    )
    client_of(server).complete([Request("Hi", sampling, 1, ("[INST]", "</s>"), False)], "x")
    [body] = bodies(server)
    assert 0 <= body.pop("seed") < 2**31
    assert body == {
        "model": "tiny",
        "prompt": TOKENIZER.encode("Hi"),
        "max_tokens": 7,
        "temperature": 0.7,
        "top_p": 0.8,
        "stop": ["[INST]"],
        "top_k": 3,
        "repetition_penalty": 1.1,
        "min_tokens": 2,
        "skip_special_tokens": False,
    }


def test_the_prompt_is_the_tokens_that_nemo_sees(serve):
    """Marks in a text are text: a prompt cannot end its own turn."""
    server = serve()
    client_of(server).complete([request("[INST] x </s> [/INST]")], "x")
    [body] = bodies(server)
    assert body["prompt"] == [BOS, *TOKENIZER.encode("[INST] x </s> [/INST]")]
    assert 2 not in body["prompt"]  # EOS


def test_greedy_is_temperature_0(serve):
    server = serve()
    client_of(server).complete([request("Hi", greedy=True, top_k=5, top_p=0.5)], "x")
    [body] = bodies(server)
    assert (body["temperature"], body["top_p"], body.get("top_k")) == (0.0, 1.0, None)


def test_each_question_has_a_seed_of_its_own_whatever_it_is_asked_with(serve):
    server = serve()
    requests = [request(f"prompt {n}", seed) for n in range(5) for seed in (1, 2)]
    client_of(server).complete(requests, "x")
    client_of(server).complete(requests[3:4], "x")
    seeds = Counter(body["seed"] for body in bodies(server))
    assert sorted(seeds.values()) == [1] * 9 + [2]


def test_another_model_is_asked_in_the_same_order_with_the_same_seeds(serve):
    requests = [request(f"prompt {n % 3}", seed) for n in range(6) for seed in (1, 2)]
    sent = []
    for model in ("model", "other"):
        server = serve()
        client_of(server, model=model, in_flight=1).complete(requests, "x")
        sent.append(bodies(server))
    assert sent[0] == sent[1]


def test_a_server_of_openais_parameters_only(serve):
    server = serve()
    plain = client_of(server, prompts="text", extensions=False)
    plain.complete([request("Hi", min_tokens=1)], "x")
    [body] = bodies(server)
    del body["seed"]
    expected = {"model": "tiny", "prompt": "Hi", "max_tokens": 8, "temperature": 1.0, "top_p": 1.0}
    assert body == expected
    with pytest.raises(UserError, match=r"top_k .*server.extensions: false"):
        plain.complete([request("Hi", top_k=3)], "x")


@pytest.mark.parametrize(
    ("text", "finish", "stop", "expected"),
    [
        (" good", "stop", ("</s>",), Completion("good", "stop")),
        (" good</s>", "stop", ("</s>",), Completion("good", "stop")),
        (" good and", "length", ("</s>",), Completion("good and", "length")),
        (" good[INST] x", "length", ("[INST]",), Completion("good", "stop")),  # it does not stop
        (" good[INST]", "stop", ("[INST]",), Completion("good", "stop")),
        (" good\nHuman: x", "length", ("Human:", "\nHuman:"), Completion("good", "stop")),
        ("", "stop", ("</s>",), Completion("", "stop")),
    ],
)
def test_how_an_answer_ended(serve, text, finish, stop, expected):
    server = serve(lambda call: choice(text, finish))
    assert client_of(server).complete([request("Hi", stop=stop)], "x") == [expected]


def logprobs(*tokens: tuple[str, float]) -> dict:
    names, values = zip(*tokens, strict=True)
    return {"logprobs": {"tokens": names, "token_logprobs": values}}


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([("(A)", math.log(0.7))], 0.7),
        ([(" (", 0.0), ("B", math.log(0.6)), (")", 0.0)], 0.4),
        ([("(A)", math.log(0.7)), (" A", math.log(0.1))], 0.7),  # what follows is not the answer
        ([("(C)", 0.0)], Failed("neither (A) nor (B)")),
    ],
)
def test_a_choice_is_read_from_the_log_probabilities(serve, tokens, expected):
    text = "".join(token for token, _ in tokens)
    server = serve(lambda call: choice(text, "length", **logprobs(*tokens)))
    [found] = client_of(server).probability_of_a(["Answer:"], "x", add_bos=True)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)
    [body] = bodies(server)
    assert (body["logprobs"], body["temperature"], body["max_tokens"]) == (1, 0.0, 4)
    assert "stop" not in body


def test_a_server_without_log_probabilities_cannot_judge(serve):
    server = serve(lambda call: choice("(A)"))
    with pytest.raises(UserError, match=r"log-probabilities.*preferences\.judge"):
        client_of(server).probability_of_a(["Answer:"], "x", add_bos=True)


def scored(*values: object) -> dict:
    """What vLLM gives for a prompt: at each place but the first its token, perhaps among others."""
    tokens = TOKENIZER.encode("a b", add_bos=True)
    places = [{str(token): {"logprob": value}} for token, value in zip(tokens, values, strict=True)]
    return {"prompt_logprobs": [None, *places[1:]]}


def test_a_text_is_scored_by_the_log_probabilities_of_its_tokens(serve):
    count = TOKENIZER.count("a b", add_bos=True)
    values = [-0.5 - place for place in range(count)]
    server = serve(lambda call: choice("x", "length", **scored(*values)))
    client = client_of(server, prompt_logprobs=True)
    found = client.log_probabilities(["a b"], [count], "x", add_bos=True)
    assert found == [pytest.approx(sum(values[1:]))]
    [body] = bodies(server)
    assert (body["prompt_logprobs"], body["max_tokens"]) == (0, 1) and "logprobs" not in body


def test_a_text_without_all_its_log_probabilities_is_not_scored(serve):
    count = TOKENIZER.count("a b", add_bos=True)
    reasons = {
        "not one log-probability for each of": [None],
        "a token without its log-probability": [None, *[{"7": {"logprob": -1}}] * (count - 1)],
        "the log-probability is no number": scored(*["x"] * count)["prompt_logprobs"],
    }
    for reason, given in reasons.items():
        server = serve(lambda call, given=given: choice(prompt_logprobs=given))
        client = client_of(server, prompt_logprobs=True)
        [failed] = client.log_probabilities(["a b"], [count], "x", add_bos=True)
        assert isinstance(failed, Failed) and reason in failed.reason


def test_a_server_that_scores_nothing_is_told(serve):
    with pytest.raises(UserError, match=r"accepted: server\.kind nemo, or vLLM"):
        client_of(serve()).log_probabilities(["a b"], [3], "x", add_bos=True)
    with pytest.raises(UserError, match=r"gives no prompt_logprobs"):
        client_of(serve(), prompt_logprobs=True).log_probabilities(["a"], [2], "x", add_bos=True)


def test_a_text_that_the_server_reads_otherwise_fails(serve):
    """As text, a mark of EOS becomes the EOS token in a server of its own tokenizer."""
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    server = serve(lambda call: Answer(choice().body | usage))
    [failed] = client_of(server, prompts="text").complete([request("a b </s> c")], "x")
    wanted = len(TOKENIZER.encode("a b </s> c", add_bos=True))
    assert failed == Failed(f"the server makes 3 tokens of the prompt, NeMo makes {wanted} of it")


def test_what_one_kind_of_server_answered_is_not_asked_of_another(serve, loopback):
    journal = Journal(None)
    requests = [request(f"prompt {n}") for n in range(5)]
    answers = client_of(serve(), journal).complete(requests, "x")
    nemo = loopback(lambda call: Answer("", 500))
    served = Served(None, nemo.url, "unused.log")
    assert Client(served, journal, "model", ClientSettings()).complete(requests, "x") == answers
    assert not nemo.calls


def test_one_prompt_that_is_refused_fails_alone(serve):
    def picky(call: Call) -> Answer:
        return Answer("the prompt is too long", 400) if len(call.body["prompt"]) > 20 else choice()

    answers = client_of(serve(picky)).complete([request("short"), request("x" * 99)], "x")
    assert answers == [
        Completion("ok", "stop"),
        Failed("refused by the service (too_long)"),
    ]


def test_a_refusal_of_the_parameters_is_the_users_mistake(serve):
    server = serve(lambda call: Answer("min_tokens: unexpected field", 422))
    with pytest.raises(UserError, match=r"refuses .*HTTP 422: min_tokens: unexpected"):
        client_of(server).complete([request("a"), request("b")], "x")


@pytest.mark.parametrize(
    "bad",
    [
        *(Answer("busy", status, {"Retry-After": "0"}) for status in (429, 503)),
        *(Answer("boom", status) for status in (500, 502)),
        Answer("<html>"),
        Answer({"choices": []}),
        choice(finish="abort"),
    ],
)
def test_what_may_pass_is_tried_again(serve, bad):
    server = serve(lambda call: bad if len(bodies(server)) < 3 else choice())
    assert client_of(server).complete([request("Hi")], "x") == [Completion("ok", "stop")]


def test_a_server_that_answers_nothing_right_is_not_the_prompts_fault(serve):
    server = serve(lambda call: Answer("CUDA error", 500))
    with pytest.raises(ServerFailed, match="HTTP 500: CUDA error"):
        client_of(server, retries=1).complete([request("a"), request("b")], "x")


SLOW = "the longest prompt, which is sent first"


def test_one_slow_answer_holds_up_nobody(serve):
    others = threading.Event()

    def answer(call: Call) -> Answer:
        if call.body["prompt"] == SLOW:
            assert others.wait(60)  # answered when all others are
        elif len(bodies(server)) == 60:
            others.set()
        return choice()

    server = serve(answer)
    requests = [request(f"prompt {n}") for n in range(59)] + [request(SLOW)]
    client = client_of(server, prompts="text", in_flight=4)
    assert client.complete(requests, "x") == [Completion("ok", "stop")] * 60


def test_a_model_is_asked_by_its_configured_name(serve):
    server = serve()
    assert client_of(server, named="tiny").complete([request("a")], "x") == [
        Completion("ok", "stop")
    ]
    with pytest.raises(UserError, match=r"no model 'big' \(server\.model\) in: tiny"):
        client_of(server, named="big").complete([request("a")], "x")
    assert len(server.calls) == 1
