"""Ask a model behind an OpenAI-compatible chat API: many requests in flight, each answer kept.

The key is read from the environment when it is needed and goes into one HTTP header, nowhere else:
wherever a server might send it back, it is blotted out before anything looks at the answer.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import requests
from pydantic import Field
from requests.auth import AuthBase

from cai.digests import canonical_json, digest
from cai.errors import fail_if
from cai.fields import Section
from cai.generation import checks
from cai.generation.choices import probability_of_a
from cai.generation.http import (
    SHOWN,
    Flow,
    OutOfService,
    Refused,
    Transient,
    address_of,
    exchange,
    in_flight,
    persist,
)
from cai.generation.journal import Journal
from cai.generation.proof import HELLO, Proof
from cai.generation.protocol import Failed
from cai.generation.serving import ServerFailed
from cai.generation.session import open_session
from cai.generation.usage import Usage
from cai.progress import Progress
from cai.templates import Message

GIVE_UP_AFTER = 24  # failures in a row: the service is at fault, not the conversations
CHOICE = MappingProxyType(  # what asks for the probabilities of (A) and (B)
    # 5 alternatives of a token: all services that give any give as many
    {"max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "logprobs": True, "top_logprobs": 5}
)


class ChatSettings(Section):
    """How the API is asked. Only ``max_tokens``, ``temperature`` and ``top_p`` change an answer."""

    max_tokens: int = Field(1024, ge=1, description="Most tokens of an answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the most probable answer.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of this probability mass; 1: all.")
    in_flight: int = Field(
        64, ge=1, description="Most requests sent at a time; fewer while the service is overloaded."
    )
    timeout: float = Field(180, gt=0, description="Seconds that an answer may take.")
    retries: int = Field(10, ge=1, description="Attempts before a conversation counts as failed.")


class ChatRequest(NamedTuple):
    """A conversation to continue.

    Attributes:
        messages: the turns so far.
        sample: requests that are else alike are asked once for each number.
        sampling: ``max_tokens``, ``temperature``, ``top_p`` in place of the client's settings.
        choice: whether the probabilities of (A) and (B) are wanted; they have a sampling of their
            own.
    """

    messages: Sequence[Message]
    sample: int = 0
    sampling: Mapping[str, Any] = MappingProxyType({})
    choice: bool = False


@dataclass(frozen=True)
class ChatAnswer:
    """The model's turn: its text, how it ended, and P(A) if that was asked for and can be read."""

    text: str
    finish: str = "stop"
    p_a: float | None = None


class ChatClient:
    """Asks one model of one service, and remembers its answers in a journal.

    Args:
        url: base address of the service, up to and with ``/v1``.
        model: the model's name there.
        key_variable: the environment variable that holds the key; None sends none.
        journal: where finished answers are kept.
        settings: sampling, timeouts, retries.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key_variable: str | None,
        journal: Journal,
        settings: ChatSettings = ChatSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._key_variable = key_variable
        self._journal = journal
        self._settings = settings
        self.usage = Usage()
        self._flow = Flow(settings.in_flight)
        self._stop = threading.Event()
        self._local = threading.local()
        self._proven: Proof | None = None

    def answers(self, conversations: Sequence[Sequence[Message]], what: str) -> list[str | Failed]:
        """The model's next turn in each conversation, in their order.

        Args:
            conversations: each a list of messages; equal ones are asked once.
            what: names the work in the progress line.

        Raises:
            UserError: no key, a key that is refused, or no such service or model.
            ServerFailed: the service failed many times in a row; good answers are in the journal.
        """
        answers = self.ask([ChatRequest(messages) for messages in conversations], what)
        return [answer if isinstance(answer, Failed) else answer.text for answer in answers]

    def ask(self, requests: Sequence[ChatRequest], what: str) -> list[ChatAnswer | Failed]:
        """As :meth:`answers`, for requests that differ in more than their messages.

        Raises:
            UserError: also if probabilities are wanted and the service gives none.
        """
        keys = [self._key(request) for request in requests]
        bodies = {key: self._body(request) for key, request in zip(keys, requests, strict=True)}
        left = [key for key in bodies if key not in self._journal]
        failed: dict[str, Failed] = {}
        with Progress(len(bodies), what) as progress:
            progress.advance(len(bodies) - len(left), reused=True)
            for key, answer in self._ask_all(left, bodies):
                if isinstance(answer, Failed):
                    failed[key] = answer
                    self.usage.answered(key, None)
                    if answer.kept is not None:
                        self._journal.put(key, answer.kept, self._model, _sampling(bodies[key]))
                else:
                    self._journal.put(key, answer, self._model, _sampling(bodies[key]))
                    self.usage.answered(key, answer.get("tokens"))
                progress.advance()
        return [failed.get(key) or self._kept(key) for key in keys]

    def _kept(self, key: str) -> ChatAnswer | Failed:
        """The answer that the journal holds: a text alone if it was written by an older version."""
        value = self._journal.get(key)
        if isinstance(value, str):
            value = {"text": value}
        self.usage.answered(key, value.get("tokens"), reused=True)
        refused = Failed.kept_as(value)
        return refused or ChatAnswer(value["text"], value.get("finish", "stop"), value.get("p_a"))

    def _ask_all(
        self, keys: list[str], bodies: dict[str, dict]
    ) -> Iterator[tuple[str, dict[str, Any] | Failed]]:
        """Yield ``(key, answer)`` as they come; give up when nothing succeeds any more."""
        if not keys:
            return
        secret = self._secret()
        self._stop = threading.Event()
        failures = 0

        def ask(key: str) -> dict[str, Any] | Failed:
            return self._ask(bodies[key], secret)

        for key, answer in in_flight(ask, keys, self._settings.in_flight, self._stop):
            may_pass = isinstance(answer, Failed) and answer.kept is None
            failures = failures + 1 if may_pass else 0
            if failures == GIVE_UP_AFTER:
                raise ServerFailed(
                    f"{self._url}: {failures} requests in a row failed; the last: {answer.reason}"
                )
            yield key, answer

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        settings = self._settings
        return {
            "model": self._model,
            "messages": list(request.messages),
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **(CHOICE if request.choice else request.sampling),
        }

    def _key(self, request: ChatRequest) -> str:
        known = ["chat", self._url, self._body(request)]
        return digest([*known, request.sample] if request.sample else known)

    def _secret(self) -> str | None:
        """The key, checked: an unsuitable one would be quoted by the HTTP library's own error."""
        name = self._key_variable
        if name is None:
            return None
        secret = os.environ.get(name, "").strip()
        fail_if(not secret, f"{self._url} needs a key: set the environment variable {name}")
        clean = secret.isascii() and secret.isprintable() and " " not in secret
        fail_if(not clean, f"the environment variable {name} does not hold a key: odd characters")
        return secret

    def _ask(self, body: dict[str, Any], secret: str | None) -> dict[str, Any] | Failed:
        try:
            send = partial(self._send, body, secret)
            answer = self._proof(secret).answer(_form(body), send, self._stop)
        except OutOfService as error:
            name = self._key_variable
            key = f"the key in {name}" if name else "requests without a key (key_variable)"
            raise OutOfService(error.address, error.fault, key) from None
        if isinstance(answer, Refused):
            return Failed.refused(answer.fault)
        if isinstance(answer, Transient):
            return Failed(f"no answer from the judge: {answer}")
        return answer

    def _send(self, body: dict[str, Any], secret: str | None) -> dict[str, Any]:
        post = partial(self._post, body, secret)
        return persist(post, self._settings.retries, self._stop, self._flow)

    def _proof(self, secret: str | None) -> Proof:
        """What tells a conversation that fails from a service that fails."""
        if self._proven is None:
            self._proven = Proof(
                self._flow,
                lambda form: self._send(_trivial(form), secret),
                lambda error: ServerFailed(f"{self._url}: refuses all requests: {error}"),
                lambda error: ServerFailed(f"{self._url}: answers nothing: {error}"),
            )
        return self._proven

    def _post(self, body: dict[str, Any], secret: str | None) -> dict[str, Any]:
        """What is kept of the answer: text and finish, or refusal; tokens if told; P(A) if asked.

        Raises:
            Transient: no answer, or one that is in no known form.
            Refused: the service will not answer this request.
            UserError: probabilities were asked for and the service gives none.
        """
        self.usage.sent()
        text = exchange(
            self._session(secret),
            "POST",
            self._url,
            timeout=self._settings.timeout,
            secret=secret,
            json=body,
        )
        answer = checks.decoded(text, address_of(self._url))
        try:
            return self._read(answer, body) | _tokens(answer)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Transient(f"unexpected answer {text[:SHOWN]!r}") from None

    def _read(self, answer: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        choice = answer["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason") or "stop"
        if message.get("refusal") or finish == "content_filter":
            return {"refusal": str(message.get("refusal") or finish)}
        said = message["content"]
        if not isinstance(said, str) or not said.strip():
            raise Transient("an empty answer")
        kept = {"text": said, "finish": str(finish)}
        if not body.get("logprobs"):
            return kept
        tokens = (choice.get("logprobs") or {}).get("content")
        fail_if(
            not tokens,
            f"{self._url}: gives no log-probabilities (logprobs, top_logprobs); count votes "
            "instead: preferences.judges.chat.pairwise.logprobs: false",
        )
        return kept | {"p_a": probability_of_a(tokens, str(finish))}

    def _session(self, secret: str | None) -> requests.Session:
        """This thread's connection, kept open between requests."""
        if not hasattr(self._local, "session"):
            self._local.session = open_session()
            self._local.session.auth = _Bearer(secret)
        return self._local.session


def _tokens(answer: dict[str, Any]) -> dict[str, Any]:
    """The numbers of tokens of prompt and answer, if the service tells them."""
    counts = checks.tokens_of(answer.get("usage"))
    return {"tokens": counts} if counts else {}


def _form(body: Mapping[str, Any]) -> str:
    """What requests have in common: all but the texts of their turns."""
    roles = [turn["role"] for turn in body["messages"]]
    return canonical_json({**body, "messages": roles})


def _trivial(form: str) -> dict[str, Any]:
    """A request of a form with a word in place of each text."""
    body = json.loads(form)
    return {**body, "messages": [{"role": role, "content": HELLO} for role in body["messages"]]}


def _sampling(body: Mapping[str, Any]) -> str:
    """What the journal names the sampling by."""
    return digest({**body, "messages": [], "model": None})[:8]


class _Bearer(AuthBase):
    """The key as a header. As an auth object, or ``~/.netrc`` would take its place."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret is not None:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        return request
