"""The client against servers that speak NeMo's protocol, well and badly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loopback import Answer, Call, Loopback

from cai.asking.client import Client, ClientSettings, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import cut_of, plan
from cai.asking.protocol import Question
from cai.asking.serving import Served, ServerFailed
from cai.core.errors import UserError
from cai.models.sampling import Sampling

EOS = "</s>"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("cai.asking.transport.http._backoff", lambda state: 0.01)


def row(text: str, *generated: str) -> tuple[str, list[str]]:
    """A sentence and its tokens; EOS has no text."""
    return text + "".join(t for t in generated if t != EOS), [*text.split(), *generated]


def answer(rows) -> Answer:
    rows = list(rows)
    return Answer({"sentences": [r[0] for r in rows], "tokens": [r[1] for r in rows]})


def well(call: Call) -> Answer:
    """Every prompt goes on with " ok" and an EOS."""
    return answer(row(prompt, " ok", EOS) for prompt in call.body["sentences"])


def request(prompt: str, seed: int = 0, stop: tuple[str, ...] = (EOS,), **sampling) -> Request:
    return Request(prompt, Sampling(**{"max_tokens": 8, **sampling}), seed, stop, add_bos=True)


def client_of(
    server: Loopback, journal: Journal | None = None, model: str = "model", **settings
) -> Client:
    served = Served(None, server.url, "unused.log")
    options = ClientSettings(**{"retries": 3, "timeout": 5, **settings})
    return Client(served, Journal(None) if journal is None else journal, model, options)


def prompts(server: Loopback) -> list[str]:
    return [prompt for call in server.calls for prompt in call.body["sentences"]]


def test_answers_come_in_the_order_of_the_requests(loopback):
    def reverse(call: Call) -> Answer:
        return answer(row(p, " ", p[::-1], EOS) for p in call.body["sentences"])

    texts = ["a longer prompt", "b", "a much longer prompt", "prompt", "b"]
    answers = client_of(loopback(reverse), batch_size=2).complete(list(map(request, texts)), "x")
    assert answers == [Completion(text[::-1], "stop") for text in texts]


def test_what_is_sent(loopback):
    server = loopback(well)
    sampling = Sampling(
        max_tokens=7, min_tokens=2, temperature=0.7, top_k=3, top_p=0.8, repetition_penalty=1.1
    )
    client_of(server).complete([Request("Hi", sampling, 1, ("[INST]", EOS), add_bos=False)], "x")
    [call] = server.calls
    assert 0 <= call.body.pop("random_seed") < 2**24
    assert call.body == {
        "sentences": ["Hi"],
        "tokens_to_generate": 7,
        "min_tokens_to_generate": 2,
        "temperature": 0.7,
        "top_k": 3,
        "top_p": 0.8,
        "repetition_penalty": 1.1,
        "greedy": False,
        "add_BOS": False,
        "end_strings": ["[INST]", "<|endoftext|>"],
    }


def test_batches_share_their_parameters_and_are_alike_in_length(loopback):
    server = loopback(well)
    requests = [
        request("x" * length, temperature=temperature)
        for length in range(1, 21)
        for temperature in (0.5, 1.0)
    ]
    client_of(server, batch_size=8).complete(requests, "x")
    assert Counter(prompts(server)) == Counter(r.prompt for r in requests)
    lengths = [sorted(map(len, call.body["sentences"])) for call in server.calls]
    assert all(len(batch) <= 8 and batch[-1] - batch[0] == len(batch) - 1 for batch in lengths)
    assert Counter(call.body["temperature"] for call in server.calls) == {0.5: 3, 1.0: 3}


def test_the_seed_of_a_batch_depends_on_its_requests_alone(loopback):
    server = loopback(well)

    def seed(*requests: Request) -> int:
        client_of(server).complete(requests, "x")
        return server.calls[-1].body["random_seed"]

    a, b = request("a"), request("b")
    assert seed(a, b) == seed(b, a)
    assert len({seed(a, b), seed(a), seed(request("a", seed=1)), seed(b)}) == 4


@settings(deadline=None, max_examples=20)
@given(names=st.lists(st.text("abc", min_size=1), min_size=1, unique=True), model=st.text())
def test_another_model_is_asked_in_the_same_batches_with_the_same_seeds(names, model):
    """So a model that was trained again, to the same or other weights, is compared like with like.

    Batches of other seeds made every run from nothing another one.
    """
    sent = []
    for name in ("model", model):
        with Loopback(well) as server:
            asked = [request(prompt, seed) for prompt in names for seed in (1, 2)]
            client_of(server, model=name, batch_size=3, in_flight=1).complete(asked, "x")
            sent.append([call.body for call in server.calls])
    assert sent[0] == sent[1]


def test_in_the_journal_means_not_asked_again(loopback, tmp_path):
    server = loopback(well)
    requests = [request(f"prompt {n}") for n in range(10)]
    with Journal(tmp_path / "j") as journal:
        first = client_of(server, journal).complete(requests[:6], "x")
    with Journal(tmp_path / "j") as journal:
        second = client_of(server, journal).complete(requests, "x")
    assert Counter(prompts(server)) == Counter(r.prompt for r in requests)
    assert second[:6] == first


def test_no_server_is_started_for_nothing(loopback, tmp_path):
    journal = Journal(None)
    requests = [request("prompt")]
    answers = client_of(loopback(well), journal).complete(requests, "x")
    dead = Served(["no-such-program", "FREE_PORT"], None, tmp_path / "log")
    again = Client(dead, journal, "model", ClientSettings())
    assert again.complete(requests, "x") == answers
    assert again.complete([], "x") == []


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other"},
        {"seed": 1},
        {"stop": ("stop",)},
        {"add_bos": False},
        {"sampling": Sampling(max_tokens=9)},
        {"model_id": "other"},
    ],
)
def test_all_that_determines_the_answer_is_in_the_key(loopback, change):
    server, journal = loopback(well), Journal(None)
    known = {"prompt": "p", "sampling": Sampling(), "seed": 0, "stop": (EOS,), "add_bos": True}
    for fields in (known, known, known | change):
        model_id = fields.get("model_id", "model")
        served = Served(None, server.url, "unused.log")
        only = {key: value for key, value in fields.items() if key != "model_id"}
        Client(served, journal, model_id, ClientSettings()).complete([Request(**only)], "x")
    assert len(server.calls) == 2


def test_an_answer_is_read_again_with_another_eos_where_that_decides_how_it_ended(loopback):
    """With a wrong EOS every answer counts as cut: that must not outlive its correction."""
    server, journal = loopback(well), Journal(None)
    for stop, asked in ((("[INST]",), 2), ((EOS,), 4)):
        for eos in ("<wrong>", EOS):
            [answered] = client_of(server, journal, eos=eos).complete([request("p", 0, stop)], "x")
        assert (answered.finish, len(server.calls)) == ("stop", asked)


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"in_flight": 9}, {"timeout": 9}])
def test_how_the_server_is_asked_is_not_in_the_key(loopback, change):
    server, journal = loopback(well), Journal(None)
    requests = [request("x" * n) for n in range(1, 21)]
    client_of(server, journal, batch_size=8).complete(requests, "x")
    server.calls.clear()
    client_of(server, journal, **change).complete(requests[::-1], "x")
    assert not server.calls


def test_a_run_that_was_cut_short_goes_on_with_the_same_batches(loopback, tmp_path):
    requests = [request("x" * n) for n in range(1, 41)]
    whole = loopback(well)
    client_of(whole, batch_size=8, in_flight=1).complete(requests, "x")

    def dies_after_two(call: Call) -> Answer:
        return well(call) if len(partial.calls) <= 2 else Answer("", 404)

    partial = loopback(dies_after_two)
    with Journal(tmp_path / "j") as journal, pytest.raises(UserError):
        client_of(partial, journal, batch_size=8, in_flight=1).complete(requests, "x")
    rest = loopback(well)
    with Journal(tmp_path / "j") as journal:
        client_of(rest, journal, batch_size=8, in_flight=1).complete(requests, "x")
    bodies = [call.body for call in partial.calls[:2] + rest.calls]
    assert bodies == [call.body for call in whole.calls]


def test_what_is_left_of_known_batches_is_packed_together(loopback):
    server, journal = loopback(well), Journal(None)
    requests = [request("x" * n) for n in range(1, 33)]
    client_of(server, journal, batch_size=8).complete(requests[::2], "x")
    server.calls.clear()
    client_of(server, journal, batch_size=8).complete(requests, "x")
    assert [len(call.body["sentences"]) for call in server.calls] == [8, 8]


@settings(deadline=None)
@given(data=st.data(), size=st.integers(1, 5))
def test_every_missing_question_is_planned_once(data, size):
    keys = st.lists(st.integers(), unique=True, max_size=30)
    questions = [
        Question(
            str(n), "x" * data.draw(st.integers(0, 9)), data.draw(st.sampled_from("ab")), str(-n)
        )
        for n in data.draw(keys)
    ]
    journal = Journal(None)
    known = data.draw(st.sets(st.sampled_from(questions))) if questions else set()
    journal.put_all({question.key: 0 for question in known})
    batches = plan(questions, journal, size)
    assert Counter(q for batch in batches for q in batch) == Counter({*questions} - known)
    assert all(0 < len(batch) <= size for batch in batches)
    assert all(len({q.parameters for q in batch}) == 1 for batch in batches)


@pytest.mark.parametrize(
    ("generated", "stop", "expected"),
    [
        ([" good", EOS], (EOS,), Completion("good", "stop")),
        ([" good", EOS], (), Completion("good", "stop")),
        ([" good", " and"], (EOS,), Completion("good and", "length")),
        ([" good", "\n", "[INST]", EOS, EOS], (EOS, "[INST]"), Completion("good", "stop")),
        ([" good", "[INST]"], (EOS, "[INST]"), Completion("good", "stop")),
        ([" good", "Human:"], ("\nHuman:", "Human:"), Completion("good", "stop")),
        ([EOS], (EOS,), Completion("", "stop")),
        ([" [INST]", " x"], ("[INST]",), Completion("[INST] x", "length")),
    ],
)
def test_how_an_answer_ended(loopback, generated, stop, expected):
    server = loopback(lambda call: answer([row("Hi", *generated)]))
    assert client_of(server).complete([request("Hi", stop=stop)], "x") == [expected]


@pytest.mark.parametrize(
    ("prompt", "sentence", "text"),
    [
        ("e\u0301t\u00e9  two", "\u00e9t\u00e9 two yes", "yes"),  # composed, spaces collapsed
        ("\ufb01ne", "fine yes", "yes"),  # a ligature taken apart
        (" a\n", "a yes", "yes"),
        ("a b", "ab c", "c"),
    ],
)
def test_a_prompt_that_comes_back_normalised_is_cut_all_the_same(loopback, prompt, sentence, text):
    server = loopback(lambda call: answer([(sentence, ["x", EOS])]))
    assert client_of(server).complete([request(prompt)], "x") == [Completion(text, "stop")]


def test_a_sentence_without_the_prompt_fails(loopback):
    server = loopback(lambda call: answer([("\u2047 is unknown yes", ["x", EOS])]))
    failed = Failed("the answer does not begin with the prompt")
    assert client_of(server).complete([request("\u96ea is unknown")], "x") == [failed]


@given(prompt=st.text(), completion=st.text())
@settings(max_examples=300, deadline=None)
def test_cut_finds_the_end_of_the_prompt(prompt, completion):
    assert cut_of(prompt, prompt + completion) == len(prompt)


@settings(deadline=None)
@given(prompt=st.text(st.characters(codec="ascii"), min_size=1), completion=st.text())
def test_cut_in_spite_of_white_space(prompt, completion):
    spread = " ".join(prompt)
    cut = cut_of(prompt, spread + completion)
    assert spread[:cut].split() == " ".join(prompt.strip()).split()


def test_a_refusal_of_the_parameters_is_the_users_mistake(loopback):
    server = loopback(lambda call: Answer('"repetition_penalty must be at least 1.0"'))
    with pytest.raises(UserError, match=r"refuses .*repetition_penalty must"):
        client_of(server).complete([request("a"), request("b")], "x")
    assert len(server.calls) == 2  # the batch, and one trivial prompt


def test_one_poisonous_prompt_does_not_sink_the_others(loopback, tmp_path):
    def poisoned(call: Call) -> Answer:
        return Answer("boom", 500) if "poison" in call.body["sentences"] else well(call)

    server = loopback(poisoned)
    requests = [request(text) for text in ("a", "bb", "poison", "ccc", "dddd", "e" * 20)]
    with Journal(tmp_path / "j") as journal:
        answers = client_of(server, journal).complete(requests, "x")
        assert len(journal) == 5
    assert answers.pop(2) == Failed("the server cannot generate: HTTP 500: boom")
    assert set(answers) == {Completion("ok", "stop")}
    assert prompts(server).count("a") < 9


def test_one_prompt_that_is_refused_fails_alone(loopback):
    def picky(call: Call) -> Answer:
        too_long = any(len(prompt) > 10 for prompt in call.body["sentences"])
        return Answer('"prompt too long"') if too_long else well(call)

    answers = client_of(loopback(picky)).complete([request("short"), request("x" * 11)], "x")
    assert answers[0] == Completion("ok", "stop")
    assert answers[1] == Failed("refused by the service (bad_request)")


@pytest.mark.parametrize(
    "bad",
    [
        Answer("busy", 503),
        Answer("gateway", 502),
        Answer("boom", 500),
        Answer("<html>not JSON</html>"),
        Answer("[1, 2]"),
        Answer("null"),
        Answer({"sentences": ["Hi ok"]}),
        Answer({"sentences": [], "tokens": []}),
        Answer({"sentences": ["Hi ok", "Hi ok"], "tokens": [["a"], ["b"]]}),
    ],
)
def test_what_may_pass_is_tried_again(loopback, bad):
    server = loopback(lambda call: bad if len(server.calls) < 3 else well(call))
    assert client_of(server).complete([request("Hi")], "x") == [Completion("ok", "stop")]
    assert len(server.calls) == 3


def test_a_server_that_answers_nothing_right_is_not_the_prompts_fault(loopback):
    """A CUDA error breaks a server for good: every prompt would count as failed."""
    server = loopback(lambda call: Answer("CUDA error", 500))
    with pytest.raises(ServerFailed, match="HTTP 500: CUDA error"):
        client_of(server).complete([request("a"), request("b")], "x")


def test_a_server_that_hangs(loopback):
    release = threading.Event()

    def hangs(call: Call) -> Answer:
        if "hang" in call.body["sentences"]:
            release.wait(20)
        return well(call)

    server, journal = loopback(hangs), Journal(None)
    client = client_of(server, journal, batch_size=1, timeout=0.2)
    with pytest.raises(ServerFailed, match=r"0\.4 s .*client\.timeout"):
        client.complete([request("a longer one"), request("hang")], "x")
    release.set()
    assert len(journal) == 1


NEMO_THAT_DIES = """
import http.server, json, os, sys
served = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404); self.end_headers()
    def do_PUT(self):
        global served
        if served == 2:
            print("CUDA out of memory", flush=True); os._exit(7)
        served += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sentences = [prompt + " ok" for prompt in body["sentences"]]
        tokens = [["x", "</s>"] for _ in sentences]
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"sentences": sentences, "tokens": tokens}).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_dies_in_the_middle(tmp_path, loopback):
    log = tmp_path / "server.log"
    command = [sys.executable, "-c", NEMO_THAT_DIES, "FREE_PORT"]
    requests = [request("x" * n) for n in range(1, 11)]
    options = ClientSettings(batch_size=2, in_flight=1)
    with Journal(tmp_path / "j") as journal, Served(command, None, log) as served:
        with pytest.raises(ServerFailed, match=r"(?s)code 7.*CUDA out of memory"):
            Client(served, journal, "model", options).complete(requests, "x")
        assert len(journal) == 4
    rest = loopback(well)
    with Journal(tmp_path / "j") as journal:
        answers = client_of(rest, journal).complete(requests, "x")
    assert answers == [Completion("ok", "stop")] * 10
    assert len(prompts(rest)) == 6


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_client_that_is_killed_asks_only_for_the_rest(tmp_path, loopback):
    held = threading.Event()

    def slow_at_the_end(call: Call) -> Answer:
        if len(server.calls) > 5:
            held.wait(30)
        return well(call)

    server = loopback(slow_at_the_end)
    code = f"""
import sys
sys.path[:0] = {sys.path}
from test_client import *
with Journal(sys.argv[1]) as journal, Served(None, sys.argv[2], "unused.log") as served:
    client = Client(served, journal, "model", ClientSettings(batch_size=4))
    client.complete([request("x" * n) for n in range(1, 41)], "x")
"""
    path = tmp_path / "j"
    here = os.path.dirname(__file__)
    user = subprocess.Popen([sys.executable, "-c", code, path, server.url], cwd=here)
    deadline = time.monotonic() + 30
    while lines(path) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    user.send_signal(signal.SIGKILL)
    user.wait()
    held.set()
    with Journal(path) as journal:
        known = len(journal)
        assert known == 20
        rest = loopback(well)
        client_of(rest, journal, batch_size=4).complete(
            [request("x" * n) for n in range(1, 41)], "x"
        )
    asked = Counter(prompts(rest))
    assert sum(asked.values()) == 40 - known
    assert set(asked) | set(prompts(server)[:known]) == {"x" * n for n in range(1, 41)}


# ---------------------------------------------------------------- the probability of (A)


def choice(*generated: tuple[str, float]) -> Answer:
    """The server's answer to one prompt, with a log-probability for each token but the first."""
    prompt = "(A) x (B) y Answer: "
    tokens = ["<s>", "(A)", "x", "(B)", "y", "Answer:", *(token for token, _ in generated)]
    logprob = [-9.0] * 5 + [logprob for _, logprob in generated]
    text = "".join(token.replace("\u2581", " ") for token, _ in generated if token != EOS)
    return Answer({"sentences": [prompt + text], "tokens": [tokens], "logprob": [logprob]})


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([("(A)", -0.5)], 0.6065306597),
        ([("(B)", -0.5)], 0.3934693403),
        ([("(A)", -0.5), (EOS, -3.0), (EOS, -4.0)], 0.6065306597),
        ([("\u2581(", -0.1), ("A", -0.5), (")", -0.2), (EOS, -3.0)], 0.6065306597),
        ([("\u2581(", -0.1), ("B", 0.0), (")", -0.2)], 0.0),
        ([("\u2581(A)", 0.0)], 1.0),
    ],
)
def test_probability_of_a(loopback, generated, expected):
    server = loopback(lambda call: choice(*generated))
    [probability] = client_of(server).probability_of_a(["(A) x (B) y Answer: "], "x", add_bos=True)
    assert probability == pytest.approx(expected)
    [call] = server.calls
    assert call.body["greedy"] and call.body["compute_logprob"] and call.body["add_BOS"]
    assert call.body["end_strings"] == ["(A)", "(B)", "<|endoftext|>"]


@pytest.mark.parametrize(
    "generated",
    [[("maybe", -0.1)], [(EOS, -0.1)], [("x", -1.0), ("(A)", -0.1)], [("(A)", -1.0), ("x", -0.1)]],
)
def test_neither_a_nor_b(loopback, generated):
    """The letters of the question itself are never taken for the answer."""
    server = loopback(lambda call: choice(*generated))
    [failed] = client_of(server).probability_of_a(["(A) x (B) y Answer: "], "x", add_bos=True)
    assert failed == Failed("neither (A) nor (B)")


def test_an_answer_without_its_log_probabilities_is_not_taken(loopback):
    server = loopback(lambda call: answer([("Answer: (A)", ["Answer:", "(A)"])]))
    with pytest.raises(ServerFailed, match="unexpected answer"):
        client_of(server).probability_of_a(["Answer: "], "x", add_bos=True)


def test_a_letter_within_a_longer_token_has_no_probability(loopback):
    rows = {"sentences": ["Q (A)"], "tokens": [["Q", "(A)."]], "logprob": [[-0.5]]}
    server = loopback(lambda call: Answer(rows))
    [failed] = client_of(server).probability_of_a(["Q "], "x", add_bos=True)
    assert failed == Failed("the letter of the answer is not a token")


def test_probability_of_a_is_kept_even_when_it_is_zero(loopback):
    server, journal = loopback(lambda call: choice(("(B)", 0.0))), Journal(None)
    for _ in range(2):
        client = client_of(server, journal)
        prompt = "(A) x (B) y Answer: "
        assert client.probability_of_a([prompt], "x", add_bos=True) == [0.0]
    assert len(server.calls) == 1
