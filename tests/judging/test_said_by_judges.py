"""What judges of this world say instead of a letter, through the whole program."""

import re
import shlex
import subprocess

import pytest
from tests import programs
from tests.judging.service import Service, says
from tests.loopback import Answer, Loopback

pytestmark = pytest.mark.slow  # starts the program that judges

THING = re.compile(r"thing (\d+)\?")
KIND = re.compile(r"\(([AB])\) Kind")


def things(count: int) -> list[dict]:
    return [
        {
            "id": f"{number:016x}",
            "prompt": f"How do I do thing {number}?",
            "candidates": [
                {"temperature": 1.0, "text": f"{word} answer {number}."}
                for word in ("Kind", "Other")
            ],
        }
        for number in range(count)
    ]


def filled(form: str, body: dict) -> str:
    """A form with K and k for the letter of the kind answer, O and o for the other's."""
    kind = KIND.search(body["messages"][-1]["content"])[1]
    other = "B" if kind == "A" else "A"
    letters = {"K": kind, "O": other, "k": kind.lower(), "o": other.lower()}
    return re.sub(r"(?<![A-Za-z])[KOko](?![A-Za-z])", lambda match: letters[match[0]], form)


def ended(text: str | None, finish: str = "stop", **more: object) -> dict:
    answer = says(text, **more)
    answer["choices"][0]["finish_reason"] = finish
    return answer


def number_of(body: dict) -> int:
    return int(THING.search(body["messages"][-1]["content"])[1])


def chat(service: Service, **more: object) -> dict:
    return {"kind": "chat", "url": service.url + "/v1", "model": "m", **more}


READ = [
    '{"best": "k", "worst": "o"}',
    '{"best": "Answer K", "worst": "Answer O"}',
    '{"best": "(K).", "worst": "O."}',
    '{"best":"K","worst":"O","reasoning":"It is kind."}',
    "\\boxed{K}",
    '<think>\nThe form is {"best": "<letter>", "worst": "<letter>"}. First I lean to '
    '{"best": "O", "worst": "K"}, but no.\n</think>\n\n{"best": "K", "worst": "O"}',
]
UNREAD = [
    (
        ended('<think>\nA draft would be {"best": "O", "worst": "K"}. But wait, let me', "length"),
        "the judge's answer did not end (client.max_tokens)",
    ),
    (
        ended('{"best": "K", "worst": "O"} or {"best": "O", "worst": "K"}'),
        "the judge's answer contradicts itself",
    ),
]


def test_the_best_and_the_worst_are_read_or_counted_by_reason(judge, asked) -> None:
    def reply(body: dict, _: int) -> dict:
        number = number_of(body)
        answer = ended(READ[number]) if number < len(READ) else UNREAD[number - len(READ)][0]
        [choice] = answer["choices"]
        message = choice["message"]
        filled_in = {**message, "content": filled(message["content"], body)}
        return {**answer, "choices": [{**choice, "message": filled_in}]}

    with Service(reply) as service:
        step = judge(things(len(READ) + len(UNREAD)))
        rows = step.rows(*asked(**chat(service)))
    assert [row["id"] for row in rows] == [f"{number:016x}" for number in range(len(READ))]
    assert all(row["p_a"] == row["a"].startswith("Kind") for row in rows)
    assert step.report["failed"] == {reason: 1 for _, reason in UNREAD}
    assert step.report["answers"]["failed"] == step.report["failed"]


def test_what_cannot_be_compared_is_counted_and_never_asked(judge, asked) -> None:
    rows = things(4)
    rows[0]["candidates"] = []
    rows[1]["candidates"] = rows[1]["candidates"][:1]
    rows[2]["candidates"] = rows[2]["candidates"][:1] * 2
    with Service(best_and_worst) as service:
        step = judge(rows)
        [row] = step.rows(*asked(**chat(service)))
    assert row["id"] == rows[3]["id"] and len(service.bodies) == 1
    assert step.report["failed"] == {
        "fewer than two different answers: there is nothing to compare": 3
    }


VOTES = [
    "(O):\nThis one gives away private data.\n\n(K) declines, which is kinder.\n\n"
    "So the better answer is clearly (K), since it respects people.",
    "**Answer O:**\nIt gives away private data.\n\nThe other one declines kindly. "
    "I therefore choose answer K.",
    "[[K]]",
    "**Verdict:** K",
    "<think>O is better. (O)</think>\n(K)",
]


@pytest.mark.parametrize("orders", [1, 2])
def test_votes_are_read_whatever_is_introduced_before(judge, asked, orders) -> None:
    def reply(body: dict, _: int) -> dict:
        return says(filled(VOTES[number_of(body)], body))

    with Service(reply) as service:
        step = judge(things(len(VOTES)))
        rows = step.rows(*asked(**chat(service, pairwise={}, orders=orders)))
    assert len(rows) == len(VOTES)
    assert all(row["p_a"] == row["a"].startswith("Kind") for row in rows)


def best_and_worst(body: dict, _: int = 0) -> dict:
    return says(filled('{"best": "K", "worst": "O"}', body))


def error_of(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


def run_command(message: str) -> subprocess.CompletedProcess:
    """Run the command that a message names, where the message stands."""
    _, *command = shlex.split(re.search(r"`python (.*?)`", message)[0].strip("`"))
    return programs.run(*command)


@pytest.mark.parametrize("pairwise", [None, {}])
def test_a_judge_that_cannot_be_read_is_told_after_a_dozen_answers(judge, asked, pairwise) -> None:
    """Then its answers are asked afresh by the command that the message names."""
    broken = True

    def reply(body: dict, _: int) -> dict:
        if broken:
            return says("I like the \x1b[31mkinder one.")
        return says(filled("(K)", body)) if pairwise == {} else best_and_worst(body)

    with Service(reply) as service:
        step = judge(things(40))
        options = asked(**chat(service, pairwise=pairwise))
        line = error_of(step.run(*options))
        assert len(service.bodies) == 12
        assert "none of the first 12 answers can be read" in line
        assert "(A) or (B) alone" in line if pairwise == {} else '"best"' in line
        assert "kinder one" in line and "\x1b" not in line
        assert f"{service.url}/v1" in line
        error_of(step.run(*options))
        assert len(service.bodies) == 13  # one, to see whether it is mended
        forgotten = run_command(line)
        assert forgotten.returncode == 0 and "13 answers removed" in forgotten.stdout
        broken = False
        rows = step.rows(*options)
    assert len(rows) == 40
    assert len(service.bodies) == 13 + 40


def test_a_mended_judge_goes_on_without_any_command(judge, asked) -> None:
    """What was answered before stays unread, until it is forgotten."""
    broken = True
    with Service(lambda body, _: says("Hm.") if broken else best_and_worst(body)) as service:
        step = judge(things(30))
        error_of(step.run(*asked(**chat(service))))
        broken = False
        done = step.run(*asked(**chat(service)))
    assert done.returncode == 0, done.stderr
    assert len(service.bodies) == 30
    assert step.ledger["out"] == 18
    assert "12 answers removed" in run_command(done.stderr).stdout
    assert step.report["failed"] == {"the judge's answer cannot be read": 12}


def test_few_records_name_the_form_and_the_command_too(judge, asked) -> None:
    with Service(lambda body, _: says("Hm.")) as service:
        line = error_of(judge(things(3)).run(*asked(**chat(service))))
    assert "3 of 3 records failed" in line and '{"best": "<letter>"' in line
    assert "3 answers removed" in run_command(line).stdout


def test_what_all_went_into_reasoning_is_told_at_once_with_its_setting(judge, asked) -> None:
    thought = ended(None, "length", reasoning_content="Let me think about both of them.")
    with Service(lambda body, _: thought) as service:
        line = error_of(judge(things(30)).run(*asked(**chat(service))))
    assert len(service.bodies) == 12
    assert "all of client.max_tokens went into the judge's reasoning: 12" in line


def test_a_service_that_asks_for_a_key_is_told_by_the_setting(judge, asked) -> None:
    with Loopback(lambda call: Answer({"error": "no key"}, 401)) as service:
        line = error_of(judge(things(6)).run(*asked(**chat(service))))
    assert len(service.calls) == 1
    assert f"{service.url}/v1/chat/completions" in line
    assert "it asks for one: set key_variable" in line


def test_a_service_without_a_system_role_judges_and_the_manifest_says_how(judge, asked) -> None:
    def reply(call) -> Answer:
        if call.body["messages"][0]["role"] == "system":
            return Answer({"error": {"message": "roles must alternate"}}, 400)
        return Answer(best_and_worst(call.body))

    with Loopback(reply) as service:
        step = judge(things(6))
        rows = step.rows(*asked(**chat(service)))
    assert len(rows) == 6 and len(service.calls) == 7
    assert step.ledger["notes"]["sent_as"] == ["the system text in the user's turn"]
    assert step.report["sent_as"] == step.ledger["notes"]["sent_as"]
