"""The client against `transformers serve`, with the demo's instruct model exported from a .nemo.

That server takes prompts as text only and gives no log-probabilities; with continuous batching all
requests have the sampling of the first, so all are greedy here.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project import program

from cai.asking.client import Client, Completion, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.run import client_of, served_by
from cai.asking.serving import Served, ServerFailed
from cai.core.errors import UserError
from cai.files.records import read_jsonl, record_id, write_jsonl
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.nemo import programs
from cai.running.launcher import Launcher
from cai.settings.configuration import load_settings
from cai.settings.model_servers import ClientSettings, Serving

ROOT = Path(__file__).parents[2]
GREEDY = Sampling(max_tokens=44, greedy=True)
SERVING = Serving(kind="openai", in_flight=32, prompts="text", extensions=False)


@pytest.fixture(scope="module")
def model(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's instruct model in 32 bits, so that two servers compute nearly the same."""
    path = tmp_path_factory.mktemp("served") / "instruct.nemo"
    program = ROOT / "scripts/convert_hf_to_nemo.py"
    source = ROOT / "demo/models/instruct"
    subprocess.run([nemo_python, program, source, path, "--dtype", "fp32"], check=True)
    return path


@pytest.fixture(scope="module")
def exported(model: Path, nemo_python: str) -> Path:
    """The model as the workflow exports it."""
    folder, mark = model.with_suffix(""), model.with_suffix(".json")
    program = ROOT / "scripts/convert_nemo_to_hf.py"
    subprocess.run([nemo_python, program, model, folder, "--mark", mark], check=True)
    return folder


@pytest.fixture(scope="module")
def hf_server(exported: Path, serve_cpu: str) -> Iterator[Served]:
    log = exported.with_suffix(".serve.log")
    with served_by(SERVING, [serve_cpu, str(exported), "FREE_PORT"], None, log) as served:
        yield served


@pytest.fixture(scope="module")
def questions() -> list[str]:
    rows = read_jsonl(ROOT / "demo/data/red_team.jsonl")
    texts = {r["transcript"].split("\n\nAssistant:")[0].removeprefix("\n\nHuman: ") for r in rows}
    return sorted(texts)[::12][:60]


def asked_of(served: Served, model: Path, journal: Journal | None = None) -> Client:
    kept = Journal(None) if journal is None else journal
    return client_of(SERVING, served, kept, "demo", ClientSettings(), Tokenizer(model))


def requests_of(template: Template, questions: list[str]) -> list[Request]:
    stop = tuple(template.stop)
    return [Request(template.prompt(single_turn(q)), GREEDY, 0, stop, True) for q in questions]


def test_it_answers_as_nemos_server_does(hf_server, model, template, questions):
    """In bfloat16 the order of sums decides near ties: there 52 of 60 agree."""
    requests = requests_of(template, questions)
    ours = asked_of(hf_server, model).complete(requests, "transformers")
    settings = load_settings([ROOT / "config/config.yaml", ROOT / "config/demo.yaml"])
    command = Launcher().sized([*programs.server(settings, "chat"), f"gpt_model_file={model}"])
    with Served(command, None, model.with_suffix(".log")) as nemo_server:
        client = Client(nemo_server, Journal(None), "demo", ClientSettings())
        nemos = client.complete(requests, "nemo")
    assert all(isinstance(answer, Completion) and answer.finish == "stop" for answer in ours)
    assert sum(a == b for a, b in zip(ours, nemos, strict=True)) >= 0.98 * len(questions)


def test_a_prompt_that_is_read_otherwise_than_by_nemo_fails(hf_server, model):
    mark = Request("[INST] a b </s> c [/INST]", GREEDY, 0, ("</s>",), add_bos=True)
    without_bos = Request("[INST] a b c [/INST]", GREEDY, 0, ("</s>",), add_bos=False)
    for failed in asked_of(hf_server, model).complete([mark, without_bos], "x"):
        assert isinstance(failed, Failed)
        assert "tokens of the prompt, NeMo makes" in failed.reason


def test_a_judge_needs_log_probabilities(hf_server, model):
    with pytest.raises(UserError, match="log-probabilities"):
        client = asked_of(hf_server, model)
        client.probability_of_a(["[INST] Choose (A) or (B). [/INST] Answer:"], "x", add_bos=True)


def test_the_programs_respond_and_revise(hf_server, model, template, questions, tmp_path):
    prompts, responses = tmp_path / "prompts.jsonl", tmp_path / "responses.jsonl"
    write_jsonl(prompts, [{"id": record_id(q), "prompt": q} for q in questions[:16]])
    greedy = GREEDY.model_dump_json()
    asked = [
        *("--model", str(model), "--template", template.model_dump_json()),
        *("--serving", SERVING.model_dump_json(), "--url", hf_server.url),
    ]

    def run(name: str, source: Path, output: Path, *options: str) -> list[dict]:
        files = ["--input", str(source), "--output", str(output)]
        journal = ["--journal", str(output.with_suffix(".journal"))]
        command = [sys.executable, program(name), *files, *asked, *journal, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return list(read_jsonl(output))

    answered = run("respond", prompts, responses, "--sampling", greedy)
    sampling = ["--critique-sampling", greedy, "--revision-sampling", greedy]
    principles = ["--principles", "demo/constitution.yaml"]
    revised = run("revise", responses, tmp_path / "revisions.jsonl", *sampling, *principles)
    assert len(answered) == 16
    assert len(revised) >= 14
    assert all(json.dumps(row["rounds"][0]["critique"]) for row in revised)


def test_a_server_that_is_killed_is_told(exported, serve_cpu, model, template, questions):
    log = exported.with_suffix(".killed.log")
    command = [serve_cpu, str(exported), "FREE_PORT"]
    with served_by(SERVING, command, None, log) as served:
        assert served.url
        threading.Timer(0.1, os.killpg, (served._program.pid, signal.SIGKILL)).start()
        with pytest.raises(ServerFailed, match=r"(?s)ended .*killed\.log"):
            asked_of(served, model).complete(requests_of(template, questions), "killed")
