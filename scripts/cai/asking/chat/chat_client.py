"""Ask a model behind an OpenAI-compatible chat API: many requests in flight, each answer kept.

The key is read from the environment when it is needed and goes into one HTTP header only. If a
server sends it back, it is removed before anything reads the answer.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.auth import AuthBase

from cai.asking.chat import chat_answer
from cai.asking.chat.chat_form import Form, first_form, learned
from cai.asking.chat.gate import Gate
from cai.asking.journal.entries import UNREADABLE, Journal
from cai.asking.journal.forget import forgetting
from cai.asking.protocol import Failed
from cai.asking.record_chains import Answers, reply, run
from cai.asking.serving import ServerFailed
from cai.asking.stream import Stream
from cai.asking.transport.http import (
    Flow,
    Garbled,
    OutOfService,
    Refused,
    Transient,
    address_of,
    exchange,
    persist,
)
from cai.asking.transport.pool import Pool
from cai.asking.transport.proof import HELLO, Proof
from cai.asking.transport.received import Unfit
from cai.asking.transport.session import open_session
from cai.asking.usage import Usage
from cai.asking.verdicts.final_words import Unreadable
from cai.core.digests import canonical_json, digest
from cai.core.errors import UserError, fail_if
from cai.core.shown import one_line
from cai.models.templates import Message
from cai.settings.chat_service import ChatSettings

GIVE_UP_AFTER = 24  # failures in a row: the service is at fault, not the conversations
CORRECTED_AT_ONCE = 1000  # entries
GARBLED_TRIES = 3  # a service that sends nonsense so often sends it again
ASKS_FOR_A_KEY = (
    "requests without a key (it asks for one: set key_variable, preferences.judges.chat."
    "key_variable, to the name of the environment variable that holds it)"
)
CHOICE = MappingProxyType(  # what asks for the probabilities of (A) and (B)
    # 5 alternatives of a token: all services that give any give as many
    {"max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "logprobs": True, "top_logprobs": 5}
)


class ChatRequest(NamedTuple):
    """A conversation to continue.

    Attributes:
        messages: the turns so far.
        sample: requests that are else alike are asked once for each number.
        sampling: ``max_tokens``, ``temperature``, ``top_p`` in place of the client's settings.
        choice: whether the probabilities of (A) and (B) are wanted; they have a sampling of their
            own.
        read: makes a verdict of the answer.
        expected: how answers should look like that can be read; empty: no matter.
    """

    messages: Sequence[Message]
    sample: int = 0
    sampling: Mapping[str, Any] = MappingProxyType({})
    choice: bool = False
    read: Callable[["ChatAnswer"], Any] | None = None
    expected: str = ""


@dataclass(frozen=True)
class ChatAnswer:
    """The model's turn: its text, how it ended, and P(A) if that was asked for and can be read."""

    text: str
    finish: str = "stop"
    p_a: float | None = None


class _Question(NamedTuple):
    """A request, the body that is sent, and what the journal knows its answer by."""

    key: str
    body: dict[str, Any]
    request: ChatRequest


_Reply = dict[str, Any] | Failed


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
        self._url = completions_url(url)
        self._model = model
        self._key_variable = key_variable
        self._journal = journal
        self._settings = settings
        self.usage = Usage()
        self._flow = Flow(settings.in_flight, proven=False)
        self._form, self._learning = first_form(settings), threading.Lock()
        self._gates: dict[str, Gate] = {}  # by what is expected
        self._corrections: dict[str, Any] = {}
        self._failures = 0  # in a row
        self._unread: dict[str, str] = {}  # what was expected of the answers that cannot be read
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

    @property
    def sent_as(self) -> list[str]:
        """In which form requests are sent, where it is not the usual one."""
        return self._form.described()

    @property
    def remedy(self) -> str:
        """What a user can do about the answers that could not be read; empty if all could."""
        if not self._unread:
            return ""
        expected = ", or ".join(dict.fromkeys(self._unread.values()))
        return f"answers are expected in the form {expected}; {forgetting(self._journal.paths)}"

    def ask(self, requests: Sequence[ChatRequest], what: str) -> list[Any]:
        """As :meth:`answers`, for requests that differ in more than their messages.

        Args:
            requests: what is asked.
            what: names the work in the progress line.

        Returns:
            For each request what it reads of its answer, :class:`Unreadable` too where there is no
            answer; a :class:`ChatAnswer` or :class:`Failed` for one that reads nothing.

        Raises:
            UserError: also if probabilities are wanted and the service gives none, or if something
                is expected and none of the first answers can be read.
        """
        return list(run(self, reply, requests, what))

    @contextmanager
    def stream(self) -> Iterator[Answers]:
        """What answers a :class:`ChatRequest` as :meth:`ask`, for chains of them."""
        self._gates = {expected: gate for expected, gate in self._gates.items() if gate.is_open}
        self._failures = 0
        try:
            with Stream(
                self._question, self._source, self._journal, self._known, self._taken
            ) as stream:
                yield stream
        finally:
            self._correct()
        for gate in self._gates.values():
            self._check(gate, at_end=True)

    def _question(self, request: ChatRequest) -> _Question:
        body = self._body(request)
        known = ["chat", self._url, body]
        key = digest([*known, request.sample] if request.sample else known)
        return _Question(key, body, request)

    def _source(self) -> Pool[_Question, _Reply]:
        """What asks the service."""
        secret, self._stop = self._secret(), threading.Event()

        def ask(question: _Question) -> _Reply:
            self._gate(question.request.expected).enter(self._stop)
            return self._ask(question.body, secret)

        return Pool(ask, self._settings.in_flight, self._stop)

    def _known(self, question: _Question) -> Any:
        """What is read of the answer that the journal holds, a text alone if an older one wrote it.

        Where the journal does not say whether it can be read, that is corrected.
        """
        key, request = question.key, question.request
        value = self._journal.get(key)
        if isinstance(value, str):
            value = {"text": value}
        self.usage.answered(key, value.get("tokens"), reused=True)
        outcome = _outcome(_answer(value), request)
        mark = _mark(outcome)
        if request.read and mark.get(UNREADABLE) != value.get(UNREADABLE):
            plain = {name: item for name, item in value.items() if name != UNREADABLE}
            self._corrections[key] = plain | mark
            if len(self._corrections) == CORRECTED_AT_ONCE:
                self._correct()
        if key not in self._unread:
            self._hear(question, outcome, known=True)
        return outcome

    def _correct(self) -> None:
        self._journal.correct(self._corrections)
        self._corrections = {}

    def _taken(self, finished: Sequence[tuple[_Question, _Reply]]) -> list[Any]:
        """Keep new answers, and read them.

        Raises:
            ServerFailed: no request succeeds any more.
            UserError: none of the first answers can be read.
        """
        outcomes = []
        kept: dict[str, dict[str, Any]] = defaultdict(dict)
        for question, came in finished:
            answer = came if isinstance(came, Failed) else _answer(came)
            value = came.kept if isinstance(came, Failed) else came
            used = None if isinstance(came, Failed) else came.get("tokens")
            self.usage.answered(question.key, used)
            outcome = _outcome(answer, question.request)
            if value is not None:
                sampling = _sampling(question.body)
                kept[sampling][question.key] = {**value, **_mark(outcome)}
            outcomes.append(outcome)
        for sampling, values in kept.items():
            self._journal.put_all(values, self._model, sampling)
        for (question, came), outcome in zip(finished, outcomes, strict=True):
            self._count_failure(came)
            self._check(self._hear(question, outcome))
        return outcomes

    def _count_failure(self, reply: _Reply) -> None:
        failed = isinstance(reply, Failed) and reply.kept is None
        self._failures = self._failures + 1 if failed else 0
        if isinstance(reply, Failed) and self._failures == GIVE_UP_AFTER:
            raise ServerFailed(
                f"{self._url}: {self._failures} requests in a row failed; the last: {reply.reason}"
            )

    def _gate(self, expected: str) -> Gate:
        """The gate before answers of a form; made by whoever comes first."""
        return self._gates.setdefault(expected, Gate(expected))

    def _hear(self, question: _Question, outcome: Any, *, known: bool = False) -> Gate:
        expected = question.request.expected
        gate = self._gate(expected)
        gate.hear(outcome, known=known)
        if _mark(outcome):
            self._unread[question.key] = expected
        return gate

    def _check(self, gate: Gate, *, at_end: bool = False) -> None:
        """End the job where the first answers cannot be read."""
        if not gate.is_shut(at_end=at_end):
            return
        counts = ", ".join(f"{reason}: {count}" for reason, count in gate.unread.most_common())
        said = f", found for example {one_line(gate.example)!r}" if gate.example else ""
        raise UserError(
            f"{address_of(self._url)}: none of the first {gate.unread.total()} answers can be read "
            f"({counts}); expected is {gate.expected}{said}; what was answered is kept; "
            + forgetting(self._journal.paths)
        )

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        settings = self._settings
        body = {
            "model": self._model,
            "messages": list(request.messages),
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **(CHOICE if request.choice else request.sampling),
            **settings.extra,
        }
        return {name: value for name, value in body.items() if name not in settings.leave_out}

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
        except Unfit as error:
            return Failed(f"the judge's answer is damaged: {error}")
        except OutOfService as error:
            name = self._key_variable
            key = f"the key in {name}" if name else ASKS_FOR_A_KEY
            raise OutOfService(error.address, error.fault, key) from None
        if isinstance(answer, Refused):
            return Failed.refused(answer.fault)
        if isinstance(answer, Transient):
            return Failed(f"no answer from the judge: {answer}")
        return answer

    def _send(self, body: dict[str, Any], secret: str | None) -> dict[str, Any]:
        nonsense = 0

        def post() -> dict[str, Any]:
            nonlocal nonsense
            try:
                return self._post(body, secret)
            except Garbled as error:
                nonsense += 1
                if nonsense == GARBLED_TRIES:
                    raise Unfit(one_line(str(error), 100)) from None
                raise

        return persist(post, self._settings.retries, self._stop, self._flow)

    def _proof(self, secret: str | None) -> Proof:
        """Distinguishes a conversation that fails from a service that fails."""
        if self._proven is None:
            self._proven = Proof(
                self._flow,
                lambda form: self._send(_trivial(form), secret),
                lambda error: ServerFailed(f"{self._url}: refuses all requests: {error}"),
                lambda error: ServerFailed(f"{self._url}: answers nothing: {error}"),
            )
        return self._proven

    def _post(self, body: dict[str, Any], secret: str | None) -> dict[str, Any]:
        """What is kept of the answer, see :func:`cai.asking.chat.chat_answer.read`.

        Raises:
            Transient: no answer, or one that is in no known form.
            Unfit: an answer with a value that cannot be.
            Refused: the service will not answer this request.
            UserError: probabilities were asked for and the service gives none.
        """
        form = self._form
        self.usage.sent()
        try:
            text = exchange(
                self._session(secret),
                "POST",
                self._url,
                timeout=self._settings.timeout,
                secret=secret,
                json=form.body(body),
            )
        except (Refused, Transient) as error:
            if not self._learns(form, body, error):
                raise
            return self._post(body, secret)
        return chat_answer.read(text, address_of(self._url), body)

    def _learns(self, form: Form, body: dict[str, Any], error: Refused | Transient) -> bool:
        """Whether a refusal says in which other form the request is taken: then that is tried."""
        settings = self._settings
        fixed = {
            *(["system"] if settings.system != "auto" else []),
            *(["length"] if settings.length_field != "auto" else []),
        }
        with self._learning:
            if self._form != form:  # another thread has learned meanwhile
                return True
            other = learned(form, body, error.fault, fixed)
            if other is None:
                return False
            self._form = other
        change = ", ".join(sorted(set(other.described()) - set(form.described())))
        print(f"{address_of(self._url)}: {error}; trying {change}", file=sys.stderr, flush=True)
        return True

    def _session(self, secret: str | None) -> requests.Session:
        """This thread's connection, kept open between requests."""
        if not hasattr(self._local, "session"):
            self._local.session = open_session()
            self._local.session.auth = _Bearer(secret)
        session: requests.Session = self._local.session
        return session


def completions_url(url: str) -> str:
    """Where a service of this base address takes conversations; a query stays at its end."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urlunsplit(parts._replace(path=path))


def _answer(value: Mapping[str, Any]) -> ChatAnswer | Failed:
    refused = Failed.kept_as(value)
    return refused or ChatAnswer(value["text"], value.get("finish", "stop"), value.get("p_a"))


def _outcome(answer: ChatAnswer | Failed, request: ChatRequest) -> Any:
    """What a request reads of its answer."""
    if request.read is None:
        return answer
    return Unreadable(answer.reason, None) if isinstance(answer, Failed) else request.read(answer)


def _mark(outcome: Any) -> dict[str, str]:
    """What the journal notes of an answer that cannot be read."""
    no_verdict = isinstance(outcome, Unreadable) and outcome.answer is not None
    return {UNREADABLE: outcome.reason} if no_verdict else {}


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
