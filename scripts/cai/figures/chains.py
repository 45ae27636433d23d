"""Chains of revisions: their texts by round, joined with what is measured of them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from cai.steps.answers import Answer
from cai.steps.critique import Chain

Value = TypeVar("Value")
HARMFUL = "harmful"  # the set of the prompts that chains begin with


class RoundText(Answer):
    """A text of a chain, in the form of an answer; 0 is the round of the first response."""

    round: int


def texts_of(chain: Chain) -> Iterator[RoundText]:
    """The first response (round 0) and each revision, in the form of answers.

    A chain holds finished revisions only; a first response may have been cut, which is not
    recorded.
    """
    texts = [chain["response"], *(step["revision"] for step in chain["rounds"])]
    for number, text in enumerate(texts):
        yield {
            "id": f"{chain['id']}.{number}",
            "prompt_id": chain["id"],
            "round": number,
            "prompt": chain["prompt"],
            "set": HARMFUL,
            "answer": text,
            "finish": "stop",
        }


def by_round(texts: Iterable[RoundText], values: Mapping[str, Value]) -> list[Mapping[str, Value]]:
    """What is measured of the texts, by round and by the prompt's id.

    Args:
        texts: of one file of chains.
        values: by the ids of the texts.
    """
    rounds: list[dict[str, Value]] = []
    for row in texts:
        while len(rounds) <= row["round"]:
            rounds.append({})
        if row["id"] in values:
            rounds[row["round"]][row["prompt_id"]] = values[row["id"]]
    return [*rounds]
