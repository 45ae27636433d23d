"""The steps against real vLLM on the CPU, and what NeMo's own server says of the same model.

Both have the demo's instruct model in bfloat16, exported for vLLM as the workflow exports it.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests as http
from tests.conftest import ROOT

from cai.asking.chat.chat_client import ChatClient
from cai.asking.chat_model import ChatModel
from cai.asking.client import Client, Completion, Request
from cai.asking.journal.entries import Journal
from cai.asking.run import client_of, served_by
from cai.asking.serving import Served, ServerFailed
from cai.data.dialogues import first_prompt
from cai.files.records import Ledger, Prompt, read_jsonl, record_id
from cai.judging.pairwise import judge_pairs
from cai.judging.served_judge import ServedAsker
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.settings.chat_service import ChatSettings
from cai.settings.configuration import Settings, load_settings
from cai.settings.constitution import for_stage, load_constitution
from cai.settings.model_servers import ClientSettings, Serving
from cai.steps.answers import respond
from cai.steps.candidates import Candidates, sample_candidates
from cai.steps.critique import Revising, revise

SERVING = Serving(kind="openai", prompt_logprobs=True)
SEED = 1
APART = 0.02  # what two orders of sums in bfloat16 differ by


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(["config/config.yaml", "config/demo.yaml"])


@pytest.fixture(scope="module")
def exported(tiny_model: Path, template: Template, nemo_python: str, tmp_path_factory) -> Path:
    """The demo's instruct model with its chat template."""
    folder = tmp_path_factory.mktemp("exported") / "instruct"
    program = ROOT / "scripts/convert_nemo_to_hf.py"
    options = ["--chat", template.model_dump_json()]
    subprocess.run([nemo_python, program, tiny_model, folder, *options], check=True)
    return folder


@pytest.fixture(scope="module")
def vllm(exported: Path, vllm_cpu: str) -> Iterator[Served]:
    command = [vllm_cpu, str(exported), "FREE_PORT", "--max-model-len", "512"]
    with served_by(SERVING, command, None, exported.with_suffix(".log")) as served:
        assert served.url  # so that a server that does not start fails the tests once
        yield served


@pytest.fixture(scope="module")
def client(vllm: Served, exported: Path) -> Client:
    tokenizer = Tokenizer(exported)
    return client_of(SERVING, vllm, Journal(None), "demo", ClientSettings(), tokenizer)


@pytest.fixture(scope="module")
def model(client: Client, template: Template) -> ChatModel:
    return ChatModel(client, template)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    rows = read_jsonl(ROOT / "demo/data/red_team.jsonl")
    texts = sorted({first_prompt(row) for row in rows})
    return [{"id": record_id(text), "prompt": text} for text in texts[::12][:40]]


@pytest.fixture(scope="module")
def candidates(model: ChatModel, prompts: list[Prompt]) -> list[Candidates]:
    ledger = Ledger("candidates")
    sampling = Sampling(max_tokens=44)
    return list(sample_candidates(model, prompts, [1.0] * 4, sampling, SEED, ledger))


def judged(
    model: ChatModel,
    candidates: list[Candidates],
    settings: Settings,
    ledger: Ledger,
    most: int | None = None,
) -> dict[tuple[str, str, str], float]:
    """What the judge says of each pair by each principle (of the first few), over both orders."""
    principles = for_stage(load_constitution(settings.constitution), "preference")[:most]
    texts = {each["id"]: each["preference"] for each in principles}
    judge = settings.judge.model_copy(update={"tie": 0.01})
    asker = ServedAsker(judge, model, SEED)
    orders = (False, True)
    rows = judge_pairs("logprob", judge, orders, candidates, texts, SEED, asker, ledger)
    return {
        (row["a"], row["b"], name): p_a
        for row in rows
        for name, p_a in row["judge"]["by_principle"].items()
    }


def test_responses_critiques_and_revisions_are_sampled_by_seeds_of_their_own(
    model, prompts, settings
):
    sampled = Sampling(max_tokens=44, temperature=1.0)
    answered = list(respond(model, prompts, sampled, SEED, Ledger("respond")))
    assert len(answered) == len(prompts)
    principles = for_stage(load_constitution(settings.constitution), "supervised")
    texts = {each["id"]: each for each in principles}
    how = Revising(texts, [], 2, sampled, sampled, SEED)
    revised = list(revise(model, answered, how, Ledger("revise")))
    assert len(revised) >= 0.9 * len(prompts)
    assert all(len(row["rounds"]) == 2 and row["revision"] for row in revised)


def test_candidates_of_one_prompt_differ(candidates, prompts):
    assert len(candidates) >= len(prompts) // 2


def test_the_judge_says_what_it_says_through_nemos_server(
    model, nemo_server, template, candidates, settings
):
    nemo = ChatModel(Client(nemo_server, Journal(None), "demo", ClientSettings()), template)
    ledger = Ledger("judge")
    here, there = (judged(each, candidates, settings, ledger) for each in (model, nemo))
    assert not ledger.dropped
    assert here.keys() == there.keys()
    assert all(abs(here[key] - there[key]) <= APART for key in here)
    ties = [{key for key, p_a in found.items() if p_a == 0.5} for found in (here, there)]
    assert len(ties[0] ^ ties[1]) <= 0.1 * len(here) < len(ties[0] & ties[1]) < len(here)


def test_texts_are_scored_as_by_nemos_server(client, exported, nemo_server, template, prompts):
    tokenizer = Tokenizer(exported)
    texts = [template.prompt(single_turn(row["prompt"])) for row in prompts]
    counts = [tokenizer.count(text, add_bos=True) for text in texts]
    nemo = Client(nemo_server, Journal(None), "demo", ClientSettings())
    here, there = (
        each.log_probabilities(texts, counts, "texts", add_bos=True) for each in (client, nemo)
    )
    assert here == pytest.approx(there, rel=APART)


def test_its_chat_completions_have_our_tokens(vllm, client, template, prompts, exported):
    messages = single_turn(prompts[0]["prompt"])
    body = {"messages": messages, "model": str(exported), "max_tokens": 44, "temperature": 0}
    body |= {"return_token_ids": True}
    told = http.post(f"{vllm.url}/v1/chat/completions", json=body, timeout=60).json()
    text = template.prompt(messages)
    assert told["prompt_token_ids"] == Tokenizer(exported).encode(text, add_bos=template.add_bos)
    asked = Request(text, Sampling(max_tokens=44, greedy=True), 0, tuple(template.stop), True)
    said = told["choices"][0]["message"]["content"].strip()
    assert client.complete([asked], "greedy") == [Completion(said, "stop")]


def test_it_judges_as_a_chat_service(vllm, exported, prompts):
    service = ChatClient(
        f"{vllm.url}/v1", str(exported), None, Journal(None), ChatSettings(max_tokens=44)
    )
    answers = service.answers([single_turn(row["prompt"]) for row in prompts[:8]], "chat")
    assert all(isinstance(answer, str) and answer for answer in answers)


def test_a_server_that_is_killed_is_told(vllm, exported, template, prompts):
    """It is the last test that needs it."""
    requests = [
        Request(template.prompt(single_turn(row["prompt"])), Sampling(max_tokens=400), n, (), True)
        for row in prompts
        for n in range(8)
    ]
    client = client_of(SERVING, vllm, Journal(None), "x", ClientSettings(), Tokenizer(exported))
    threading.Timer(0.3, os.killpg, (vllm._program.pid, signal.SIGKILL)).start()
    with pytest.raises(ServerFailed, match=r"ended .*instruct\.log"):
        client.complete(requests, "killed")
