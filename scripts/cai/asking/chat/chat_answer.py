"""What a chat service answered, as it is kept in the journal, with every field checked."""

from collections.abc import Mapping
from typing import Any

from cai.asking.transport.http import Garbled
from cai.asking.transport.received import (
    Unfit,
    decoded,
    end_by_length,
    end_of,
    garbled,
    logprob_of,
    text_of,
    tokens_of,
)
from cai.asking.verdicts.letters import probability_of_a
from cai.core.errors import UserError
from cai.files.records import Record

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")  # of a message
ANSWERS = ("text", "output_text")  # types of the parts of a content that are the answer


def read(text: str, address: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an answer.

    Args:
        text: what the service sent.
        address: of the service, for messages.
        body: what it was asked; with ``logprobs`` the probability of (A) is read.

    Returns:
        ``refusal`` (the model's words), or ``text`` (without the model's reasoning where that came
        in a field of its own; empty if there was nothing else), ``finish`` (``stop`` or
        ``length``) and, if it was asked for, ``p_a``; ``tokens`` if the service gives them.

    Raises:
        Garbled: it is in no known form, or empty without a reason.
        Unfit: a value of it is not what it must be.
        UserError: probabilities were asked for and the service gives none.
    """
    answer = decoded(text, address)
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        words, thoughts, refusal = _said(message)
    except (LookupError, TypeError, AttributeError):
        raise garbled(text) from None
    tokens = tokens_of(answer.get("usage"))
    counted = {"tokens": tokens} if tokens else {}
    if refusal:
        return {"refusal": refusal, **counted}
    finish = end_of(choice.get("finish_reason"), end_by_length(tokens, body.get("max_tokens")))
    if not words.strip():
        if finish == "stop" and not (thoughts or _thought(answer)):
            raise Garbled("an empty answer")
        return {"text": "", "finish": finish, **counted}
    kept: dict[str, Any] = {"text": words, "finish": finish}
    if body.get("logprobs"):
        kept["p_a"] = probability_of_a(_letters(choice.get("logprobs"), address), finish)
    return kept | counted


def _said(message: Mapping[str, Any]) -> tuple[str, bool, str]:
    """The text of a message, whether there is reasoning beside it, and the words of a refusal."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    for part in parts:
        if not isinstance(part, Mapping):
            raise Unfit(f"a part of the content is no object: {type(part).__name__}")
    texts = [part.get("text") for part in parts if part.get("type") in ANSWERS]
    if not isinstance(content, list):
        texts = [] if content is None else [content]
    words = "".join(text_of(text, "content") for text in texts)
    refused = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    refusal = next((each for each in [message.get("refusal"), *refused] if each), "")
    other = any(part.get("type") not in ANSWERS for part in parts)
    thoughts = other or any(message.get(field) for field in THOUGHTS)
    return words, thoughts, text_of(refusal, "refusal")


def _thought(answer: Mapping[str, Any]) -> bool:
    """Whether the service counts tokens of reasoning, which it does not show."""
    usage = answer.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, Mapping) else None
    return isinstance(details, Mapping) and bool(details.get("reasoning_tokens"))


def _letters(logprobs: Any, address: str) -> list[Record]:
    """The tokens of an answer with their log-probabilities and those of their alternatives."""
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not tokens:
        raise UserError(
            f"{address}: gives no log-probabilities (logprobs, top_logprobs); count votes "
            "instead: preferences.judges.chat.pairwise.logprobs: false"
        )
    return [_token(each, "top_logprobs") for each in _listed(tokens)]


def _token(token: Any, others: str = "") -> Record:
    if not isinstance(token, Mapping):
        raise Unfit(f"a token is no object: {type(token).__name__}")
    known = {
        "token": text_of(token.get("token"), "token"),
        "logprob": logprob_of(token.get("logprob")),
    }
    if others:
        known[others] = [_token(each) for each in _listed(token.get(others) or [])]
    return known


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unfit(f"the tokens are no list: {type(value).__name__}")
    return value
