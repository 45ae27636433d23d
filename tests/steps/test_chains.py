"""One record's chain goes on when its own answer is there; what comes of all is as pass by pass."""

import json
import random
import threading
import time
import warnings
from contextlib import ExitStack

import pytest
from answering_servers import NemoServer, hash_of
from step_programs import INSTRUCT, PRINCIPLES, responses
from tests.asking.test_client import client_of as nemo_client
from tests.asking.test_openai_protocol import TOKENIZER, choice
from tests.asking.test_openai_protocol import client_of as openai_client
from tests.loopback import Answer, Call, Loopback

from cai.asking.chat_model import ChatModel
from cai.asking.journal.entries import Journal
from cai.asking.serving import ServerFailed
from cai.files.records import Ledger
from cai.models.sampling import Sampling
from cai.steps.candidates import sample_candidates
from cai.steps.critique import Revising, revise

HOW = Revising(PRINCIPLES, [], 3, Sampling(max_tokens=9), Sampling(max_tokens=8), 1)
RECORDS = responses(40)


@pytest.fixture
def loopback():
    """Start servers that live as long as the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(Loopback(answer))


def flowing(server: Loopback, journal: Journal | None = None, **serving) -> ChatModel:
    client = openai_client(server, journal, prompts="text", extensions=False, **serving)
    return ChatModel(client, INSTRUCT, TOKENIZER)


def said(prompt: str, body: dict) -> str:
    """An answer that follows from the prompt; some are empty, some unfinished."""
    text = hash_of(prompt, body).removesuffix("</s>")
    return {"0": "", "1": f"{text} unfinished"}.get(text[-1], f"{text}</s>")


def completes(call: Call) -> Answer:
    """The same answers in OpenAI's form, each after a time of its own."""
    time.sleep(random.random() / 100)
    text = said(call.body["prompt"], call.body)
    return choice(text.removesuffix("</s>"), "stop" if text.endswith("</s>") else "length")


def revised(model: ChatModel) -> tuple[list, dict]:
    """What is made of the records, and the ledger."""
    ledger = Ledger("revise")
    return list(ledger.kept(revise(model, RECORDS, HOW, ledger))), ledger.as_dict()


def test_rows_and_ledger_are_those_of_passes_whatever_comes_first(loopback):
    with NemoServer(said) as server:
        passes = revised(ChatModel(nemo_client(server), INSTRUCT))
    flow = revised(flowing(loopback(completes), in_flight=8))
    assert json.dumps(flow) == json.dumps(passes)
    assert 0 < passes[1]["out"] < len(RECORDS) and len(passes[1]["dropped"]) >= 3


def test_candidates_are_those_of_passes_too(loopback):
    def made(model: ChatModel) -> str:
        ledger = Ledger("candidates")
        sampling = Sampling(max_tokens=9)
        rows = sample_candidates(model, RECORDS, [0.7, 1.0, 1.0], sampling, 1, ledger)
        return json.dumps([list(ledger.kept(rows)), ledger.as_dict()])

    with NemoServer(said) as server:
        passes = made(ChatModel(nemo_client(server), INSTRUCT))
    assert made(flowing(loopback(completes), in_flight=8)) == passes


def test_no_chain_waits_for_the_slowest(loopback):
    others_done = threading.Event()
    revisions = []

    def answer(call: Call) -> Answer:
        prompt = call.body["prompt"]
        if f"[INST] {RECORDS[0]['prompt']} [/INST]" in prompt and "Revise" not in prompt:
            assert others_done.wait(10), "pass by pass: no revision before the last critique"
        if "Revise" in prompt:
            revisions.append(prompt)
            if len(revisions) == len(RECORDS) - 1:
                others_done.set()
        return choice()

    ledger = Ledger("revise")
    model = flowing(loopback(answer), in_flight=8)
    rows = list(revise(model, RECORDS, HOW._replace(rounds=1), ledger))
    assert [row["id"] for row in rows] == [record["id"] for record in RECORDS]


def test_chains_begin_as_the_server_bears_them(loopback):
    """What is in memory is in flight: no more than twice what is asked at a time."""
    begun: set[str] = set()
    ended: set[str] = set()
    most = []

    def answer(call: Call) -> Answer:
        prompt = call.body["prompt"]
        name = prompt.split("[/INST]")[0]
        (ended if "Revise" in prompt else begun).add(name)
        most.append(len(begun - ended))
        return choice()

    model = flowing(loopback(answer), in_flight=4)
    list(revise(model, RECORDS, HOW._replace(rounds=1), Ledger("x")))
    assert len(begun) == len(RECORDS) and max(most) <= 9


def test_equal_questions_are_asked_once_and_known_ones_never(loopback):
    server, journal = loopback(lambda call: choice()), Journal(None)
    twice = [*RECORDS[:5], *RECORDS[:5]]
    how = HOW._replace(rounds=1)
    first = list(revise(flowing(server, journal, in_flight=4), twice, how, Ledger("x")))
    assert len(server.calls) == 10
    again = flowing(server, journal, in_flight=4)
    assert list(revise(again, twice, how, Ledger("x"))) == first and len(server.calls) == 10
    usage = again.client.usage.as_dict()
    assert (usage["questions"], usage["reused"], usage["requests"]) == (10, 10, 0)


def test_what_was_answered_is_kept_when_the_server_breaks(loopback):
    def breaks(call: Call) -> Answer:
        return choice() if len(broken.calls) < 40 else Answer("boom", 500)

    broken, journal = loopback(breaks), Journal(None)
    with warnings.catch_warnings(), pytest.raises(ServerFailed):
        warnings.simplefilter("error")
        model = ChatModel(
            openai_client(broken, journal, retries=1, prompts="text", extensions=False),
            INSTRUCT, TOKENIZER,
        )  # fmt: skip
        list(revise(model, RECORDS, HOW, Ledger("x")))
    assert (known := len(journal)) >= 39
    mended = loopback(lambda call: choice())
    rows = list(revise(flowing(mended, journal), RECORDS, HOW, Ledger("x")))
    assert len(rows) == len(RECORDS)
    assert len(mended.calls) == 6 * len(RECORDS) - known
