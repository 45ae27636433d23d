"""What callers of the endpoint send, and what they get: OpenAI's forms, as far as they are served.

Source: OpenAI's API reference, /v1/chat/completions and /v1/completions; the sampling parameters
beyond them are vLLM's.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.client import Completion, Request
from cai.core.cli import describe
from cai.core.errors import UserError, fail_if
from cai.data.dialogues import Malformed, checked, refuse_marks
from cai.files.records import Record
from cai.models.sampling import Sampling
from cai.models.templates import Message, Role

MOST_ANSWERS = 128  # to one request
HARMLESS = {"user", "store", "metadata", "stream_options", "service_tier", "safety_identifier"}
ROLES: dict[str, Role] = {"developer": "system", **{role: role for role in get_args(Role)}}


class Asked(BaseModel):
    """What both forms share."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    min_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = None
    repetition_penalty: float | None = Field(None, gt=0)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = Field(None, ge=1, le=MOST_ANSWERS)
    stream: bool | None = None

    def requests(self, model: ChatModel, default: Sampling) -> list[Request]:
        """What the model is asked: ``n`` requests for each prompt, each with a seed of its own.

        Raises:
            UserError: something of it is not served.
        """
        raise NotImplementedError

    def sampling(self, default: Sampling) -> Sampling:
        """How the answer is sampled: as asked, else as the run's evaluation samples."""
        names = ("max_tokens", "min_tokens", "top_p", "repetition_penalty")
        given = {name: getattr(self, name) for name in names}
        if self.top_k is not None:
            given["top_k"] = max(self.top_k, 0)  # -1 is vLLM's name for none
        if self.temperature is not None:
            given["greedy"] = self.temperature == 0
            given["temperature"] = self.temperature or None
        changes = {name: value for name, value in given.items() if value is not None}
        try:
            return Sampling.model_validate(default.model_dump() | changes)
        except ValidationError as error:
            raise UserError(describe(error)) from None

    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    def seeds(self) -> Iterator[int]:
        """A seed for each of the ``n`` answers: drawn, if none is given."""
        first = secrets.randbits(31) if self.seed is None else self.seed
        for number in range(self.n or 1):
            yield derived_seed(first, number) if number else first % 2**31


class Part(BaseModel):
    """A part of a turn's content."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """A turn of a conversation."""

    role: str
    content: str | list[Part]

    def message(self) -> Message:
        """The turn with its text in one piece."""
        fail_if(self.role not in ROLES, f"messages: role: found {self.role!r}")
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return {"role": ROLES[self.role], "content": text}


class ChatAsked(Asked):
    """The body of a request to /v1/chat/completions."""

    messages: list[Turn]
    max_completion_tokens: int | None = Field(None, ge=1)

    def requests(self, model: ChatModel, default: Sampling) -> list[Request]:
        """See :meth:`Asked.requests`; the conversation is rendered in the model's template."""
        messages = [turn.message() for turn in self.messages]
        try:
            refuse_marks(checked(messages), [model.template])
        except Malformed as error:
            raise UserError(f"messages: {error}") from None
        fail_if(messages[-1]["role"] != "user", "messages: the last turn must be the user's")
        fail_if(
            messages[0]["role"] == "system" and not model.template.system,
            "messages: the model's template has no system turn",
        )
        self.max_tokens = self.max_completion_tokens or self.max_tokens
        sampling, stops = self.sampling(default), (*model.template.stop, *self.stops())
        return [
            Request(model.template.prompt(messages), sampling, seed, stops, model.template.add_bos)
            for seed in self.seeds()
        ]


class TextAsked(Asked):
    """The body of a request to /v1/completions."""

    prompt: str | list[str]

    def requests(self, model: ChatModel, default: Sampling) -> list[Request]:
        """See :meth:`Asked.requests`; the prompts are taken as they are."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        fail_if(not prompts, "prompt: found none")
        sampling = self.sampling(default)
        return [
            Request(prompt, sampling, seed, self.stops(), model.template.add_bos)
            for prompt in prompts
            for seed in self.seeds()
        ]


def parsed(body: Any, form: type[Asked], name: str) -> Asked:
    """The body of a request to the model of this name.

    What would change the answer and is not served is refused, unless it asks for nothing.

    Raises:
        UserError: the field, what was found.
    """
    try:
        asked = form.model_validate(body)
    except ValidationError as error:
        raise UserError(describe(error)) from None
    for field, value in (asked.model_extra or {}).items():
        nothing = not value or (field, value) == ("best_of", 1)
        fail_if(not nothing and field not in HARMLESS, f"{field}: is not served, found {value!r}")
    fail_if(asked.model not in (None, name), f"model: found {asked.model!r}; served is {name!r}")
    return asked


def answered(
    asked: Asked, name: str, answers: Sequence[Completion], usage: dict[str, int]
) -> Record:
    """The body of an answer."""
    is_chat = isinstance(asked, ChatAsked)
    return {
        "id": ("chatcmpl-" if is_chat else "cmpl-") + secrets.token_hex(12),
        "object": "chat.completion" if is_chat else "text_completion",
        "created": int(time.time()),
        "model": name,
        "choices": [
            {"index": place, "finish_reason": answer.finish, "logprobs": None}
            | (
                {"message": {"role": "assistant", "content": answer.text}}
                if is_chat
                else {"text": answer.text}
            )
            for place, answer in enumerate(answers)
        ],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }


def as_chunk(answer: Record) -> Record:
    """The whole answer as the one chunk of a stream."""
    choices = [
        {("delta" if key == "message" else key): value for key, value in choice.items()}
        for choice in answer["choices"]
    ]
    is_chat = answer["object"] == "chat.completion"
    name = "chat.completion.chunk" if is_chat else answer["object"]
    return answer | {"object": name, "choices": choices}
