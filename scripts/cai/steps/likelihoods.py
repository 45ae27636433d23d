"""How probable a model finds the answers of another one: what KL divergences are estimated from."""

from typing import TypedDict

from cai.asking.chat_model import ChatModel
from cai.asking.client import Failed
from cai.files.lazily import Rows
from cai.files.records import Ledger
from cai.models.templates import Template, single_turn
from cai.steps.answers import Answer


class Likelihood(TypedDict):
    """The natural logarithm of an answer's probability, given its prompt; ``id`` is the prompt's.

    ``tokens`` are those of the answer, with the end of its turn if it came to an end.
    """

    id: str
    log_probability: float
    tokens: int


def likelihoods(
    model: ChatModel, answers: Rows[Answer], ledger: Ledger, what: str
) -> list[Likelihood]:
    """The log-probability of each answer, in order; what could not be scored is counted.

    It is that of the whole text less that of the prompt alone, both by the same model.
    """
    ledger.count_in(len(answers))
    asked = [
        (single_turn(row["prompt"]), words)
        for row in answers
        for words in ("", _whole(row, model.template))
    ]
    scores = iter(model.log_probabilities(asked, what))
    found: list[Likelihood] = []
    for row in answers:
        prompt, whole = next(scores), next(scores)
        failed = [score for score in (prompt, whole) if isinstance(score, Failed)]
        if failed:
            ledger.drop(failed[0].reason, record=row["id"])
        elif not (isinstance(prompt, Failed) or isinstance(whole, Failed)):
            tokens = _tokens(model, row)
            found.append({"id": row["id"], "log_probability": whole - prompt, "tokens": tokens})
    return found


def _whole(row: Answer, template: Template) -> str:
    """An answer's words, and the end of its turn where it did not run into its limit."""
    end = template.assistant.split("{content}")[1] + template.close
    return row["answer"] + (end if row["finish"] == "stop" else "")


def _tokens(model: ChatModel, row: Answer) -> int:
    asked = single_turn(row["prompt"])
    texts = (model.template.begun(asked, words) for words in (_whole(row, model.template), ""))
    assert model.tokenizer is not None  # log-probabilities need one, too
    whole, prompt = (model.tokenizer.count(text, add_bos=model.template.add_bos) for text in texts)
    return whole - prompt
