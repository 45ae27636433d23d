"""First answers of a model to prompts."""

from collections.abc import Iterator, Sequence

from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.client import Completion, Failed
from cai.files.records import Ledger, Record
from cai.models.sampling import Sampling
from cai.models.templates import Message, single_turn

UNFINISHED = "unfinished"


def answer(
    model: ChatModel,
    records: Sequence[Record],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
    what: str = "answer",
    before: Sequence[Message] = (),
) -> Iterator[tuple[Record, Completion]]:
    """Ask each record's ``prompt`` once; what failed is dropped with its reason.

    Yields each record with its completion; ``finish`` says whether it ended by itself. The turns
    ``before`` precede each prompt.
    """
    ledger.count_in(len(records))
    conversations = [[*before, *single_turn(record["prompt"])] for record in records]
    replies = model.replies(conversations, sampling, derived_seed(seed, what), what)
    for record, reply in zip(records, replies, strict=True):
        if isinstance(reply, Failed):
            ledger.drop(reply.reason, record=record)
        else:
            yield record, reply


def answers_at(
    temperatures: Sequence[float],
    model: ChatModel,
    records: Sequence[Record],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
) -> Iterator[tuple[Record, Completion]]:
    """Ask each record's prompt once for each temperature, each time with a seed of its own.

    Temperature 0 is greedy. Yields records as :func:`answer` does, with ``prompt_id``, their
    ``temperature`` and, as ``id``, that of the prompt and the number of the answer. More
    temperatures leave the answers to the first ones as they are.
    """
    for number, temperature in enumerate(temperatures):
        greedy = {"greedy": True} if temperature == 0 else {"temperature": temperature}
        how = sampling.model_copy(update={"greedy": False, **greedy})
        for record, reply in answer(model, records, how, seed, ledger, f"sample {number + 1}"):
            own = {"prompt_id": record["id"], "id": f"{record['id']}.{number}"}
            yield {**record, **own, "temperature": temperature}, reply


def respond(
    model: ChatModel,
    records: Sequence[Record],
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
    keep_unfinished: bool = True,
    few_shot: Sequence[Sequence[Message]] = (),
) -> Iterator[Record]:
    """First responses, for critique. Empty ones are dropped: there is nothing to criticise.

    Unfinished ones can be criticised, so they are kept unless the option says otherwise, and
    counted. Few-shot dialogues precede each prompt.
    """
    ledger.notes[UNFINISHED] = 0
    before = [turn for dialogue in few_shot for turn in dialogue]
    for record, reply in answer(model, records, sampling, seed, ledger, "response", before):
        row = {
            "id": record["id"],
            "prompt": record["prompt"],
            "response": reply.text,
            "finish": reply.finish,
        }
        unfinished = reply.finish == "length"
        ledger.notes[UNFINISHED] += unfinished
        if not reply.text:
            ledger.drop("empty response", record=row)
        elif unfinished and not keep_unfinished:
            ledger.drop("unfinished response", record=row)
        else:
            yield row
