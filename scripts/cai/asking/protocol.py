"""What the client and the protocols of servers share: questions, and answers in one form."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, runtime_checkable
from typing import Protocol as Interface

from cai.asking.journal.entries import REFUSAL, Journal, is_refusal
from cai.asking.transport.faults import Fault
from cai.asking.transport.pool import Pool
from cai.asking.usage import Usage

END_OF_TEXT = "<|endoftext|>"  # NeMo's name for the tokenizer's EOS, whatever its text is


@dataclass(frozen=True)
class Failed:
    """Why there is no answer for one prompt.

    Attributes:
        reason: as ledgers count it.
        kept: what the journal holds in place of an answer, so that it is not asked again; None for
            what may be answered another time.
    """

    reason: str
    kept: Mapping[str, str] | None = field(default=None, compare=False)

    @classmethod
    def refused(cls, fault: Fault) -> "Failed":
        """A prompt that the service will not answer."""
        return cls(_refused(fault.cause), {REFUSAL: fault.cause, "said": fault.reason})

    @classmethod
    def kept_as(cls, value: Any) -> "Failed | None":
        """What a value of the journal says of a refusal; None if it is an answer."""
        if not is_refusal(value):
            return None
        cause = str(value[REFUSAL])  # older journals have the model's own words here
        return cls(_refused(cause if re.fullmatch("[a-z_]{1,40}", cause) else "the model"), value)


def _refused(cause: str) -> str:
    return f"refused by the service ({cause})"


class Question(NamedTuple):
    """A text to continue.

    Attributes:
        key: what the journal knows its answer by.
        prompt: the text.
        parameters: canonical JSON, in the names of NeMo's server; with END_OF_TEXT for the EOS.
        draw: what seeds and the order of questions follow from: a digest of what is asked, without
            the model. So a model that is made again, or asked elsewhere, is asked the same way.
        chooses: whether the probability of the answer (A) is asked for, not a text.
    """

    key: str
    prompt: str
    parameters: str
    draw: str
    chooses: bool = False


class Token(NamedTuple):
    """A token's text and its natural log-probability, which the reader has to check.

    See :func:`cai.asking.transport.received.logprob_of`: a token that nobody reads may have any.
    """

    text: str
    logprob: Any


class Reply(NamedTuple):
    """What a server answered to a question.

    Attributes:
        text: what was generated; a stop text may be at its end. None if it cannot be separated from
            the prompt, which the server has not repeated as it was.
        ended: whether it is known that generation ended by itself, by EOS or a stop text.
        used: numbers of tokens by kind, see :class:`cai.asking.usage.Usage`.
        tokens: with log-probabilities, if they were asked for: up to the end of the text, and
            perhaps those of the prompt before.
    """

    text: str | None
    ended: bool
    used: Mapping[str, int] | None = None
    tokens: Sequence[Token] = ()


Batch = Sequence[Question]  # questions that are asked together
Replies = list[Reply | Failed]


class Protocol(Interface):
    """How one kind of server is asked; it retries, and finds out which prompts are at fault.

    ``scores_prompts``: whether it gives the log-probabilities of a prompt's own tokens.
    """

    scores_prompts: bool

    def plan(self, questions: Sequence[Question], journal: Journal) -> list[list[Question]]:
        """The batches that are left to ask, in their order."""

    def ask(
        self, batches: Sequence[Batch], usage: Usage, stop: threading.Event
    ) -> Iterator[tuple[Batch, Replies]]:
        """Ask; yield questions of equal parameters with their replies, as they come.

        Starts the server if need be.

        Raises:
            ServerFailed: it died, fell silent or is broken.
            UserError: it refuses what is asked of it, whatever the prompt.
        """


@runtime_checkable
class Flowing(Protocol, Interface):
    """A protocol of single questions, each with a seed of its own: their order means nothing."""

    def pool(self, usage: Usage, stop: threading.Event) -> Pool[Question, Reply | Failed]:
        """What asks questions as they come; the server is started, if need be.

        Raises:
            ServerFailed, UserError: as :meth:`Protocol.ask`; the pool's results raise them, too.
        """
