"""HTTP connections with a deadline for a whole answer and a limit of its size.

The time-out of the HTTP library is for each read (httpx's too), so a server that sends a byte now
and then is never late. Here every read of an answer, its head included, gets the time left until a
deadline.
"""

import http.client
import io
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter

PIECE = 2**16  # bytes that are read at a time

_now = threading.local()  # .deadline: of the request that this thread makes


class TooLarge(Exception):
    """An answer of more bytes than are accepted, packed or unpacked."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Have the requests that this thread makes end by then, a moment of ``time.monotonic()``."""
    _now.deadline = deadline
    try:
        yield
    finally:
        _now.deadline = None


class _Reader(io.RawIOBase):
    """Reads a socket, each time with what is left until the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._raw = sock, sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        deadline = getattr(_now, "deadline", None)
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline has passed")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """Stands in for a socket for http.client, which only makes a file of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        source: Any = _Source(sock)  # of a socket, a response takes the file alone
        super().__init__(source, *args, **options)


@cache
def _with_deadline(connection: type) -> type:
    return type(connection.__name__, (connection,), {"response_class": _Response})


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _with_deadline(type(pool).ConnectionCls)
        return pool


def open_session(connections: int = 1, *, direct: bool = False) -> requests.Session:
    """A session whose answers can be given a deadline (:func:`until`).

    Args:
        connections: that are kept open, for as many threads.
        direct: without the environment's proxies, which must not stand between a node and itself.
    """
    session = requests.Session()
    session.trust_env = not direct
    session.headers["Accept-Encoding"] = "identity"  # what is packed can be a bomb
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=connections))
    return session


def body_of(response: requests.Response, most: int, *, cut: bool = False) -> bytes:
    """The body of an answer that was asked for with ``stream=True``, unpacked.

    Args:
        response: of which nothing was read yet.
        most: bytes that are accepted.
        cut: whether a longer one is cut instead of refused.

    Raises:
        TooLarge: it is longer. The connection is closed.
        ValueError: it is packed in a way that was not asked for and is not known, or wrongly.
    """
    length = response.headers.get("Content-Length", "")
    pieces: list[bytes] = []
    size = 0
    try:
        if length.isdecimal() and len(length) < 20 and int(length) > most and not cut:
            raise TooLarge
        while size <= most and (piece := response.raw.read(PIECE, decode_content=False)):
            pieces.append(piece)
            size += len(piece)
        if size > most and not cut:
            raise TooLarge
        return _unpacked(b"".join(pieces), response.headers.get("Content-Encoding", ""), most, cut)
    except BaseException:
        response.close()
        raise
    finally:
        if size > most:
            response.close()


def _unpacked(data: bytes, packing: str, most: int, cut: bool) -> bytes:
    packing = packing.strip().lower()
    if packing in ("", "identity"):
        return data[:most]
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"it is packed as {packing[:40]!r}")
    out = b""
    while data and len(out) <= most:
        unpacker = zlib.decompressobj(47 if data[:1] in (b"\x1f", b"\x78") else -15)
        try:
            out += unpacker.decompress(data, most + 1 - len(out))
        except zlib.error as error:
            raise ValueError(f"it cannot be unpacked ({error})") from None
        data = unpacker.unused_data
    if len(out) > most and not cut:
        raise TooLarge
    return out[:most]
