import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ROOT, complaint
from tests.messages import says

from cai.asking.journal.entries import Journal
from cai.asking.rewards import RewardModel, batches_left
from cai.asking.serving import Served
from cai.core.errors import UserError
from cai.files.records import read_json, read_jsonl, record_id, write_jsonl
from cai.models.tokens import Tokenizer
from cai.provenance.manifest import identity
from cai.settings.configuration import load_settings

CHAT = load_settings(["config/config.yaml", "config/demo.yaml"]).models.base.template
SERVER = [str(ROOT / "envs/nemo-cpu/python"), str(Path(__file__).with_name("reward_server.py"))]
NEVER = ["false", "FREE_PORT"]  # a server that must not be needed


def closed(row):
    turns = [("user", row["prompt"]), ("assistant", row["answer"])]
    return CHAT.closed([{"role": role, "content": text} for role, text in turns])


def write_answers(path, count, first=0):
    """Answers of different lengths, in more than one script."""
    rows = [
        {
            "id": record_id(f"prompt {n}"),
            "prompt": f"prompt {n}",
            "set": "harmful",
            "answer": "\u00fc\u4f60 " * n + "end",
            "finish": "stop",
        }
        for n in range(first, first + count)
    ]
    write_jsonl(path, rows)
    return rows


def score(folder, *arguments, server=None):
    """Run the program as a job does; returns what it printed and wrote on stderr."""
    command = [sys.executable, "scripts/evaluation/score_rewards.py", "--model", folder / "rm.nemo"]
    command += ["--template", CHAT.model_dump_json(), "--journal", folder / "journal.jsonl"]
    command += [*arguments, "--", *(server or [*SERVER, "port=FREE_PORT", folder / "counts"])]
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def folder(tmp_path, nemo_python):
    """A folder with what passes for a reward model: an archive that holds the demo's tokenizer."""
    with tarfile.open(tmp_path / "rm.nemo", "w") as archive:
        archive.add(next(ROOT.glob("demo/models/**/tokenizer.model")), "./0_tokenizer.model")
    return tmp_path


def test_rewards_are_the_servers_and_are_asked_for_once(folder):
    one = write_answers(folder / "one.jsonl", 40)
    two = write_answers(folder / "two.jsonl", 40, first=20)  # half of them known by then
    answers = ("--answers", folder / "one.jsonl", folder / "two.jsonl", "--batch-size", 16)
    outputs = [folder / "rewards/one.jsonl", folder / "rewards/two.jsonl"]
    done = score(folder, *answers, "--output", *outputs)
    assert done.returncode == 0, done.stderr
    for rows, output in zip((one, two), outputs, strict=True):
        expected = [{"id": row["id"], "reward": float(len(closed(row)))} for row in rows]
        assert list(read_jsonl(output)) == expected
        ledger = read_json(output.with_suffix(".ledger.json"))
        assert (ledger["in"], ledger["out"]) == (40, 40)
    counts = [int(line) for line in (folder / "counts").read_text().split()]
    assert sum(counts) == 60 and max(counts) == 16
    log = (folder / "journal.server.log").read_text()
    assert "All models are stopped" in log  # the server was asked to stop, and did at once:
    assert "HTTP service connections" not in log
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, folder)]

    before = [output.read_text() for output in outputs]
    again = score(folder, *answers, "--output", *outputs, server=NEVER)
    assert again.returncode == 0, again.stderr
    assert [output.read_text() for output in outputs] == before


@given(texts=st.sets(st.text(max_size=9)), size=st.integers(1, 5), killed=st.integers(0, 40))
@settings(deadline=None)
def test_a_run_that_was_killed_goes_on_with_the_same_batches(texts, size, killed):
    whole = batches_left(texts, texts, size)
    asked = {text for batch in whole[:killed] for text in batch}
    assert batches_left(texts, texts - asked, size) == whole[killed:]


@given(texts=st.sets(st.text(max_size=9)), size=st.integers(1, 5), data=st.data())
@settings(deadline=None)
def test_each_missing_text_is_asked_once(texts, size, data):
    missing = {text for text in sorted(texts) if data.draw(st.booleans())}
    batches = batches_left(texts, missing, size)
    assert sorted(text for batch in batches for text in batch) == sorted(missing)
    assert all(0 < len(batch) <= size for batch in batches)


def _names(path, folder):
    try:
        return os.fsencode(folder) in path.read_bytes()
    except OSError:
        return False


def test_too_long_texts_are_dropped_and_not_cut(folder):
    rows = write_answers(folder / "one.jsonl", 30)
    tokenizer = Tokenizer(folder / "rm.nemo")
    lengths = {row["id"]: tokenizer.count(closed(row)) for row in rows}
    most = sorted(lengths.values())[20]
    with Journal(folder / "journal.jsonl") as journal:  # all known: no server is needed
        known = RewardModel(_Untouched(), journal, identity(folder / "rm.nemo"), 16)
        journal.put_all({known.key(closed(row)): 1.0 for row in rows})
    output = folder / "rewards.jsonl"
    arguments = ("--answers", folder / "one.jsonl", "--output", output, "--max-tokens", most)
    done = score(folder, *arguments, server=NEVER)
    assert done.returncode == 0, done.stderr
    kept = {name for name, length in lengths.items() if length <= most}
    assert {row["id"] for row in read_jsonl(output)} == kept and len(kept) < 30
    ledger = read_json(output.with_suffix(".ledger.json"))
    assert ledger["dropped"] == {"too long for the reward model": 30 - len(kept)}


class _Untouched:
    """Stands where a server would, and fails if anything is asked of it."""


@pytest.fixture
def answering(request):
    """The address of a server whose model is ready and always answers ``request.param``."""
    content = json.dumps({"outputs": [{"name": "rewards", **request.param}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answering", "told"),
    [
        ({"shape": [2, 3], "data": [1.0] * 6}, "shape [2, 3] for 2 texts; expected [2, 1]"),
        ({"shape": [2, 1], "data": [1.0, float("nan")]}, "a reward that is no number"),
    ],
    indirect=["answering"],
)
def test_what_is_no_reward_is_told_and_not_remembered(answering, told, tmp_path):
    with (
        Journal(None) as journal,
        Served(None, answering, tmp_path / "log") as served,
        pytest.raises(UserError, match=re.escape(told)),
    ):
        RewardModel(served, journal, "id", 4).rewards(["one", "two"], "rewards")
    assert len(journal) == 0


def test_a_server_that_dies_is_told_with_the_end_of_its_log(folder):
    write_answers(folder / "one.jsonl", 3)
    arguments = ("--answers", folder / "one.jsonl", "--output", folder / "x.jsonl")
    server = [sys.executable, "-c", "print('no GPU found'); raise SystemExit(7)", "FREE_PORT"]
    done = score(folder, *arguments, server=server)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "exit code 7" in done.stderr and "no GPU found" in done.stderr


def test_a_server_without_the_model_is_not_waited_for_beyond_its_death(tmp_path):
    code = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), BaseHTTPRequestHandler)
threading.Timer(1.5, server.shutdown).start()
server.serve_forever()
print("could not load the model")
"""
    command = [sys.executable, "-c", code, "FREE_PORT"]
    with (
        Journal(None) as journal,
        Served(command, None, tmp_path / "log") as served,
        pytest.raises(UserError, match="could not load the model"),
    ):
        RewardModel(served, journal, "id", 4).rewards(["text"], "rewards")


def test_a_url_is_taken_as_it_is_and_told_if_nothing_is_there(tmp_path):
    write_answers(tmp_path / "one.jsonl", 1)
    (tmp_path / "rm.nemo").write_bytes(b"x")
    with requests.Session(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("cai.asking.serving.REACHABLE", 0.1)
        error = complaint(
            *("score_rewards", "--answers", tmp_path / "one.jsonl", "--output", tmp_path / "x"),
            *("--model", tmp_path / "rm.nemo", "--template", CHAT.model_dump_json()),
            *("--journal", tmp_path / "j", "--url", "http://127.0.0.1:9"),
        )
    assert says(error, "http://127.0.0.1:9: no server")


def test_each_answers_file_needs_its_output(tmp_path):
    write_answers(tmp_path / "one.jsonl", 1)
    (tmp_path / "rm.nemo").write_bytes(b"x")
    error = complaint(
        *("score_rewards", "--answers", tmp_path / "one.jsonl", tmp_path / "one.jsonl"),
        *("--output", tmp_path / "x", "--model", tmp_path / "rm.nemo", "--journal", tmp_path / "j"),
        *("--template", CHAT.model_dump_json(), "--url", "http://127.0.0.1:9"),
    )
    assert says(error, "--output: expected 2 … found 1")
