"""First answers of a model to prompts."""

from collections.abc import Iterator, Sequence
from typing import NotRequired, TypeVar

from cai.asking.chat_model import ChatModel, Turn, derived_seed
from cai.asking.client import Completion, Failed
from cai.asking.record_chains import reply, run
from cai.files.lazily import Rows
from cai.files.records import Ledger, Prompt
from cai.models.sampling import Sampling
from cai.models.templates import Message, single_turn

UNFINISHED = "unfinished"
Asked = TypeVar("Asked", bound=Prompt)


class Response(Prompt):
    """A first response; ``finish`` is "stop" or, where it was cut, "length"."""

    response: str
    finish: str


class EvaluationPrompt(Prompt):
    """A prompt of an evaluation, with its set, such as harmful or helpful."""

    set: str


class Answered(EvaluationPrompt):
    """What most readers need of an answer."""

    answer: str


class Answer(Answered):
    """An answer of the evaluation; the last two fields are those of one of several to a prompt."""

    finish: str
    prompt_id: NotRequired[str]
    temperature: NotRequired[float]


def answer(
    model: ChatModel,
    records: Rows[Asked],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
    what: str = "answer",
    before: Sequence[Message] = (),
) -> Iterator[tuple[Asked, Completion]]:
    """Ask each record's ``prompt`` once; what failed is dropped with its reason.

    Yields each record with its completion; ``finish`` says whether it ended by itself. The turns
    ``before`` precede each prompt.
    """
    own_seed = derived_seed(seed, what)

    async def answered(record: Asked) -> tuple[Asked, Completion | Failed]:
        asked = [*before, *single_turn(record["prompt"])]
        return record, await reply(Turn(asked, sampling, own_seed, what))

    for record, found in run(model, answered, records, what):
        ledger.count_in()
        if isinstance(found, Failed):
            ledger.drop(found.reason, record=record)
        else:
            yield record, found


def evaluated(
    model: ChatModel,
    records: Rows[EvaluationPrompt],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
) -> Iterator[Answer]:
    """One answer to each prompt of an evaluation, as :func:`answer` asks for it."""
    for record, found in answer(model, records, sampling, seed, ledger):
        yield {
            "id": record["id"],
            "prompt": record["prompt"],
            "set": record["set"],
            "answer": found.text,
            "finish": found.finish,
        }


def evaluated_at(
    temperatures: Sequence[float],
    model: ChatModel,
    records: Rows[EvaluationPrompt],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
) -> Iterator[Answer]:
    """Ask each record's prompt once for each temperature, each time with a seed of its own.

    Temperature 0 is greedy. The ``id`` is that of the prompt and the number of the answer. More
    temperatures leave the answers to the first ones as they are.
    """
    for number, temperature in enumerate(temperatures):
        greedy = {"greedy": True} if temperature == 0 else {"temperature": temperature}
        how = sampling.model_copy(update={"greedy": False, **greedy})
        for record, found in answer(model, records, how, seed, ledger, f"sample {number + 1}"):
            yield {
                "id": f"{record['id']}.{number}",
                "prompt": record["prompt"],
                "set": record["set"],
                "prompt_id": record["id"],
                "temperature": temperature,
                "answer": found.text,
                "finish": found.finish,
            }


def respond(
    model: ChatModel,
    records: Rows[Prompt],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
    keep_unfinished: bool = True,
    few_shot: Sequence[Sequence[Message]] = (),
) -> Iterator[Response]:
    """First responses, for critique. Empty ones are dropped.

    Unfinished ones can be criticised, so they are kept unless the option says otherwise, and
    counted. Few-shot dialogues precede each prompt.
    """
    ledger.notes[UNFINISHED] = 0
    before = [turn for dialogue in few_shot for turn in dialogue]
    for record, found in answer(model, records, sampling, seed, ledger, "response", before):
        row: Response = {
            "id": record["id"],
            "prompt": record["prompt"],
            "response": found.text,
            "finish": found.finish,
        }
        unfinished = found.finish == "length"
        ledger.notes[UNFINISHED] += unfinished
        if not found.text:
            ledger.drop("empty response", record=row)
        elif unfinished and not keep_unfinished:
            ledger.drop("unfinished response", record=row)
        else:
            yield row
