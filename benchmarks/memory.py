"""Memory of a step that asks a model, by the number of records in one shard.

    .envs/controller/bin/python benchmarks/memory.py --model results/demo/models/instruct.nemo

The programs run as a job runs them, against an HTTP server of this machine that answers at once,
in a process of its own. The peak is the program's resident memory, with Python and its libraries.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from cai.core import cli
from cai.files.records import Record, record_id, write_json, write_jsonl

ROOT = Path(__file__).parents[1]
TEXT = "What a reader would say of this, in a few more words than these. "
PRINCIPLE = {"id": "care", "critique": "Criticise.", "revision": "Revise.", "preference": "Which?"}
TEMPLATE = {
    "user": "[INST] {content} [/INST]",
    "assistant": " {content}",
    "close": "</s>",
    "stop": ["</s>"],
    "add_bos": True,
}
SERVING = {"kind": "openai", "prompts": "text", "extensions": False, "in_flight": 64}


def main() -> None:
    """Start the server, run the steps, print a table."""
    options = _options()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    rows = [
        _measured(step, count, url, options.model)
        for step in options.steps
        for count in options.records
    ]
    server.terminate()
    print("| step | records | seconds | peak memory, MB |\n| --- | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {row['step']} | {row['records']:,} | {row['seconds']:.0f} | {row['peak']:.0f} |")
    if options.output is not None:
        write_json(options.output, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--steps", nargs="+", choices=[*STEPS], default=[*STEPS])
    parser.add_argument("--model", type=Path, required=True, help="a .nemo, for its tokenizer")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


STEPS = {
    "respond": ["scripts/sl_cai/respond.py"],
    "revise": ["scripts/sl_cai/revise.py", "--principles", json.dumps(PRINCIPLE)],
    "candidates": ["scripts/rl_cai/sample_candidates.py", "--temperatures", "1", "1"],
    "judge": [
        *("scripts/rl_cai/judge_candidates.py", "--principles", json.dumps(PRINCIPLE)),
        *("--judge", json.dumps({"kind": "logprob"})),
    ],
    "judge at random": [
        *("scripts/rl_cai/judge_candidates.py", "--principles", json.dumps(PRINCIPLE)),
        *("--judge", json.dumps({"kind": "random"})),
    ],
}


def _measured(step: str, count: int, url: str, model: Path) -> Record:
    """Run a step's program on so many records; its seconds and the peak of its memory."""
    with TemporaryDirectory(dir=model.parent) as folder:
        source = Path(folder, "input.jsonl")
        write_jsonl(source, _records(count))
        command = [
            *(sys.executable, *STEPS[step], "--input", str(source), "--seed", "1"),
            *("--output", f"{folder}/output.jsonl", "--journal", f"{folder}/journal-0.jsonl"),
            *("--model", str(model), "--template", json.dumps(TEMPLATE), "--url", url),
            *("--serving", json.dumps(SERVING), "--max-bad-share", "1"),
        ]
        started = time.perf_counter()
        _, status, usage = os.wait4(subprocess.Popen(command, cwd=ROOT).pid, 0)
        seconds = time.perf_counter() - started
    assert status == 0, f"{step}: the program failed"
    return {"step": step, "records": count, "seconds": seconds, "peak": usage.ru_maxrss / 1024}


def _records(count: int) -> Iterator[Record]:
    for number in range(count):
        prompt = f"Question {number}: {TEXT}"
        texts = [f"{TEXT * 6}{letter}" for letter in "ab"]
        yield {
            "id": record_id(prompt),
            "prompt": prompt,
            "response": TEXT * 6,
            "candidates": [{"text": text, "temperature": 1.0} for text in texts],
        }


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    """Lists a model, and completes any prompt with as many words, or with (A)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = "(A)" if body.get("logprobs") else f"{body['seed']} {TEXT * 6}"
        logprobs = {"tokens": [text], "token_logprobs": [-0.1]}
        self._send({"choices": [{"text": text, "finish_reason": "stop", "logprobs": logprobs}]})

    def _send(self, value: Record) -> None:
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        self.wfile.write(head + data)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def _serve(port: Connection) -> None:
    server = _Server(("127.0.0.1", 0), _Handler)
    port.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
