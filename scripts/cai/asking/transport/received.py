"""Checks of what a server sends, before anything relies on it.

A whole answer that is in no known form is :class:`~cai.asking.transport.http.Garbled` and may pass.
A value that is wrong in an answer of the right form is :class:`Unfit`: then that record fails, with
its reason. Nothing else is raised here, whatever a server sends.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from cai.asking.transport import faults
from cai.asking.transport.faults import Fault
from cai.asking.transport.http import Garbled, Refused, raised
from cai.core.shown import one_line

ROUNDING = 0.01  # nats over 0 that a log-probability in bfloat16 may have
LARGEST = 3.5e38  # of a number in float32
MOST_TOKENS = 10**9  # that an answer is believed to have taken

End = Literal["stop", "length"]
STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed")
CUT = ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "incomplete")
FILTERED = (
    *("content_filter", "content_filtered", "safety", "refusal", "guardrail_intervened"),
    *("sensitive", "prohibited_content", "blocklist", "spii", "recitation", "error_toxic"),
)
UNSAID = (None, "", "null", "none")


class Unfit(Exception):
    """A value of an answer that is not what it must be; the message says what was found."""


def decoded(text: str, address: str) -> Any:
    """An answer as JSON, sorted if it is an error that came as an answer.

    Raises:
        Garbled: it is no JSON, or nested so deep or of numbers so long that nobody means it.
        Transient, Refused, OutOfService: it is an error, see :mod:`cai.asking.transport.faults`.
    """
    try:
        answer = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise garbled(text) from None
    fault = faults.of_answer(answer)
    if fault is not None:
        raise raised(fault, address)
    return answer


def garbled(text: str) -> Garbled:
    """What stands for an answer in no known form."""
    return Garbled(f"unexpected answer {one_line(text, 80)!r}")


def text_of(value: Any, what: str = "text") -> str:
    """A text that encodes: halves of surrogate pairs become U+FFFD.

    Raises:
        Unfit: it is no text.
    """
    if not isinstance(value, str):
        raise Unfit(f"the {what} is no text: {_found(value)}")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def texts_of(value: Any, what: str = "tokens") -> list[str]:
    """A list of texts, each as of :func:`text_of`."""
    if not isinstance(value, list):
        raise Unfit(f"the {what} are no list: {_found(value)}")
    return [text_of(each, what) for each in value]


def number_of(value: Any, what: str) -> float:
    """A finite number that float32 can hold.

    Raises:
        Unfit: it is none.
    """
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    if not fine or not -LARGEST <= value <= LARGEST:  # compares integers of any length, and NaN
        raise Unfit(f"the {what} is no number: {_found(value)}")
    return float(value)


def logprob_of(value: Any) -> float:
    """A log-probability in nats: at most 0, but for what rounding adds.

    Raises:
        Unfit: it is none.
    """
    logprob = number_of(value, "log-probability")
    if logprob > ROUNDING:
        raise Unfit(f"the log-probability is over 0: {_found(value)}")
    return min(logprob, 0.0)


def probability_of(logprob: Any) -> float:
    """The probability, in [0, 1], that a log-probability stands for."""
    return math.exp(logprob_of(logprob))


def end_of(value: Any, unsaid: End = "stop") -> End:
    """How an answer ended, by ``finish_reason``.

    Args:
        value: of the field.
        unsaid: how it ended if the service does not say; see :func:`end_by_length`.

    Raises:
        Refused: by a content filter.
        Garbled: in a way that is not known, or in an error.
    """
    name = value.strip().lower() if isinstance(value, str) else value
    if name in UNSAID:
        return unsaid
    if name in STOPPED:
        return "stop"
    if name in CUT:
        return "length"
    if name in FILTERED:
        reason = f"the answer ended with {name}"
        raise Refused(reason, fault=Fault("prompt", "content_filter", reason, 200))
    raise Garbled(f"the answer ended in an unknown way: {_found(value)}")


def end_by_length(tokens: Mapping[str, int], most: int | None) -> End:
    """How an answer ended of which nothing says it: cut off, if it is as long as allowed."""
    return "length" if most is not None and tokens.get("answer", 0) >= most else "stop"


def tokens_of(usage: Any) -> dict[str, int]:
    """The numbers of tokens of prompt and answer in ``usage``; {} if the server does not say."""
    fields = usage if isinstance(usage, Mapping) else {}
    counts: dict[str, Any]
    counts = {"prompt": fields.get("prompt_tokens"), "answer": fields.get("completion_tokens")}
    fine = all(type(n) is int and 0 <= n <= MOST_TOKENS for n in counts.values())
    return counts if fine else {}


def _found(value: Any) -> str:
    """A value as messages show it; whatever it is, it is short."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "an integer of many digits"
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    return one_line(repr(value), 60)
