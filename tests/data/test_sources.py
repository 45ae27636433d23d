"""Sources: local files of every kind, and a hub that is there, is away or was there."""

import gzip
import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError
from tests.data.hub import serve_dataset
from tests.data.samples import error_line, ids, program, transcript, write_lines

from cai.core.errors import UserError
from cai.files.records import Ledger, ledger_path, read_json
from cai.settings.sources import Source, read_source

RECORDS = [{"prompt": f"What is {i} times {i}?", "n": i} for i in range(20)]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)
REVISION = "0123456789abcdef0123456789abcdef01234567"


def read(source: str, **fields: str) -> tuple[list[tuple[str, dict]], Ledger]:
    ledger = Ledger("test")
    return list(read_source(Source(source=source, **fields), ledger)), ledger


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", lambda path: path.write_text(LINES)),
        ("a.jsonl.gz", lambda path: path.write_bytes(gzip.compress(LINES.encode()))),
        ("a.json", lambda path: path.write_text(json.dumps(RECORDS, indent=1))),
        ("a.json.gz", lambda path: path.write_bytes(gzip.compress(json.dumps(RECORDS).encode()))),
        ("lines.json", lambda path: path.write_text(LINES)),
        ("a.parquet", write_parquet),
    ],
)
def test_every_kind_of_file_gives_the_same_records(tmp_path, name, write):
    write(tmp_path / name)
    found, ledger = read(str(tmp_path / name))
    assert [record for _, record in found] == RECORDS
    assert ledger.seen == len(RECORDS)


def test_a_pattern_takes_its_files_in_the_order_of_their_names(tmp_path):
    for number in (2, 0, 1):
        write_lines(tmp_path / f"{number}.jsonl", [{"n": number}])
    found, _ = read(f"{tmp_path}/*.jsonl")
    assert [record["n"] for _, record in found] == [0, 1, 2]


def test_a_malformed_line_is_kept_with_its_place_and_the_reading_goes_on(tmp_path):
    path = write_lines(
        tmp_path / "a.jsonl", [{"n": 0}, "{broken", '["list"]', r'"\ud800"', {"n": 4}]
    )
    found, ledger = read(str(path))
    assert [where for where, _ in found] == [f"{path}:1", f"{path}:5"]
    assert [row["where"] for row in ledger.rejected] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert ledger.dropped == {"malformed line": 3}


def test_half_a_surrogate_pair_cannot_be_written_and_is_rejected(tmp_path):
    path = write_lines(
        tmp_path / "a.jsonl", [r'{"prompt": "\ud83d"}', r'{"prompt": "\ud83d\ude00"}']
    )
    found, ledger = read(str(path))
    assert [record["prompt"] for _, record in found] == ["\N{GRINNING FACE}"]
    assert ledger.dropped == {"malformed line": 1}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("gone.jsonl", None, "no such file"),
        ("cut.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:50], "not a whole gzip file"),
        ("list.json", b"[{]", "not JSON"),
        ("a.parquet", b"no", "not a Parquet file"),
        ("table.tsv", b"a,b\n", "unknown kind of file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*{complaint}"):
        read(str(tmp_path / name))


def test_a_hub_dataset_must_be_pinned():
    with pytest.raises(ValidationError, match="revision"):
        Source(source="someone/something")
    assert not Source(source="someone/something", revision=REVISION).is_local


def attempts(count: int = 40) -> bytes:
    lines = (json.dumps({"transcript": transcript(f"Question {i}", "No")}) for i in range(count))
    return gzip.compress("\n".join(lines).encode())


def test_a_mirror_is_read_at_its_revision_and_then_offline(tmp_path):
    source = {"source": "some/set", "data_dir": "attempts", "revision": REVISION}
    outputs = ("--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl")

    def prepare(revision: str = REVISION, **variables: str):
        text = json.dumps({**source, "revision": revision})
        environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), **variables}
        return program(
            "prepare_red_team", "--source", text, *outputs, "--test-fraction", 0.3, **environment
        )

    files = {"attempts/all.jsonl.gz": attempts(), "other/all.jsonl": b"{}\n", "README.md": b"#\n"}
    with serve_dataset("some/set", REVISION, files) as endpoint:
        result = prepare(HF_ENDPOINT=endpoint)
        assert result.returncode == 0, result.stderr
    online = ids(tmp_path / "train.jsonl"), ids(tmp_path / "test.jsonl")
    assert sum(map(len, online)) == 40
    assert not list((tmp_path / "cache").rglob("other"))

    for output in tmp_path.glob("*.jsonl"):
        output.unlink()
    assert prepare(HF_HUB_OFFLINE="1").returncode == 0
    assert (ids(tmp_path / "train.jsonl"), ids(tmp_path / "test.jsonl")) == online
    assert read_json(ledger_path(tmp_path / "train.jsonl"))["in"] == 40

    line = error_line(prepare(revision="f" * 40, HF_HUB_OFFLINE="1"))
    for word in ("some/set", "f" * 40, "HF_ENDPOINT", "HF_HUB_OFFLINE", "local"):
        assert word in line


def test_splits_are_told_by_the_names_of_files(tmp_path, monkeypatch):
    snapshot = tmp_path / "snapshot"
    for name in ("set/train-00000-of-00002", "set/train-00001-of-00002", "set/test", "training/x"):
        write_lines(snapshot / f"{name}.jsonl", [{"file": name}])
    monkeypatch.setattr("cai.settings.sources._snapshot", lambda source: snapshot)

    def names(**fields: str) -> list[str]:
        found, _ = read("some/set", revision=REVISION, **fields)
        return [record["file"] for _, record in found]

    assert names(data_dir="set") == ["set/train-00000-of-00002", "set/train-00001-of-00002"]
    assert names(data_dir="set", split="test") == ["set/test"]
    assert len(names(data_dir="set", split="train+test")) == 3
    assert names(data_dir="training") == ["training/x"]
    with pytest.raises(UserError, match=r"split validation.* test, train"):
        names(data_dir="set", split="validation")
