"""Small HTTP servers of this machine, with whatever answers a test wants."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What a test's server sends: text, or JSON of anything else."""

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Call:
    """A request that a test's server has received."""

    body: Any
    headers: dict[str, str]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that hung up is no news here."""


class Loopback:
    """An HTTP server of this machine that answers PUT and POST with ``answer(call)``.

    To GET it answers 404, but names one model to who asks for those of an OpenAI-compatible server.
    """

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self.calls: list[Call] = []
        owner, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listed = Answer({"data": [{"id": "tiny"}]})
                self._send(listed if self.path == "/v1/models" else Answer("", 404))

            def do_PUT(self) -> None:
                length = int(self.headers["Content-Length"])
                call = Call(json.loads(self.rfile.read(length)), dict(self.headers))
                with lock:
                    owner.calls.append(call)
                self._send(answer(call))

            do_POST = do_PUT

            def _send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
