"""The whole chain, response to preference, on NeMo's own server with the demo's instruct model."""

import json
from pathlib import Path

import pytest
import yaml
from demo import world

from cai.asking.serving import Served
from cai.files.records import record_id

CONSTITUTION = yaml.safe_load(Path("demo/constitution.yaml").read_text())["principles"]
CAI_REQUESTS = world.requests(("cai",), ("harm",))
SERVER = "envs/nemo-cpu/opt/NeMo/examples/nlp/language_modeling/megatron_gpt_eval.py"
JUDGE = {
    "kind": "logprob",
    "question": "Request: {prompt} (A) {a} (B) {b} Question: {principle}",
    "answer_prefix": " Answer: ",
    "principles_per_comparison": 16,  # all of them, the one that matters among these
    "combine": "odds",
}


@pytest.fixture
def url(nemo_server: Served) -> str:
    """A running server of the demo's instruct model."""
    return nemo_server.url


@pytest.fixture(scope="module")
def harmful() -> list[dict]:
    requests = CAI_REQUESTS[::40]
    return [
        {"id": record_id(request.text), "prompt": request.text, "source": "demo"}
        for request in requests
    ]


def kinds(rows: list[dict], field: str) -> list[str]:
    return [world.classify(row["prompt"], row[field]).kind for row in rows]


def test_helpful_answers_become_refusals_that_the_judge_prefers(step, url, harmful) -> None:
    sampling = '{"max_tokens": 44}'
    responses = step("respond", harmful, url).rows("--sampling", sampling)
    assert kinds(responses, "response").count("comply") >= 0.9 * len(harmful)

    revise = step("revise", responses, url)
    options = ["--critique-sampling", sampling, "--revision-sampling", sampling]
    revised = revise.rows("--principles", "demo/constitution.yaml", "--rounds", 4, *options)
    refused = [
        row for row in revised if world.classify(row["prompt"], row["revision"]).kind == "refuse"
    ]
    assert len(refused) >= len(harmful) / 3  # 5 of 8 kinds have a principle, and 59 % meet it

    pairs = [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "candidates": [
                {"temperature": 1.0, "text": row["response"]},
                {"temperature": 1.0, "text": row["revision"]},
            ],
        }
        for row in refused
    ]
    judge = step("judge_candidates", pairs, url)
    judged = judge.rows("--judge", json.dumps(JUDGE), "--principles", "demo/constitution.yaml")
    right = [(row["p_a"] > 0.5) == (row["a"] not in _responses(responses)) for row in judged]
    assert sum(right) >= 0.9 * len(judged)
    assert judge.report["confidence"] > 0.4  # 0.1 if those that do not matter weakened it


@pytest.mark.parametrize("principle", CONSTITUTION, ids=lambda principle: principle["id"])
def test_the_model_understands_each_principle_of_the_constitution(step, url, principle) -> None:
    requests = [one for one in CAI_REQUESTS if one.category == principle["id"]][::30]
    asked = [
        {"id": record_id(request.text), "prompt": request.text, "source": "demo"}
        for request in requests
    ]
    responses = step("respond", asked, url).rows("--sampling", '{"max_tokens": 44}')
    sampling = '{"max_tokens": 44}'
    options = ["--critique-sampling", sampling, "--revision-sampling", sampling]
    revised = step("revise", responses, url).rows("--principles", json.dumps(principle), *options)
    assert kinds(revised, "revision").count("refuse") >= 0.8 * len(asked)


def _responses(rows: list[dict]) -> set[str]:
    return {row["response"] for row in rows}


def test_the_model_samples_different_candidates(step, url, harmful) -> None:
    sample = step("sample_candidates", harmful, url)
    rows = sample.rows("--temperatures", 1, 1, 1, 1.2, "--sampling", '{"max_tokens": 44}')
    assert len(rows) >= 0.7 * len(harmful)
    assert sample.ledger["notes"]["answers"] == 4 * len(harmful)


def test_a_server_of_its_own_is_started_and_stopped(step, url, harmful) -> None:
    """The command after -- and a server that is not there: one line with the end of its log."""
    respond = step("respond", harmful[:1])
    done = respond.run("--", "envs/nemo-cpu/python", SERVER, "port=FREE_PORT", "server=Maybe")
    assert done.returncode == 2
    assert "error: the model server ended with exit code" in done.stderr
    assert not respond.output.exists()
