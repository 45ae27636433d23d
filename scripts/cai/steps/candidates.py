"""Candidates: several answers to one prompt, for a judge to choose among."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

from cai.asking.chat_model import ChatModel, Turn, derived_seed
from cai.asking.client import Completion, Failed
from cai.asking.record_chains import replies, run
from cai.core.errors import fail_if
from cai.files.lazily import Rows
from cai.files.records import Ledger, Prompt
from cai.models.sampling import Sampling
from cai.models.templates import single_turn

EQUAL = "the candidates are equal"  # no failure: there is nothing to compare
TOO_FEW = "fewer than two distinct candidates"


class Candidate(TypedDict):
    """One of several answers to a prompt, with the temperature that it was sampled at."""

    text: str
    temperature: NotRequired[float]


class Candidates(Prompt):
    """A prompt with answers for a judge to choose among."""

    candidates: list[Candidate]


def sample_candidates(
    model: ChatModel,
    records: Rows[Prompt],
    temperatures: Sequence[float],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
) -> Iterator[Candidates]:
    """One answer for each temperature, each with its own seed; temperatures may be equal.

    Failed, unfinished, empty and repeated answers are left out and counted in the ledger's notes.
    A prompt with fewer than two different answers is dropped: there is nothing to compare. It has
    not failed if all its answers are sound and equal.
    """
    fail_if(sampling.greedy, "candidates: greedy sampling gives equal answers; set greedy to false")
    fail_if(
        len(temperatures) < 2,
        f"candidates: expected two or more temperatures, found {temperatures}",
    )
    ledger.notes.update(answers=0, left_out={})

    async def sampled(record: Prompt) -> tuple[Prompt, list[Completion | Failed]]:
        return record, await _answers(record, temperatures, sampling, seed)

    for record, answers in run(model, sampled, records, "candidates"):
        ledger.count_in()
        candidates = _different(temperatures, answers, ledger)
        row: Candidates = {"id": record["id"], "prompt": record["prompt"], "candidates": candidates}
        if len(candidates) >= 2:
            yield row
        elif all(map(_is_usable, answers)):
            ledger.drop(EQUAL, record=row, bad=False)
        else:
            ledger.drop(TOO_FEW, record=row)


async def _answers(
    record: Prompt, temperatures: Sequence[float], sampling: Sampling, seed: int
) -> list[Completion | Failed]:
    """The answers to one prompt, one for each temperature."""
    return await replies(
        [
            Turn(
                single_turn(record["prompt"]),
                sampling.model_copy(update={"temperature": temperature}),
                derived_seed(seed, "candidate", index),
                f"candidate {index + 1} of {len(temperatures)}",
            )
            for index, temperature in enumerate(temperatures)
        ]
    )


def _different(
    temperatures: Sequence[float], answers: Sequence[Completion | Failed], ledger: Ledger
) -> list[Candidate]:
    """The usable answers to one prompt, each text once, with the temperature it came at first."""
    found: dict[str, float] = {}
    left_out: Counter[str] = Counter(ledger.notes["left_out"])
    for temperature, reply in zip(temperatures, answers, strict=True):
        reason = reply.reason if isinstance(reply, Failed) else _unusable(reply, found)
        if isinstance(reply, Failed) or reason:
            left_out[reason] += 1
        else:
            found[reply.text] = temperature
    ledger.notes["answers"] += len(answers)
    ledger.notes["left_out"] = dict(left_out)
    return [{"temperature": temperature, "text": text} for text, temperature in found.items()]


def _is_usable(reply: Completion | Failed) -> bool:
    return not isinstance(reply, Failed) and not _unusable(reply, {})


def _unusable(reply: Completion, found: dict[str, float]) -> str:
    """Why an answer cannot be used; empty if it can."""
    if reply.finish == "length":
        return "unfinished"
    if not reply.text:
        return "empty"
    return "repeated" if reply.text in found else ""
