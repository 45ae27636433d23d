"""Each comparison is judged to its end when its own answers are there; labels are as in passes."""

import json
import math
import threading
from contextlib import ExitStack

import pytest
from tests.asking.test_client import client_of as nemo_client
from tests.asking.test_openai_protocol import TOKENIZER, choice
from tests.asking.test_openai_protocol import client_of as openai_client
from tests.judging.service import says
from tests.loopback import Answer, Call, Loopback
from tests.steps.answering_servers import NemoServer, hash_of
from tests.steps.step_programs import INSTRUCT, candidates

from cai.asking.chat.chat_client import ChatClient
from cai.asking.chat_model import ChatModel
from cai.asking.journal.entries import Journal
from cai.files.records import Ledger
from cai.judging.pairwise import judge_pairs
from cai.judging.served_judge import ChatAsker, ServedAsker
from cai.settings.judges import LogprobJudge, PairwiseChat

PRINCIPLES = {name: f"Which has more {name}?" for name in ("calm", "care")}
REASONING = {"request": "So?", "max_tokens": 20}
RECORDS = candidates(20)
ORDERS = (False, True)


@pytest.fixture
def loopback():
    """Start servers that live as long as the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(Loopback(answer))


def said(prompt: str, body: dict) -> str:
    """A choice, or reasoning that sometimes does not end."""
    text = hash_of(prompt, {"temperature": 1.0}).removesuffix("</s>")
    if "So?" in prompt:
        return {"0": "neither"}.get(text[-1], f"({'AB'[ord(text[-1]) % 2]})")
    return text if text[-1] in "12" else f"{text}</s>"


def judged(model: ChatModel) -> str:
    settings = LogprobJudge(
        pairs=2, principles_per_comparison=2, samples=2, reasoning=REASONING, combine="odds"
    )
    ledger = Ledger("judge")
    asker = ServedAsker(settings, model, 1)
    rows = judge_pairs("logprob", settings, ORDERS, RECORDS, PRINCIPLES, 1, asker, ledger)
    return json.dumps([list(ledger.kept(rows)), ledger.as_dict()])


def test_labels_and_ledger_are_those_of_passes(loopback):
    def completes(call: Call) -> Answer:
        text = said(call.body["prompt"], call.body)
        tokens = {"tokens": [text], "token_logprobs": [math.log(0.9)]}
        end = "stop" if text.endswith("</s>") else "length"
        return choice(text.removesuffix("</s>"), end, logprobs=tokens)

    with NemoServer(said) as server:
        passes = judged(ChatModel(nemo_client(server), INSTRUCT))
    client = openai_client(loopback(completes), in_flight=8, prompts="text", extensions=False)
    assert judged(ChatModel(client, INSTRUCT, TOKENIZER)) == passes
    assert 0 < json.loads(passes)[1]["out"] < 40
    failed = json.loads(passes)[1]["notes"]["answers"]["failed"]
    assert len(failed) == 2  # reasoning that did not end, and choices that are none


def test_no_comparison_waits_for_the_slowest(loopback):
    others_done = threading.Event()
    chosen = []

    def reply(call: Call) -> Answer:
        last = call.body["messages"][-1]["content"]
        if RECORDS[0]["prompt"] in last:
            assert others_done.wait(10), "pass by pass: no choice before the last reasoning"
        if last == "So?" and RECORDS[0]["prompt"] not in str(call.body):
            chosen.append(call)
            if len(chosen) == len(RECORDS) - 1:
                others_done.set()
        return Answer(says("(A)" if last == "So?" else "Because."))

    settings = PairwiseChat(reasoning=REASONING)
    client = ChatClient(loopback(reply).url, "m", None, Journal(None))
    asker, ledger = ChatAsker(settings, client), Ledger("judge")
    rows = judge_pairs("chat", settings, (False,), RECORDS, PRINCIPLES, 1, asker, ledger)
    assert [row["id"] for row in rows] == [record["id"] for record in RECORDS]
