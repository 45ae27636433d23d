"""Servers that answer too slowly, too much, or with a bomb."""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from cai.asking.transport.http import Garbled, OutOfService, TimedOut, Transient, exchange
from cai.asking.transport.session import open_session

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MB = 10**6


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A server that has read a request and then does as told with the connection."""
    listeners = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_answer, args=[connection, answer], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for listener in listeners:
        listener.close()


def _answer(connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    with connection:
        try:
            take(connection)
            answer(connection)
        except OSError:
            pass  # the client hung up


def take(connection: socket.socket) -> None:
    """Read a request, whose body is {}."""
    received = b""
    while not received.endswith(b"\r\n\r\n{}") and (piece := connection.recv(65536)):
        received += piece


def ask(url: str, timeout: float = 5.0, **options) -> str:
    return exchange(open_session(), "POST", url, **{"timeout": timeout, "json": {}, **options})


def dripping(before: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b" "),  # one chunk of a megabyte
        (HEAD + b"\r\n", b" "),  # until the connection ends
        (b"HTTP/1.1 200 OK\r\n", b"X"),  # its head never ends
        (b"", b"\r"),
    ],
)
def test_an_answer_that_drips_is_late_all_the_same(raw, before, piece):
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer within 0\.5 s"):
        ask(raw(dripping(before, piece)), timeout=0.5)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 200000000\r\n\r\n",
        HEAD + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
    ],
)
def test_an_endless_answer_costs_little(raw, head):
    def flood(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(2000):
            connection.sendall(b"x" * 100_000)

    tracemalloc.start()
    with pytest.raises(Garbled, match="more than 1 MB"):
        ask(raw(flood), most=MB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * MB


def bomb(size: int, packing: int = 31) -> bytes:
    packer = zlib.compressobj(9, wbits=packing)
    zeros = b"0" * MB
    return b"".join(packer.compress(zeros) for _ in range(size // MB)) + packer.flush()


@pytest.mark.parametrize(("name", "packing"), [(b"gzip", 31), (b"deflate", 15), (b"deflate", -15)])
def test_what_unpacks_to_a_gigabyte_is_not_unpacked(raw, name, packing):
    body = bomb(100 * MB, packing)

    def answer(connection: socket.socket) -> None:
        head = HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (name, len(body))
        connection.sendall(head + body)

    tracemalloc.start()
    with pytest.raises(Garbled, match="more than 1 MB"):
        ask(raw(answer), most=MB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MB


@pytest.mark.parametrize(
    ("packing", "body", "expected"),
    [
        (b"gzip", gzip.compress(b'{"a": 1}', mtime=0), '{"a": 1}'),
        (b"gzip", gzip.compress(b"ab", mtime=0) + gzip.compress(b"cd", mtime=0), "abcd"),
        (b"deflate", zlib.compress(b"abc"), "abc"),
        (b"identity", b"abc", "abc"),
        (b"gzip", b"no gzip", None),
        (b"br", b"abc", None),
    ],
)
def test_packed_answers(raw, packing, body, expected):
    def answer(connection: socket.socket) -> None:
        head = HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (packing, len(body))
        connection.sendall(head + body)

    url = raw(answer)
    if expected is None:
        with pytest.raises(Garbled):
            ask(url)
    else:
        assert ask(url) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        HEAD + b"Content-Length: 100\r\n\r\nshort",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_a_cut_or_broken_answer_may_pass(raw, answer):
    with pytest.raises(Transient) as caught:
        ask(raw(lambda connection: connection.sendall(answer)), timeout=2)
    assert "\n" not in str(caught.value)


def test_an_error_of_any_length_is_sorted(raw):
    body = b"the prompt is too long " * 100_000

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with pytest.raises(OutOfService) as caught:
        ask(raw(answer))
    assert len(str(caught.value)) < 600


def test_a_connection_is_used_again(raw):
    accepted = []

    def answer(connection: socket.socket) -> None:
        accepted.append(connection)
        for _ in range(3):
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\nhi")
            take(connection)

    url, session = raw(answer), open_session()
    for _ in range(3):
        assert exchange(session, "POST", url, timeout=5, json={}) == "hi"
    assert len(accepted) == 1
