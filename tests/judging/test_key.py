"""The judge's key goes into one HTTP header and nowhere else, whatever the service sends back."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.loopback import Answer, Call, Loopback
from tests.steps.step_programs import ROOT, candidates

from cai.provenance.manifest import manifest_path

pytestmark = pytest.mark.slow  # programs of the project, dozens of times

KEY = "nvapi-0123456789/very+secret"
VARIABLE = "TEST_JUDGE_KEY"
PART = "very+secret"  # that is no other text's


def escaped(text: str) -> str:
    """A text as JSON may write it."""
    return "".join(f"\\u{ord(one):04x}" for one in text)


def has_key(text: str) -> bool:
    """Whether the end of the key is in a text, in any spelling of JSON's or Python's."""
    plain = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return PART in plain.replace("\\", "")


def command_lines() -> list[str]:
    """The command lines of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return found


class Echo(Loopback):
    """Sends the headers of each request back, and looks at the processes while one is asked."""

    def __init__(self, reply) -> None:
        self.processes: list[str] = []

        def answer(call: Call) -> Answer:
            self.processes += command_lines()
            return reply(str(call.headers), call.body)

        super().__init__(answer)


def in_content(headers: str, body: dict) -> Answer:
    return Answer({"choices": [{"message": {"content": f"I was asked with {headers}"}}]})


def in_a_refusal(headers: str, body: dict) -> Answer:
    return Answer({"choices": [{"message": {"content": None, "refusal": headers}}]})


def in_all_fields(headers: str, body: dict) -> Answer:
    """An answer that can be read, with the headers wherever there is room for them."""
    letter = {"token": "A", "logprob": -0.1, "top_logprobs": [{"token": headers, "logprob": -9}]}
    after = {"token": f"\n{headers}", "logprob": -0.1, "top_logprobs": []}
    choice = {
        "message": {"content": f"(A)\n{headers}", "role": headers},
        "finish_reason": headers,
        "logprobs": {"content": [letter, after]},
    }
    return Answer({"id": headers, "choices": [choice], "usage": {"prompt_tokens": headers}})


def in_other_spellings(headers: str, body: dict) -> Answer:
    """Readable, and with every character as JSON may write it, in two ways."""
    said = f"{escaped(headers)} {escaped(headers).upper().replace('U', 'u')}"
    return Answer(f'{{"choices": [{{"message": {{"content": "{said}"}}}}]}}')


def escaped_in_no_known_form(headers: str, body: dict) -> Answer:
    return Answer(escaped(headers[headers.index("Bearer") :]))


def with_status(status: int):
    def reply(headers: str, body: dict) -> Answer:
        return Answer({"error": headers}, status, {"X-Echo": headers})

    return reply


def in_no_known_form(headers: str, body: dict) -> Answer:
    return Answer(f"<html>{headers}</html>")


ONCE = {"retries": 1}  # a test does not wait for a second try


@pytest.mark.parametrize(
    "pairwise",
    [None, {}, {"reasoning": {}}, {"logprobs": True}],
    ids=["best and worst", "votes", "reasoning", "log-probabilities"],
)
@pytest.mark.parametrize(
    "reply",
    [
        in_content,
        in_a_refusal,
        in_all_fields,
        in_other_spellings,
        in_no_known_form,
        escaped_in_no_known_form,
        with_status(401),
        with_status(400),
        with_status(404),
        with_status(500),
    ],
    ids=[
        "content",
        "refusal",
        "all fields",
        "spellings",
        "no form",
        "escaped",
        "401",
        "400",
        "404",
        "500",
    ],
)
def test_the_key_is_nowhere(judge, asked, monkeypatch, reply, pairwise) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    with Echo(reply) as service:
        step = judge(candidates(3))
        settings = {"kind": "chat", "url": service.url, "model": "m", "key_variable": VARIABLE}
        settings |= {"pairwise": pairwise, "client": ONCE}
        done = step.run_apart(*asked(**settings), "--max-bad-share", 1)
    assert service.calls
    assert all(call.headers["Authorization"] == f"Bearer {KEY}" for call in service.calls)
    assert any("scripts/rl_cai/judge_candidates.py" in line for line in service.processes)
    files = [path for path in step.folder.rglob("*") if path.is_file()]
    assert step.journal in files
    assert done.returncode or manifest_path(step.output) in files
    said = {"stdout": done.stdout, "stderr": done.stderr}
    said |= {str(path): path.read_bytes().decode(errors="replace") for path in files}
    said |= {f"process {number}": line for number, line in enumerate(service.processes)}
    assert [where for where, text in said.items() if has_key(text)] == []


def test_a_refused_key_is_told_by_the_name_of_its_variable(judge, asked, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    with Echo(with_status(401)) as service:
        settings = {"kind": "chat", "url": service.url, "model": "m", "key_variable": VARIABLE}
        done = judge(candidates(3)).run(*asked(**settings))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"refuses the key in {VARIABLE}" in line and "[key]" in line


def test_the_key_of_the_second_program_is_nowhere_either(
    judge, asked, monkeypatch, tmp_path
) -> None:
    """Which compares two models' answers."""
    monkeypatch.setenv(VARIABLE, KEY)
    rows = [{"id": str(n), "prompt": f"q{n}", "set": "harmful", "answer": "No."} for n in range(3)]
    first, second = judge([{**row, "answer": "Sure."} for row in rows]), tmp_path / "second.jsonl"
    second.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Echo(in_content) as service:
        settings = {"kind": "chat", "url": service.url, "model": "m", "key_variable": VARIABLE}
        command = first.command(*asked(**settings), "--against", second, "--max-bad-share", "1")
        command[1] = "scripts/evaluation/judge_answers.py"
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = [done.stdout, done.stderr, *service.processes]
    said += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(service.calls) == 3
    assert manifest_path(first.output).exists()
    assert not [text for text in said if has_key(text)]
