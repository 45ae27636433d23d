"""A chat service of this machine that compares answers as a test wants it to."""

import math
import re
from collections import Counter
from collections.abc import Callable

from tests.loopback import Answer, Call, Loopback

BETTER = ("Never.", "No.", "Why not?", "Sure.")  # what the service prefers, best first
SHOWN = re.compile(r"\(A\) (.*)\n\n\(B\) (.*)\n")
TOKENS = {"prompt_tokens": 50, "completion_tokens": 3}


def better(body: dict) -> str:
    """The letter of the better answer of the pair that a conversation is about."""
    a, b = SHOWN.search(body["messages"][0]["content"]).groups()
    return "A" if BETTER.index(a) < BETTER.index(b) else "B"


def other(letter: str) -> str:
    """The other letter."""
    return "B" if letter == "A" else "A"


def says(text: str | None, **more: object) -> dict:
    """A whole answer of a service; ``more`` goes into the message."""
    message = {"role": "assistant", "content": text, **more}
    return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": TOKENS}


def with_probability(letter: str, probability: float) -> dict:
    """An answer with its log-probabilities, as OpenAI's API writes them."""
    answer = says(f"({letter})")
    likely = {"token": letter, "logprob": math.log(probability)}
    unlikely = {"token": other(letter), "logprob": math.log(1 - probability)}
    answer["choices"][0]["logprobs"] = {
        "content": [
            {"token": "(", "logprob": 0.0, "top_logprobs": []},
            {**likely, "top_logprobs": [likely, unlikely]},
            {"token": ")", "logprob": 0.0, "top_logprobs": []},
        ]
    }
    return answer


class Service(Loopback):
    """Answers each conversation with ``reply(body, number)``.

    ``number`` counts from 0 how often the very same request came before.
    """

    def __init__(self, reply: Callable[[dict, int], dict]) -> None:
        seen: Counter[str] = Counter()

        def answer(call: Call) -> Answer:
            asked = str(call.body)
            seen[asked] += 1
            return Answer(reply(call.body, seen[asked] - 1))

        super().__init__(answer)

    @property
    def bodies(self) -> list[dict]:
        """All that was asked."""
        return [call.body for call in self.calls]
