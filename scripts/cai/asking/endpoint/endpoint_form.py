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
from cai.asking.client import Completion, Request, Scores, Scoring
from cai.asking.endpoint.endpoint_tokens import prompt_of, tokenizer_of
from cai.core.cli import describe
from cai.core.errors import UserError, fail_if
from cai.data.dialogues import Malformed, checked, refuse_marks
from cai.files.records import Record
from cai.models.sampling import Sampling
from cai.models.templates import Message, Role
from cai.models.tokens import Tokenizer

MOST_ANSWERS = 128  # to one request
HARMLESS = {"user", "store", "metadata", "stream_options", "service_tier", "safety_identifier"}
Prompt = str | list[int]
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

    def requests(
        self, model: ChatModel, default: Sampling
    ) -> Sequence[Request] | Sequence[Scoring]:
        """What the model is asked: ``n`` requests for each prompt, each with a seed of its own.

        Raises:
            UserError: something of it is not served.
        """
        raise NotImplementedError

    def choices(self, answers: Sequence[Completion | Scores], model: ChatModel) -> list[Record]:
        """The answers to :meth:`requests` in OpenAI's form."""
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


def conversation(turns: Sequence[Turn], model: ChatModel) -> list[Message]:
    """A conversation that ends with the user's turn.

    Raises:
        UserError: it does not, or it is none that the model's template can render.
    """
    messages = [turn.message() for turn in turns]
    try:
        refuse_marks(checked(messages), [model.template])
    except Malformed as error:
        raise UserError(f"messages: {error}") from None
    fail_if(messages[-1]["role"] != "user", "messages: the last turn must be the user's")
    fail_if(
        messages[0]["role"] == "system" and not model.template.system,
        "messages: the model's template has no system turn",
    )
    return messages


class TemplateAsked(BaseModel):
    """The body of a request to /apply-template, in the form of llama.cpp's server."""

    messages: list[Turn]

    def answer(self, model: ChatModel) -> Record:
        """The text that the model goes on with, without BOS."""
        return {"prompt": model.template.prompt(conversation(self.messages, model))}


class ChatAsked(Asked):
    """The body of a request to /v1/chat/completions."""

    messages: list[Turn]
    max_completion_tokens: int | None = Field(None, ge=1)

    def requests(self, model: ChatModel, default: Sampling) -> list[Request]:
        """See :meth:`Asked.requests`; the conversation is rendered in the model's template."""
        messages = conversation(self.messages, model)
        self.max_tokens = self.max_completion_tokens or self.max_tokens
        sampling, stops = self.sampling(default), (*model.template.stop, *self.stops())
        return [
            Request(model.template.prompt(messages), sampling, seed, stops, model.template.add_bos)
            for seed in self.seeds()
        ]

    def choices(self, answers: Sequence[Completion | Scores], model: ChatModel) -> list[Record]:
        """See :meth:`Asked.choices`: turns."""
        return [
            {"message": {"role": "assistant", "content": answer.text}, **_ended(answer)}
            for answer in answers
            if isinstance(answer, Completion)
        ]


class TextAsked(Asked):
    """The body of a request to /v1/completions.

    With ``echo`` and ``logprobs`` a prompt's own tokens are scored, and nothing is generated.
    """

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(None, ge=0)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=1)

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, each as a text or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = [one for one in self.prompt if isinstance(one, int)]
        return [tokens] if tokens else [one for one in self.prompt if not isinstance(one, int)]

    def requests(
        self, model: ChatModel, default: Sampling
    ) -> Sequence[Request] | Sequence[Scoring]:
        """See :meth:`Asked.requests`; the prompts are taken as they are."""
        fail_if(not self.prompts or not all(self.prompts), "prompt: found none")
        texts = [
            (prompt, model.template.add_bos)
            if isinstance(prompt, str)
            else prompt_of(prompt, model)
            for prompt in self.prompts
        ]
        if self.echo or self.logprobs is not None:
            return self._scorings(texts, model)
        sampling = self.sampling(default)
        return [
            Request(text, sampling, seed, self.stops(), add_bos)
            for text, add_bos in texts
            for seed in self.seeds()
        ]

    def _scorings(self, texts: Sequence[tuple[str, bool]], model: ChatModel) -> list[Scoring]:
        fail_if(
            not self.echo or self.logprobs is None or self.max_tokens not in (0, 1),
            "echo, logprobs: are served together, with max_tokens 0 or 1: they score the prompt",
        )
        fail_if((self.n or 1) > 1, f"n: found {self.n}; accepted with echo: 1")
        count = tokenizer_of(model).count
        return [Scoring(text, count(text, add_bos=bos), bos) for text, bos in texts]

    def choices(self, answers: Sequence[Completion | Scores], model: ChatModel) -> list[Record]:
        """See :meth:`Asked.choices`: texts that go on, or the prompts with their scores."""
        prompts = [prompt for prompt in self.prompts for _ in range(self.n or 1)]
        return [
            {"text": answer.text, **_ended(answer)}
            if isinstance(answer, Completion)
            else self._repeated(prompt, answer, tokenizer_of(model))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _repeated(self, prompt: Prompt, scores: Scores, tokenizer: Tokenizer) -> Record:
        """A prompt with its scores; BOS is among its tokens only if the caller has sent it."""
        tokens = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        text = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
        scored = _scored([tokenizer.text_of(t) for t in tokens], scores, self.max_tokens or 0)
        return {"text": text, "finish_reason": "length", "logprobs": scored}


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


def answered(asked: Asked, name: str, choices: Sequence[Record], usage: dict[str, int]) -> Record:
    """The body of an answer."""
    is_chat = isinstance(asked, ChatAsked)
    return {
        "id": ("chatcmpl-" if is_chat else "cmpl-") + secrets.token_hex(12),
        "object": "chat.completion" if is_chat else "text_completion",
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": place} | choice for place, choice in enumerate(choices)],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }


def _ended(answer: Completion) -> Record:
    return {"finish_reason": answer.finish, "logprobs": None}


def _scored(tokens: Sequence[str], scores: Scores, empty: int) -> Record:
    """The log-probabilities of a prompt's tokens in OpenAI's form; null for one that has none.

    Servers give each token's own and no other's, so ``top_logprobs`` has that alone. ``empty``
    tokens are at the end, in the place of those that are not generated.
    """
    first: list[float | None] = [None] * (len(tokens) - len(scores.logprobs))
    logprobs = [*first, *scores.logprobs, *[None] * empty]
    texts = [*tokens, *[""] * empty]
    top = [
        None if logprob is None else {text: logprob}
        for text, logprob in zip(texts, logprobs, strict=True)
    ]
    return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": top}


def as_chunk(answer: Record) -> Record:
    """The whole answer as the one chunk of a stream."""
    choices = [
        {("delta" if key == "message" else key): value for key, value in choice.items()}
        for choice in answer["choices"]
    ]
    is_chat = answer["object"] == "chat.completion"
    name = "chat.completion.chunk" if is_chat else answer["object"]
    return answer | {"object": name, "choices": choices}
