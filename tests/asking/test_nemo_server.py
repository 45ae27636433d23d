"""The client against NeMo's own server, with the demo's instruct model on the CPU."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests as http

from cai.asking.client import Client, ClientSettings, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.serving import Served
from cai.core.errors import UserError
from cai.files.records import read_jsonl
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer

ROOT = Path(__file__).parents[2]
GREEDY = Sampling(max_tokens=44, greedy=True)
JUDGE = "Request: {} (A) Of course. (B) I cannot help with that. Question: {} [/INST] Answer: "


@pytest.fixture(scope="module")
def questions() -> list[str]:
    rows = read_jsonl(ROOT / "demo/data/red_team.jsonl")
    texts = [
        row["transcript"].split("\n\nAssistant:")[0].removeprefix("\n\nHuman: ") for row in rows
    ]
    return sorted(set(texts), key=lambda text: (len(text), text))[::3][:200]


def client_of(server: Served, journal: Journal | None = None, **settings) -> Client:
    kept = Journal(None) if journal is None else journal
    return Client(server, kept, "demo", ClientSettings(**settings))


def requests_of(
    template: Template, questions: list[str], sampling: Sampling, seed: int = 0
) -> list[Request]:
    return [
        Request(template.prompt(single_turn(q)), sampling, seed, tuple(template.stop), True)
        for q in questions
    ]


def test_answers_of_the_demos_model(nemo_server, template, questions):
    requests = requests_of(template, questions, GREEDY)
    answers = client_of(nemo_server).complete(requests, "answers")
    assert len(answers) == len(questions) > 128
    assert sum(answer.finish == "stop" for answer in answers) > 0.95 * len(answers)
    for answer in answers:
        assert answer.text and answer.text == answer.text.strip()
        assert not any(mark in answer.text for mark in ("[INST]", "[/INST]", "</s>", "\u2047"))


def test_a_batch_answers_as_each_prompt_alone_would(nemo_server, template, questions):
    """Prompts of many lengths are padded in a batch; greedily decoded it must make no difference.

    Nearly: in bfloat16 the order of sums decides ties, so a few may part.
    """
    requests = requests_of(template, questions[::10], GREEDY)
    together = client_of(nemo_server).complete(requests, "together")
    alone = client_of(nemo_server, batch_size=1).complete(requests, "alone")
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= 0.9 * len(requests)


def test_sampling_is_reproducible(nemo_server, template, questions):
    def sample(seed: int) -> list[Completion | Failed]:
        sampling = Sampling(max_tokens=44, temperature=1.0)
        requests = requests_of(template, questions[:20], sampling, seed)
        return client_of(nemo_server, batch_size=8).complete(requests, "sampled")

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_an_answer_that_is_cut_short(nemo_server, template, questions):
    requests = requests_of(template, questions[:1], Sampling(max_tokens=2, greedy=True))
    [answer] = client_of(nemo_server).complete(requests, "short")
    assert answer.finish == "length"


def test_a_stop_text_ends_an_answer_and_is_taken_off(nemo_server, template, questions):
    [whole] = client_of(nemo_server).complete(requests_of(template, questions[:1], GREEDY), "whole")
    word = whole.text.split()[3]
    stopping = template.model_copy(update={"stop": [word]})
    [cut] = client_of(nemo_server).complete(requests_of(stopping, questions[:1], GREEDY), "cut")
    assert cut == Completion(whole.text.split(word)[0].strip(), "stop")


def test_a_prompt_that_the_server_cannot_take_fails_alone(nemo_server, template, questions):
    empty = Request("", GREEDY, 0, ("</s>",), add_bos=False)
    good = Request(template.prompt(single_turn(questions[0])), GREEDY, 0, ("</s>",), False)
    failed, answer = client_of(nemo_server, retries=1).complete([empty, good], "poison")
    assert failed == Failed(
        'the server cannot generate: HTTP 500: {"message": "Internal Server Error"}'
    )
    assert isinstance(answer, Completion)


def test_a_bad_parameter_is_told_in_nemos_words(nemo_server, template, questions):
    requests = requests_of(template, questions[:3], Sampling(repetition_penalty=0.5))
    with pytest.raises(UserError, match=r"refuses .*repetition_penalty must be"):
        client_of(nemo_server).complete(requests, "bad")


@pytest.mark.parametrize(
    "text", ["caf\u00e9 cafe\u0301", "\u96ea \U0001f600", "a  b\n\n c\t", "\ufb01"]
)
def test_texts_beyond_the_models_vocabulary(nemo_server, template, text):
    """Cut where the prompt ends, or failed with the reason: never cut in the wrong place."""
    [answer] = client_of(nemo_server).complete(requests_of(template, [text], GREEDY), "odd")
    if isinstance(answer, Failed):
        assert answer.reason == "the answer does not begin with the prompt"
    else:
        assert "/INST]" not in answer.text


def test_probability_of_a_is_that_of_the_forced_answer(nemo_server, questions):
    """Read from the greedy answer, it must agree with scoring a given answer by itself."""
    prompts = [f"[INST] {JUDGE.format(text, 'Which is better?')}" for text in questions[::25]]
    probabilities = client_of(nemo_server).probability_of_a(prompts, "judge", add_bos=True)
    for prompt, probability in zip(prompts, probabilities, strict=True):
        if isinstance(probability, float):
            chosen = "(A)" if probability > 0.5 else "(B)"
            expected = forced_probability(nemo_server.url, prompt + chosen)
            assert max(probability, 1 - probability) == pytest.approx(expected, abs=0.03)
    assert sum(isinstance(probability, float) for probability in probabilities) > 0


def forced_probability(url: str, text: str) -> float:
    body = {
        "sentences": [text],
        "tokens_to_generate": 1,
        "greedy": True,
        "add_BOS": True,
        "compute_logprob": True,
    }
    answer = http.put(f"{url}/generate", json=body, timeout=60).json()
    [tokens], [logprob] = answer["tokens"], answer["logprob"]
    place = max(i for i, token in enumerate(tokens) if token in ("(A)", "(B)"))
    return math.exp(logprob[place - 1])


def test_log_probabilities_of_texts_agree_with_the_choice_between_them(
    nemo_server, tiny_model, questions
):
    """Two texts that differ in (A) and (B) alone differ as their probabilities do."""
    tokenizer = Tokenizer(tiny_model)
    prompts = [f"[INST] {JUDGE.format(text, 'Which is better?')}" for text in questions[::25]]
    texts = [prompt + choice for prompt in prompts for choice in ("(A)", "(B)")]
    counts = [tokenizer.count(text, add_bos=True) for text in texts]
    client = client_of(nemo_server)
    scores = client.log_probabilities(texts, counts, "texts", add_bos=True)
    chances = client.probability_of_a(prompts, "judge", add_bos=True)
    assert any(isinstance(chance, float) for chance in chances)
    for chance, of_a, of_b in zip(chances, scores[::2], scores[1::2], strict=True):
        if isinstance(chance, float):
            assert 1 / (1 + math.exp(of_b - of_a)) == pytest.approx(chance, abs=0.03)
    alone = client_of(nemo_server).log_probabilities(texts[:1], counts[:1], "one", add_bos=True)
    assert alone == pytest.approx(scores[:1], abs=0.3)


KILLED = """
import sys
sys.path[:0] = {path}
from test_nemo_server import *
template = Template.model_validate_json(sys.argv[3])
with Journal(sys.argv[1]) as journal, Served(None, sys.argv[2], "unused.log") as served:
    requests = requests_of(template, eval(sys.argv[4]), Sampling(max_tokens=44), 5)
    client_of(served, journal, batch_size=8).complete(requests, "killed")
"""


def test_a_run_that_was_killed_ends_like_one_that_was_not(
    nemo_server, template, questions, tmp_path
):
    path = tmp_path / "journal.jsonl"
    code = KILLED.format(path=[*sys.path, os.path.dirname(__file__)])
    arguments = [path, nemo_server.url, template.model_dump_json(), repr(questions[:64])]
    user = subprocess.Popen([sys.executable, "-c", code, *arguments])
    deadline = time.monotonic() + 60
    while path.stat().st_size == 0 if path.exists() else time.monotonic() < deadline:
        time.sleep(0.01)
    user.send_signal(signal.SIGKILL)
    user.wait()
    requests = requests_of(template, questions[:64], Sampling(max_tokens=44), 5)
    with Journal(path) as journal:
        assert 0 < len(journal) < 64
        resumed = client_of(nemo_server, journal, batch_size=8).complete(requests, "resumed")
    assert resumed == client_of(nemo_server, batch_size=8).complete(requests, "uninterrupted")
