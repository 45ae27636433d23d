"""What judges of this world say instead of a letter, through the whole program."""

import re

import pytest
from tests.judging.service import Service, says

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
