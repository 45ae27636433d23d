"""A served model that compares pairs: chain of thought, and what earlier settings asked."""

import json

import pytest
from tests.judging.service import BETTER, SHOWN, Service, says
from tests.steps.answering_servers import NemoServer
from tests.steps.step_programs import candidates

from cai.core.digests import digest
from cai.files.records import read_jsonl

QUESTION = "{prompt}\n\n(A) {a}\n\n(B) {b}\n\n{principle}"
KEYS = "b3ebe17e651a40c00b1b3df1bd05edd917b912e1a91f90b550f969853ee35aef"
DRAWS = "b82b3c602e2341353ee9d50235b5c33c3e7089b9044860a46a7aa89042915229"
REASONING = {"question": QUESTION + " Think.", "request": "So?", "max_tokens": 20}


def thinks(prompt: str, body: dict) -> str:
    """Reasons by the seed, so that samples differ; chooses the better answer."""
    if "So?" in prompt:
        a, b = SHOWN.search(prompt).groups()
        return "(A)" if BETTER.index(a) < BETTER.index(b) else "(B)"
    return f" Thought {body['random_seed']}.</s>"


def first_is_better(row: dict) -> bool:
    return BETTER.index(row["a"]) < BETTER.index(row["b"])


def test_a_served_model_reasons_then_answers_within_the_clamp(judge, asked) -> None:
    with NemoServer(thinks, probability=0.95) as server:
        step = judge(candidates(10), server.url)
        rows = step.rows(*asked(kind="logprob", reasoning=REASONING, samples=2))
    thoughts = [body for body in server.bodies if not body.get("compute_logprob")]
    assert {body["tokens_to_generate"] for body in thoughts} == {20}
    assert len({body["random_seed"] for body in thoughts}) == 2
    assert len(server.prompts) == 10 * 2 * 2 * 2  # orders, samples, reasoning and answer
    answered = [prompt for prompt in server.prompts if "So?" in prompt]
    assert all(prompt.endswith("[INST] So? [/INST] The answer is: ") for prompt in answered)
    assert all(" Thought " in prompt for prompt in answered)
    assert all(row["p_a"] == pytest.approx(0.6 if first_is_better(row) else 0.4) for row in rows)
    assert all(row["judge"]["reasoning"].startswith("Thought ") for row in rows)
    assert step.report["answers"] == {"asked": 40, "failed": {}}


def test_without_a_clamp_the_probabilities_are_as_they_are(judge, asked) -> None:
    with NemoServer(thinks, probability=0.95) as server:
        rows = judge(candidates(5), server.url).rows(
            *asked(kind="logprob", reasoning={**REASONING, "clamp": 0})
        )
    assert all(row["p_a"] == pytest.approx(0.95 if first_is_better(row) else 0.05) for row in rows)


def test_reasoning_that_does_not_end_is_counted(judge, asked) -> None:
    def endless(prompt: str, body: dict) -> str:
        thought = thinks(prompt, body)
        return thought.removesuffix("</s>") if "neighbour 3?" in prompt else thought

    with NemoServer(endless) as server:
        step = judge(candidates(5), server.url)
        rows = step.rows(*asked(kind="logprob", reasoning=REASONING))
    assert len(rows) == 4
    assert step.report["failed"] == {"the judge's reasoning did not end (reasoning.max_tokens)": 1}


def test_requests_and_tokens_are_counted(judge, asked) -> None:
    with NemoServer(lambda prompt, body: "(A)") as server:
        step = judge(candidates(10), server.url)
        step.rows(*asked(kind="logprob", question=QUESTION))
        expected = sum(len(prompt.split()) + 1 for prompt in server.prompts)
        first = step.report["usage"]
        step.rows(*asked(kind="logprob", question=QUESTION))
    assert first == {
        "questions": 20,
        "reused": 0,
        "requests": 1,
        "tokens": {"all": expected},
        "uncounted": 0,
    }
    assert step.report["usage"] == {
        "questions": 20,
        "reused": 20,
        "requests": 0,
        "tokens": {},
        "uncounted": 20,
    }


def test_the_keys_of_journals_are_those_of_earlier_versions(judge, asked) -> None:
    """Pinned, since other keys or draws would have all judging paid for again."""
    with NemoServer(lambda prompt, body: "(A)") as server:
        step = judge(candidates(20), server.url)
        rows = step.rows(*asked(kind="logprob", pairs=2, question=QUESTION))
    keys = sorted(line["key"] for line in read_jsonl(step.journal) if line["key"] != "finished")
    assert digest(keys) == KEYS
    assert digest([[row["a"], row["b"], row["principle"]] for row in rows]) == DRAWS


def test_a_chat_journal_of_an_earlier_version_is_reused(judge, asked) -> None:
    """Its values were texts, without the numbers of tokens."""
    with Service(lambda body, number: says('{"best": "A", "worst": "B"}')) as service:
        step = judge(candidates(5))
        options = asked(kind="chat", url=service.url, model="m")
        first = step.rows(*options)
        lines = list(read_jsonl(step.journal))
        for body in service.bodies:
            key = digest(["chat", f"{service.url}/chat/completions", body])
            assert key in {line["key"] for line in lines}
        old = [
            {**line, "value": line["value"]["text"]}
            for line in lines
            if isinstance(line["value"], dict)
        ]
        step.journal.write_text("".join(json.dumps(line) + "\n" for line in old))
        assert step.rows(*options) == first
    assert len(service.bodies) == 5
    assert step.report["usage"]["uncounted"] == 5
