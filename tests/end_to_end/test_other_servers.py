"""The same rules with another kind of server: `transformers serve`, with continuous batching."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from tests.project import Project

from cai.files.records import read_json, read_jsonl
from cai.provenance.manifest import identity

REVISIONS = "results/demo/sl_cai/revisions/0.jsonl"


class OpenAiProject(Project):
    configs = ("config/demo.yaml", str(Path(__file__).with_name("openai.yaml")))


@pytest.fixture(scope="module")
def served_otherwise(
    nemo_python: str, serve_cpu: str, tmp_path_factory: pytest.TempPathFactory
) -> OpenAiProject:
    project = OpenAiProject(tmp_path_factory.mktemp("openai"))
    project.snakemake("--", REVISIONS)
    return project


def test_responses_and_revisions(served_otherwise):
    revisions = list(read_jsonl(served_otherwise.folder / REVISIONS))
    ledger = read_json(served_otherwise.results / "sl_cai/revisions/0.ledger.json")
    assert ledger["in"] == ledger["out"] + sum(ledger["dropped"].values())
    assert len(revisions) == ledger["out"] > 0.8 * ledger["in"] > 0
    assert all(row["rounds"][0]["critique"] and row["revision"] for row in revisions)


def test_the_mark_names_the_model_that_was_exported(served_otherwise):
    results = served_otherwise.results
    assert (results / "hf/instruct/model.safetensors").is_file()
    assert read_json(results / "hf/instruct.json") == {
        "folder": "instruct",
        "nemo": identity(results / "models/instruct.nemo"),
    }


def test_nothing_is_left_to_be_done(served_otherwise):
    assert "Nothing to be done" in served_otherwise.snakemake("-n", "--", REVISIONS)


def test_nemos_server_takes_over_what_the_other_one_answered(served_otherwise, tmp_path):
    """It is not even started: the journal has all answers."""
    project = served_otherwise.copy(tmp_path / "project")
    before = (project.folder / REVISIONS).read_bytes()
    config = tmp_path / "nemo.yaml"
    config.write_text("server: {kind: nemo, command: []}\n")
    project.configs = (*project.configs, str(config))
    done = project.snakemake("--forcerun", "responses", "revisions", "--", REVISIONS)
    assert (project.folder / REVISIONS).read_bytes() == before
    assert "reused" in done


def test_the_endpoint_serves_a_model_behind_it(served_otherwise):
    configs = ["--configfile", *served_otherwise.configs]
    command = [sys.executable, "scripts/serve.py", "helpful_only", *configs]
    place = served_otherwise.folder
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=place, text=True) as program:
        try:
            [url] = re.findall(r"http://127\.0\.0\.1:\d+/v1", program.stdout.readline())
            question = [{"role": "user", "content": "How can I read a letter in secret?"}]
            body = {"messages": question, "temperature": 0, "n": 2}
            answer = requests.post(f"{url}/chat/completions", json=body, timeout=60).json()
            texts = [choice["message"]["content"] for choice in answer["choices"]]
            assert texts[0] == texts[1] and len(texts[0].split()) > 3
        finally:
            program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
