"""The OpenAI-compatible endpoint, in front of a server that speaks NeMo's protocol."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from tests.asking.test_conversation import TEMPLATE
from tests.loopback import Answer, Call
from tests.messages import says

from cai.asking.chat_model import ChatModel
from cai.asking.client import Client, ClientSettings
from cai.asking.endpoint.dispatch import Dispatcher, answers
from cai.asking.endpoint.endpoint_server import Endpoint
from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import NemoProtocol
from cai.asking.serving import Served
from cai.models.sampling import Sampling
from cai.models.tokens import Tokenizer

ROOT = Path(__file__).parents[2]
SAID = {"role": "assistant", "content": "x"}
HELLO = [{"role": "user", "content": "Hi"}]


def echoes(call: Call) -> Answer:
    """Answers each prompt with its length, or refuses the whole request."""
    if call.body["temperature"] == 13:
        return Answer(json.dumps("temperature must not be 13"))
    sentences = [f"{prompt}{len(prompt)} long" for prompt in call.body["sentences"]]
    return Answer({"sentences": sentences, "tokens": [["x", "</s>"]] * len(sentences)})


def scores(call: Call, tokenizer: Tokenizer) -> Answer:
    """Each token's log-probability is minus its place; one more token is generated."""
    texts, bos = call.body["sentences"], call.body["add_BOS"]
    counts = [tokenizer.count(text, add_bos=bos) + 1 for text in texts]
    values = [[-float(place) for place in range(1, count)] for count in counts]
    tokens = [["x"] * count for count in counts]
    return Answer({"sentences": texts, "tokens": tokens, "logprob": values})


@pytest.fixture
def served(loopback, tiny_tokenizer):
    """An endpoint of this address, and the server behind it."""
    server = loopback(
        lambda call: (
            scores(call, tiny_tokenizer) if call.body.get("compute_logprob") else echoes(call)
        )
    )
    behind, settings = Served(None, server.url, "unused.log"), ClientSettings(retries=1)
    protocol = NemoProtocol(behind, settings)

    def client() -> Client:
        return Client(behind, Journal(None), "tiny", settings, protocol)

    model = ChatModel(client(), TEMPLATE, tiny_tokenizer, context=200)
    dispatcher = Dispatcher(lambda asked: answers(client(), asked), threads=1, most=8)
    with Endpoint("tiny", model, dispatcher, Sampling(max_tokens=9, temperature=0.7)) as endpoint:
        threading.Thread(target=endpoint.serve_forever, args=[0.01], daemon=True).start()
        yield endpoint, server
        endpoint.shutdown()


@pytest.fixture(scope="module")
def tiny_tokenizer(tmp_path_factory):
    from tests.data.samples import train_tokenizer

    return Tokenizer(train_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def post(endpoint: Endpoint, path: str = "chat/completions", **body) -> requests.Response:
    return requests.post(f"{endpoint.url}/{path}", json=body, timeout=20)


def test_a_conversation_is_rendered_in_the_models_template(served):
    endpoint, server = served
    told = [{"role": "system", "content": "Be kind."}, *HELLO]
    answer = post(endpoint, messages=told, model="tiny", seed=5, stop=["."]).json()
    [call] = server.calls
    assert call.body["sentences"] == ["S:Be kind.\nU:Hi\nA:"]
    assert call.body["tokens_to_generate"] == 9 and call.body["temperature"] == 0.7
    assert set(call.body["end_strings"]) >= {"\nU:", "."}
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "18 long"}
    assert choice["finish_reason"] == "stop" and answer["object"] == "chat.completion"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 2


def test_the_parameters_of_a_request_hold(served):
    endpoint, server = served
    post(endpoint, messages=HELLO, max_tokens=3, top_p=0.5, temperature=1.5)
    post(endpoint, messages=HELLO, max_completion_tokens=4, temperature=0)
    first, second = (call.body for call in server.calls)
    assert (first["tokens_to_generate"], first["top_p"], first["temperature"]) == (3, 0.5, 1.5)
    assert second["tokens_to_generate"] == 4 and second["greedy"] and not first["greedy"]


def test_a_seed_makes_an_answer_repeatable_and_without_one_each_is_drawn(served):
    endpoint, server = served
    for seed in (1, 1, None, None):
        assert post(endpoint, messages=HELLO, seed=seed).ok
    seeds = [call.body["random_seed"] for call in server.calls]
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3


def test_texts_are_continued_as_they_are(served):
    endpoint, server = served
    answer = post(endpoint, "completions", prompt=["One", "Three"], n=2).json()
    assert [choice["text"] for choice in answer["choices"]] == ["3 long"] * 2 + ["5 long"] * 2
    assert sum(len(call.body["sentences"]) for call in server.calls) == 4
    assert answer["object"] == "text_completion"


def test_callers_count_with_the_models_tokenizer(served, tiny_tokenizer):
    endpoint, server = served
    root = endpoint.url.removesuffix("/v1")
    info = requests.get(f"{root}/tokenizer_info", timeout=20).json()
    assert info == {"bos_token": "<s>", "eos_token": "</s>"}
    told = {"prompt": "How are you?", "add_special_tokens": False}
    tokens = requests.post(f"{root}/tokenize", json=told, timeout=20).json()
    assert tokens["tokens"] == tiny_tokenizer.encode("How are you?")
    assert (tokens["count"], tokens["max_model_len"]) == (len(tokens["tokens"]), 200)
    text = requests.post(f"{root}/detokenize", json={"tokens": tokens["tokens"]}, timeout=20)
    assert text.json() == {"prompt": "How are you?"}
    mark = requests.post(f"{root}/tokenize", json={**told, "prompt": "</s>"}, timeout=20).json()
    assert mark["tokens"] == [tiny_tokenizer.eos_id] and not server.calls


def test_a_prompts_tokens_are_scored(served, tiny_tokenizer):
    """As text or as tokens, with BOS where it is sent; nothing is generated."""
    endpoint, server = served
    tokens = tiny_tokenizer.encode("How are you?")
    asked = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0, "seed": 1234}
    [text] = post(endpoint, "completions", prompt="How are you?", **asked).json()["choices"]
    both = post(endpoint, "completions", prompt=[tokens, [1, *tokens]], **asked).json()["choices"]
    assert [choice["text"] for choice in (text, *both)] == ["How are you?"] * 3
    places = [-float(place) for place in range(1, len(tokens))]
    assert text["logprobs"]["token_logprobs"] == [None, *places, None]
    assert both[0]["logprobs"] == text["logprobs"]
    assert both[1]["logprobs"]["token_logprobs"] == [None, *places, -float(len(tokens)), None]
    assert text["logprobs"]["top_logprobs"][1] == {text["logprobs"]["tokens"][1]: -1.0}
    first, *side_by_side = (call.body["add_BOS"] for call in server.calls)
    assert not first and sorted(side_by_side) == [False, True]


def test_bos_that_the_template_puts_before_a_prompt_is_not_among_its_tokens(served):
    endpoint, server = served
    endpoint._model.template = TEMPLATE.model_copy(update={"add_bos": True})
    asked = {"echo": True, "logprobs": 1, "max_tokens": 0}
    [choice] = post(endpoint, "completions", prompt="Hi", **asked).json()["choices"]
    found = choice["logprobs"]["token_logprobs"]
    assert found == [-float(place) for place in range(1, len(found) + 1)]
    assert len(found) == len(choice["logprobs"]["tokens"]) and server.calls[0].body["add_BOS"]


def test_a_stream_is_the_whole_answer_in_one_piece(served):
    endpoint, _ = served
    lines = post(endpoint, messages=HELLO, stream=True).text.split("\n\n")
    assert lines[1:] == ["data: [DONE]", ""]
    chunk = json.loads(lines[0].removeprefix("data: "))
    assert chunk["choices"][0]["delta"]["content"] == "10 long"
    assert chunk["object"] == "chat.completion.chunk"


def test_what_waits_while_the_server_is_busy_goes_in_one_batch(served):
    endpoint, server = served
    with ThreadPoolExecutor(12) as pool:
        said = [[{"role": "user", "content": "x" * n}] for n in range(1, 13)]
        texts = list(pool.map(lambda m: post(endpoint, messages=m).json()["choices"], said))
    assert [t[0]["message"]["content"] for t in texts] == [f"{n + 8} long" for n in range(1, 13)]
    assert len(server.calls) < 12


def test_a_request_that_the_server_refuses_fails_no_other(served):
    endpoint, _ = served
    with ThreadPoolExecutor(6) as pool:
        heat = [13, 1, 13, 1, 1, 1]
        codes = list(
            pool.map(lambda t: post(endpoint, messages=HELLO, temperature=t).status_code, heat)
        )
    assert codes == [400 if t == 13 else 200 for t in heat]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("chat/completions", {}, 400, "messages"),
        ("chat/completions", {"messages": []}, 400, "no turns"),
        ("chat/completions", {"messages": [{"role": "bot", "content": "x"}]}, 400, "'bot'"),
        ("chat/completions", {"messages": HELLO * 2}, 400, "alternate"),
        ("chat/completions", {"messages": [*HELLO, SAID]}, 400, "the last turn"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a\nU:b"}]}, 400, "mark"),
        ("chat/completions", {"messages": HELLO, "temperature": -1}, 400, "temperature"),
        ("chat/completions", {"messages": HELLO, "min_tokens": 10}, 400, "min_tokens"),
        ("chat/completions", {"messages": HELLO, "max_tokens": 500}, 400, "context of 200"),
        ("chat/completions", {"messages": HELLO, "tools": [{"x": 1}]}, 400, "tools: is not served"),
        ("chat/completions", {"messages": HELLO, "logprobs": True}, 400, "logprobs"),
        ("chat/completions", {"messages": HELLO, "model": "other"}, 400, "'tiny'"),
        ("completions", {"prompt": []}, 400, "prompt"),
        ("completions", {"prompt": [4, 999999]}, 400, "tokens: found [999999]"),
        ("completions", {"prompt": [1, 1]}, 400, "not those of their text"),
        ("completions", {"prompt": "x", "logprobs": 1}, 400, "echo, logprobs"),
        ("completions", {"prompt": "x", "echo": True, "logprobs": 1}, 400, "max_tokens 0 or 1"),
        ("completions", {"prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
        ("embeddings", {"input": "x"}, 404, "/v1/chat/completions"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_openais_form(served, path, body, status, words):
    endpoint, server = served
    answer = post(endpoint, path, **body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"] and not server.calls


def test_what_asks_for_nothing_is_taken(served):
    endpoint, _ = served
    assert post(endpoint, messages=HELLO, frequency_penalty=0, tools=[], user="me", n=None).ok


def test_pages_in_a_browser_cannot_ask(served):
    endpoint, server = served
    place = f"{endpoint.url}/chat/completions"
    plain = requests.post(place, data=json.dumps({"messages": HELLO}), timeout=20)
    rebound = requests.post(
        place, json={"messages": HELLO}, headers={"Host": "evil.example:80"}, timeout=20
    )
    assert (plain.status_code, rebound.status_code) == (415, 403) and not server.calls
    assert endpoint.server_address[0] == "127.0.0.1"


def test_the_model_is_named(served):
    endpoint, _ = served
    listed = requests.get(f"{endpoint.url}/models", timeout=20).json()
    assert [model["id"] for model in listed["data"]] == ["tiny"]


SERVE = [sys.executable, "scripts/serve.py"]
DEMO = ["--configfile", "config/demo.yaml"]


def test_the_program_serves_a_model_until_it_is_interrupted(tiny_model):
    command = [*SERVE, str(tiny_model), *DEMO]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    try:
        first, curl = (program.stdout.readline() for _ in range(2))
        [url] = re.findall(r"http://127\.0\.0\.1:\d+/v1", first)
        shown = subprocess.run(curl, shell=True, capture_output=True, text=True)
        assert json.loads(shown.stdout)["choices"][0]["message"]["content"]
        question = [{"role": "user", "content": "How can I look into my neighbour's letter?"}]
        body = {"messages": question, "temperature": 0}
        said = [requests.post(f"{url}/chat/completions", json=body, timeout=60) for _ in range(2)]
        texts = [answer.json()["choices"][0]["message"]["content"] for answer in said]
        assert texts[0] == texts[1] and len(texts[0].split()) > 5
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=30)
        assert program.returncode == 0 and "stopped" in rest
    finally:
        program.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rl_cai", "--profile", "NONE"], "error: … NONE"),
        (["nothing", *DEMO], "error: nothing: no such file … rl_cai"),
        (["x.nemo", *DEMO], "error: x.nemo: no such file"),
        (["MODEL", "--port", "70000", *DEMO], "error: option --port: 70000"),
    ],
)
def test_mistakes_of_the_user_are_one_line(tiny_model, arguments, message):
    words = [str(tiny_model) if word == "MODEL" else word for word in arguments]
    done = subprocess.run([*SERVE, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert says(done.stderr.replace(os.linesep, "\n").splitlines()[-1], message)
