"""The endpoint itself: HTTP on this machine's loopback interface."""

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import ValidationError

from cai.asking.chat_model import ChatModel
from cai.asking.client import Completion, Failed, Request, Scores
from cai.asking.endpoint.dispatch import Dispatcher, Query
from cai.asking.endpoint.endpoint_form import (
    Asked,
    ChatAsked,
    TemplateAsked,
    TextAsked,
    answered,
    as_chunk,
    parsed,
)
from cai.asking.endpoint.endpoint_tokens import DetokenizeAsked, TokenizeAsked, info
from cai.asking.serving import MODELS, ServerFailed
from cai.core.cli import describe
from cai.core.errors import UserError
from cai.core.shown import one_line
from cai.models.sampling import Sampling

HOST = "127.0.0.1"
LARGEST = 2**24  # bytes of a request
SILENCE = 120.0  # seconds after which a connection on which nothing comes is closed
FORMS: dict[str, type[Asked]] = {
    "/v1/chat/completions": ChatAsked,
    "/v1/completions": TextAsked,
}
# of the tokenizer and the template, without the model itself
FORMS_OF_TEXTS: dict[str, type[TemplateAsked | TokenizeAsked | DetokenizeAsked]] = {
    "/apply-template": TemplateAsked,
    "/tokenize": TokenizeAsked,
    "/detokenize": DetokenizeAsked,
}
INFO = "/tokenizer_info"


class Unserved(Exception):
    """A request that is answered with an error: its HTTP status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Endpoint(ThreadingHTTPServer):
    """Serves one model; its address is :attr:`url`.

    A browser's page must not ask it for its reader: requests must name this machine as their host,
    and JSON as their content, which no page may send to another host unasked.

    Args:
        name: of the model.
        model: its template, tokenizer and context.
        dispatcher: what asks the model's server.
        sampling: what holds where a request does not say.
        port: to listen on; 0: a free one.
        check: raises an error when the model's server has ended; called twice a second.

    Raises:
        UserError: the port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        name: str,
        model: ChatModel,
        dispatcher: Dispatcher,
        sampling: Sampling,
        port: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self._model, self._sampling = name, model, sampling
        self._dispatcher, self._check = dispatcher, check
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"option --port: {port}: {reason}; accepted: a free one") from None

    @property
    def url(self) -> str:
        """The address, up to and with ``/v1``, as OpenAI's clients want it."""
        return f"http://{HOST}:{self.server_port}/v1"

    def service_actions(self) -> None:
        """Called by ``serve_forever`` between requests."""
        self._check()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong; a caller that hung up is no news."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def answer(self, path: str, body: Any) -> tuple[dict[str, Any], bool]:
        """The answer to a request's body, and whether it is wanted as a stream.

        Raises:
            Unserved: with the status and the reason.
        """
        try:
            if path in FORMS_OF_TEXTS:
                return FORMS_OF_TEXTS[path].model_validate(body).answer(self._model), False
            return self._generated(path, body)
        except ValidationError as error:
            raise Unserved(400, describe(error)) from None
        except ServerFailed as error:
            raise Unserved(503, str(error)) from None
        except UserError as error:
            raise Unserved(400, str(error)) from None

    def _generated(self, path: str, body: Any) -> tuple[dict[str, Any], bool]:
        form = FORMS.get(path)
        if form is None:
            raise _unknown(path)
        asked = parsed(body, form, self.name)
        requests = asked.requests(self._model, self._sampling)
        refused = (self._model.refusal(*_length(request)) for request in requests)
        if reason := next(filter(None, refused), None):
            raise Unserved(400, reason.reason)
        answers: list[Completion | Scores] = []
        for reply in self._dispatcher.ask(requests):
            if isinstance(reply, Failed):
                raise Unserved(400 if reply.kept else 502, reply.reason)
            answers.append(reply)
        written = (answer.text for answer in answers if isinstance(answer, Completion))
        usage = {
            "prompt_tokens": sum(map(self._model.length, {_length(r)[0] for r in requests})),
            "completion_tokens": sum(map(self._model.length, written)),
        }
        choices = asked.choices(answers, self._model)
        return answered(asked, self.name, choices, usage), bool(asked.stream)

    def listed(self, path: str) -> dict[str, Any]:
        """What is told of the model itself.

        Raises:
            Unserved: nothing of this name.
        """
        if path == INFO:
            return info(self._model)
        if path != MODELS:
            raise _unknown(path)
        model = {"id": self.name, "object": "model", "created": 0, "owned_by": "this run"}
        return {"object": "list", "data": [model]}


def _length(query: Query) -> tuple[str, int]:
    """A prompt, and the most tokens of its answer."""
    if isinstance(query, Request):
        return query.prompt, query.sampling.max_tokens
    return query.text, 1  # servers generate one more than they score


def _unknown(path: str) -> Unserved:
    served = [*FORMS, *FORMS_OF_TEXTS, MODELS, INFO]
    return Unserved(404, f"{path}: served are {', '.join(served)}")


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"
    timeout = SILENCE

    def do_GET(self) -> None:
        """Name the model."""
        self._answer(self._listed)

    def do_POST(self) -> None:
        """Answer a conversation, or continue a text."""
        self._answer(self._generated)

    def log_message(self, *_: object) -> None:
        """Nothing is logged: what is asked is nobody else's."""

    def _answer(self, make: Callable[[], tuple[dict[str, Any], bool]]) -> None:
        try:
            host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host")
            if host not in (HOST, "localhost"):
                raise Unserved(403, f"expected {HOST} or localhost as the host, found {host!r}")
            body, streams = make()
        except Unserved as error:
            kind = "invalid_request_error" if error.status < 500 else "server_error"
            told = {"message": one_line(str(error)), "type": kind, "param": None, "code": None}
            self._send(error.status, "application/json", json.dumps({"error": told}))
            return
        if streams:
            events = f"data: {json.dumps(as_chunk(body))}\n\ndata: [DONE]\n\n"
            self._send(200, "text/event-stream", events)
        else:
            self._send(200, "application/json", json.dumps(body))

    def _listed(self) -> tuple[dict[str, Any], bool]:
        return self.server.listed(self.path.rstrip("/")), False

    def _generated(self) -> tuple[dict[str, Any], bool]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True  # the body is not read
            raise Unserved(413, f"Content-Length: expected up to {LARGEST}, found {length!r}")
        content = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            raise Unserved(415, "Content-Type: expected application/json")
        try:
            body = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Unserved(400, f"not JSON ({error})") from None
        return self.server.answer(self.path, body)

    def _send(self, status: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
