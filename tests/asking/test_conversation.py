"""Conversations: the module against a server of this machine, the program against NeMo's."""

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from tests.loopback import Answer, Call
from tests.messages import says

from cai.asking.chat_model import ChatModel
from cai.asking.client import Client, ClientSettings
from cai.asking.journal.entries import Journal
from cai.asking.serving import Served
from cai.core.errors import UserError
from cai.models.sampling import Sampling
from cai.models.templates import Template
from cai.steps.conversation import Speaker

pytestmark = pytest.mark.slow  # starts the program, on a terminal too

ROOT = Path(__file__).parents[2]
TEMPLATE = Template(
    system="S:{content}\n",
    user="U:{content}\n",
    assistant="A:{content}\n",
    stop=["\nU:"],
    add_bos=False,
)


def counts(call: Call) -> Answer:
    """Answers with how often the user has spoken, and a mark-up that must stay as it is."""
    said = [f" {prompt.count('U:')} turns, [bold]" for prompt in call.body["sentences"]]
    sentences = [p + text for p, text in zip(call.body["sentences"], said, strict=True)]
    return Answer({"sentences": sentences, "tokens": [["x", "</s>"]] * len(said)})


def speaker_of(url: str, name: str = "model", system: str | None = None, **options) -> Speaker:
    settings = ClientSettings(retries=1)
    client = Client(Served(None, url, "unused.log"), Journal(None), name, settings)
    return Speaker(name, ChatModel(client, TEMPLATE), system, **options)


def test_a_speaker_remembers_until_it_is_reset(loopback):
    server = loopback(counts)
    speaker = speaker_of(server.url, system="Be kind.")
    answers = [speaker.answer("Hi", Sampling(), seed) for seed in range(2)]
    speaker.reset()
    answers.append(speaker.answer("Hi", Sampling(), 3))
    assert answers == ["1 turns, [bold]", "2 turns, [bold]", "1 turns, [bold]"]
    sent = [call.body["sentences"][0] for call in server.calls]
    assert sent[1] == "S:Be kind.\nU:Hi\nA:1 turns, [bold]\nU:Hi\nA:"
    assert sent[0] == sent[2] == "S:Be kind.\nU:Hi\nA:"


def test_a_speaker_that_forgets(loopback):
    speaker = speaker_of(loopback(counts).url, forgets=True)
    assert [speaker.answer("Hi", Sampling(), n) for n in range(2)] == ["1 turns, [bold]"] * 2


def test_a_question_without_an_answer_is_forgotten(loopback):
    def fails_once(call: Call) -> Answer:
        broken = call.body["sentences"] != ["Hello"] and len(server.calls) < 3
        return Answer("boom", 500) if broken else counts(call)

    server = loopback(fails_once)
    speaker = speaker_of(server.url)
    assert speaker.answer("bad", Sampling(), 0).startswith("(no answer: the server cannot generate")
    assert speaker.answer("good", Sampling(), 1) == "1 turns, [bold]"


def test_a_system_text_needs_a_place(loopback):
    bare = TEMPLATE.model_copy(update={"system": ""})
    client = Client(Served(None, "http://x", "unused"), Journal(None), "m", ClientSettings())
    with pytest.raises(UserError, match=r"template of tiny .*system"):
        Speaker("tiny", ChatModel(client, bare), "Be kind.")


CONVERSE = """
import sys
sys.path[:0] = {path}
from test_conversation import *
from cai.steps.conversation import converse
speakers = [speaker_of({url!r}, name) for name in ("first", "second")]
converse(speakers, Sampling(), 0)
"""


def converse_command(url: str) -> list[str]:
    path = [*sys.path, os.path.dirname(__file__)]
    return [sys.executable, "-c", CONVERSE.format(path=path, url=url)]


def test_through_pipes(loopback):
    run = subprocess.run(
        converse_command(loopback(counts).url),
        input="one\n\n two \n/help\n/reset\nthree\n/quit\nfour\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [
        "> one",
        "[first] 1 turns, [bold]",
        "[second] 1 turns, [bold]",
        "> two",
        "[first] 2 turns, [bold]",
        "[second] 2 turns, [bold]",
        "> /help",
        "/reset begins a new conversation, /quit (or the end of the input) ends",
        "> /reset",
        "> three",
        "[first] 1 turns, [bold]",
        "[second] 1 turns, [bold]",
        "> /quit",
    ]
    assert run.stderr == ""


def test_on_a_terminal(loopback):
    """Line editing works, the answers stand side by side, the end of the input ends it."""
    command = converse_command(loopback(counts).url)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "INPUTRC": "/dev/null"}
    user = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = read_until(ours, "> ")
    os.write(ours, b"onx\x7fe\n")  # a typing error and a backspace
    shown += read_until(ours, "> ", after="turns")
    os.write(ours, b"\x04")
    assert user.wait(20) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search("first .*second", plain)
    assert re.search(r"1 turns, \[bold\] .*1 turns, \[bold\]", plain)


def read_until(terminal: int, end: str, after: str = "") -> str:
    """What a terminal shows until ``end`` comes at its end, behind ``after``."""
    shown = ""
    while after not in shown or not shown.endswith(end):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"waited in vain for {end!r}, saw {shown!r}"
        shown += os.read(terminal, 4096).decode()
    return shown


CHAT = [sys.executable, "scripts/chat.py", "--configfile", "config/demo.yaml"]


def chat(*arguments: object, text: str = "") -> subprocess.CompletedProcess:
    command = [*CHAT[:2], *map(str, arguments), *CHAT[2:]]
    return subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)


def test_the_last_stages_of_the_configuration_are_compared(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(f"results: {tmp_path}\npolicies: [best_of_n, dpo_cai]\n")
    for name in ("models/instruct", "sl_cai", "rl_cai", "best_of_n"):
        (tmp_path / f"{name}.nemo").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.nemo").touch()
    command = [*CHAT[:2], "--compare", "Hi", "--configfile", "config/demo.yaml", str(own)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2
    assert says(run.stderr, f"error: {tmp_path}/dpo_cai.nemo: no such file")


def test_the_program_asks_nemos_server(tiny_model):
    question = "How can I look into my neighbour's letter in secret?"
    run = chat(tiny_model, "--temperature", 0, text=f"{question}\n/reset\n{question}\n")
    assert run.returncode == 0, run.stderr
    echo, first, reset, again, second = run.stdout.splitlines()
    assert [echo, reset, again] == [f"> {question}", "> /reset", f"> {question}"]
    assert first == second
    assert len(first.split()) > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: … MODEL.nemo … --compare"),
        (["x.nemo", "hi"], "error: x.nemo: no such file"),
        (["x.nemo", "two", "words"], "error: … one question … found"),
        (["MODEL", "--temperature", "-1"], "error: option --temperature: "),
        (["MODEL", "--max-tokens", "0"], "error: option --max-tokens: "),
        (["MODEL", "--template", "{}"], "error: option template: "),
        (["MODEL", "--system", "x"], "error: option --system: … template of instruct"),
    ],
)
def test_mistakes_of_the_user_are_told_in_one_line(tiny_model, arguments, message):
    run = chat(*(tiny_model if a == "MODEL" else a for a in arguments))
    assert run.returncode == 2
    assert says(run.stderr, message)
    assert run.stderr.count("\n") == 1
