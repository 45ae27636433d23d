"""What a step holds is what is in flight, not its shard: neither the records nor what it makes."""

import importlib.util
import json
import tracemalloc
from contextlib import contextmanager

import pytest
from step_programs import INSTRUCT, Step, preferences, principle_options, prompts
from tests.asking.test_openai_protocol import choice
from tests.asking.test_openai_protocol import client_of as openai_client
from tests.loopback import Answer, Call, Loopback
from tests.project import program

from cai.asking.chat_model import ChatModel
from cai.asking.journal.entries import Journal
from cai.asking.program import parse
from cai.asking.run import Run
from cai.models.tokens import Tokenizer

RECORDS = 100
LONG = "word " * 8000  # 40 kB: a text of each record are 4 MB
MOST = 3e6  # bytes
STEPS = {
    "respond": [],
    "judge_candidates": [
        *principle_options(preferences()),
        *("--judge", json.dumps({"kind": "logprob"})),
    ],
}


class Quick(Tokenizer):
    """Takes no time, so that the test takes little."""

    is_huggingface = False

    def __init__(self) -> None:
        """It has no file."""

    def encode(self, text, *, add_bos=False):
        return [1]


class Asking(Run):
    """A run whose model is behind a loopback server."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @contextmanager
    def model(self, options, counts=False):
        yield self._model


def record(row: dict) -> dict:
    """What both steps read, with long answers."""
    texts = [f"{row['prompt']} {letter} {LONG}" for letter in "ab"]
    return {**row, "response": texts[0], "candidates": [{"text": text} for text in texts]}


@pytest.mark.parametrize("name", STEPS)
def test_memory_is_that_of_what_is_in_flight(step, tmp_path, name):
    def answer(call: Call) -> Answer:
        server.calls.clear()
        if call.body.get("logprobs"):
            return choice("(A)", logprobs={"tokens": ["(A)"], "token_logprobs": [-0.1]})
        return choice(f"{call.body['seed']} {LONG}")

    made: Step = step(name, map(record, prompts(RECORDS)))
    words = [*made.command(*STEPS[name])[2:], "--url", "unused"]
    module = module_of(name)
    with Loopback(answer) as server, Journal(tmp_path / "answers-0.jsonl") as journal:
        client = openai_client(server, journal, in_flight=2, prompts="text", extensions=False)
        client._protocol._tokenizer = Quick()
        run = Asking(ChatModel(client, INSTRUCT))
        tracemalloc.start()
        try:
            module.step(parse(module.parser(), words), run)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert made.ledger["out"] == RECORDS
    assert peak < MOST


def module_of(name: str):
    """A program as a module."""
    spec = importlib.util.spec_from_file_location(name, program(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
