"""Judging through an HTTP service of some latency: our client against one that asks serially.

    python benchmarks/judging.py

The service is a process of its own on this machine; it answers each request after 200 ms, and any
number at a time. Both clients ask it the same kind of question and keep its answers in a journal.
"""

import argparse
import multiprocessing
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from cai.asking.chat.chat_client import ChatClient
from cai.asking.journal.entries import Journal
from cai.core import cli
from cai.files.records import Record, write_json
from cai.models.templates import single_turn
from cai.settings.chat_service import ChatSettings

ROOT = Path(__file__).parents[1]

ANSWER = b'{"choices": [{"message": {"content": "(A)"}, "finish_reason": "stop"}]}'


def main() -> None:
    """Start the service, ask it both ways, print a table."""
    options = _options()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    arguments = (options.latency, theirs)
    service = multiprocessing.Process(target=_serve, args=arguments, daemon=True)
    service.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    default = ChatSettings().in_flight
    rows = [
        {"way": "serial", "in_flight": 1, "rate": _rate(url, 1, options.serial)},
        {"way": "ours", "in_flight": default, "rate": _rate(url, default, options.count)},
    ]
    service.terminate()
    _report(rows, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds (default: 0.2)")
    parser.add_argument("--count", type=int, default=1920, help="questions to us (default: 1920)")
    parser.add_argument("--serial", type=int, default=40, help="to the serial one (default: 40)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def _serve(latency: float, port: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(latency)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode()
            self.wfile.write(head + ANSWER)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = _Server(("127.0.0.1", 0), Handler)
    port.send(server.server_port)
    server.serve_forever()


def _rate(url: str, in_flight: int, count: int) -> float:
    """Answers a second."""
    asked = [single_turn(f"Which is better? {n}") for n in range(count)]
    with TemporaryDirectory() as folder, Journal(Path(folder, "journal.jsonl")) as journal:
        client = ChatClient(url, "judge", None, journal, ChatSettings(in_flight=in_flight))
        started = time.perf_counter()
        answers = client.answers(asked, f"{in_flight} in flight")
        elapsed = time.perf_counter() - started
    assert answers == ["(A)"] * count
    return count / elapsed


def _report(rows: list[Record], output: Path | None) -> None:
    print("| client | in flight | answers/s | ratio |\n|---|---:|---:|---:|")
    for row in rows:
        row["ratio"] = row["rate"] / rows[0]["rate"]
        print(f"| {row['way']} | {row['in_flight']} | {row['rate']:.1f} | {row['ratio']:.1f} |")
    if output is not None:
        write_json(output, rows)


if __name__ == "__main__":
    cli.run(main)
