"""Ask a model behind an OpenAI-compatible chat API: many requests in flight, each answer kept.

The key is read from the environment when it is needed and goes into one HTTP header, nowhere else:
wherever a server might send it back, it is blotted out before anything looks at the answer.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict, Field
from requests.auth import AuthBase

from cai.digests import digest
from cai.errors import UserError, fail_if
from cai.generation.client import Failed
from cai.generation.http import SHOWN, Refused, Transient, blot, exchange, in_flight, persist
from cai.generation.journal import Journal
from cai.generation.serving import ServerFailed
from cai.progress import Progress
from cai.templates import Message

GIVE_UP_AFTER = 24  # failures in a row: the service is at fault, not the conversations
NOT_THERE = (301, 302, 303, 307, 308, 404, 405, 410)


class ChatSettings(BaseModel):
    """How the API is asked. Only ``max_tokens``, ``temperature`` and ``top_p`` change an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(1024, ge=1, description="Most tokens of an answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the most probable answer.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of this probability mass; 1: all.")
    in_flight: int = Field(8, ge=1, description="Requests sent at a time.")
    timeout: float = Field(180, gt=0, description="Seconds that an answer may take.")
    retries: int = Field(10, ge=1, description="Attempts before a conversation counts as failed.")


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
        self._stop = threading.Event()
        self._local = threading.local()

    def answers(self, conversations: Sequence[Sequence[Message]], what: str) -> list[str | Failed]:
        """The model's next turn in each conversation, in their order.

        Args:
            conversations: each a list of messages; equal ones are asked once.
            what: names the work in the progress line.

        Raises:
            UserError: no key, a key that is refused, or no such service or model.
            ServerFailed: the service failed many times in a row; good answers are in the journal.
        """
        bodies = {self._key(messages): self._body(messages) for messages in conversations}
        left = [key for key in bodies if key not in self._journal]
        failed: dict[str, Failed] = {}
        with Progress(len(bodies), what) as progress:
            progress.advance(len(bodies) - len(left), reused=True)
            for key, answer in self._ask_all(left, bodies):
                if isinstance(answer, Failed):
                    failed[key] = answer
                else:
                    self._journal.put(key, answer, self._model, self._sampling())
                progress.advance()
        keys = map(self._key, conversations)
        return [failed.get(key) or self._journal.get(key) for key in keys]

    def _ask_all(
        self, keys: list[str], bodies: dict[str, dict]
    ) -> Iterator[tuple[str, str | Failed]]:
        """Yield ``(key, answer)`` as they come; give up when nothing succeeds any more."""
        if not keys:
            return
        secret = self._secret()
        self._stop = threading.Event()
        failures = 0

        def ask(key: str) -> str | Failed:
            return self._ask(bodies[key], secret)

        for key, answer in in_flight(ask, keys, self._settings.in_flight, self._stop):
            failures = failures + 1 if isinstance(answer, Failed) else 0
            if failures == GIVE_UP_AFTER:
                raise ServerFailed(
                    f"{self._url}: {failures} requests in a row failed; the last: {answer.reason}"
                )
            yield key, answer

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        return {
            "model": self._model,
            "messages": list(messages),
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
        }

    def _sampling(self) -> str:
        """What the journal names the sampling by."""
        return digest({**self._body([]), "model": None})[:8]

    def _key(self, messages: Sequence[Message]) -> str:
        return digest(["chat", self._url, self._body(messages)])

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

    def _ask(self, body: dict[str, Any], secret: str | None) -> str | Failed:
        try:
            return persist(lambda: self._post(body, secret), self._settings.retries, self._stop)
        except Refused as error:
            if error.status in (401, 403):
                raise UserError(
                    f"{self._url} refuses the key in {self._key_variable}: {error}"
                ) from None
            if error.status in NOT_THERE:
                raise UserError(
                    f"{self._url}: no such service, or no model {self._model!r}: {error}"
                ) from None
            return Failed(f"the judge refuses: {error}")
        except Transient as error:
            return Failed(f"no answer from the judge: {error}")

    def _post(self, body: dict[str, Any], secret: str | None) -> str:
        text = exchange(
            self._session(secret),
            "POST",
            self._url,
            timeout=self._settings.timeout,
            secret=secret,
            json=body,
        )
        try:
            answer = json.loads(text)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            raise Transient(f"unexpected answer {text[:SHOWN]!r}") from None
        if not isinstance(answer, str) or not answer.strip():
            raise Transient("an empty answer")
        return blot(answer, secret)  # again: JSON may spell the same text in another way

    def _session(self, secret: str | None) -> requests.Session:
        """This thread's connection, kept open between requests."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.auth = _Bearer(secret)
        return self._local.session


class _Bearer(AuthBase):
    """The key as a header. As an auth object, or ``~/.netrc`` would take its place."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._secret is not None:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        return request
