"""Manifests: what they say, and the identity of files, which is theirs as long as they are true."""

import json
import os
import random
import shutil
from argparse import Namespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.core.digests import file_digest
from cai.files.records import Ledger
from cai.models.sampling import Sampling
from cai.provenance import manifest
from cai.running.launch import Launch


@pytest.fixture
def published(tmp_path):
    """A checkpoint and its manifest, touched as Snakemake does when a job has ended."""
    path = tmp_path / "tiny.nemo"
    path.write_text("weights")
    manifest.write_manifest(path, what="tiny")
    path.touch()
    manifest.manifest_path(path).touch()
    return path


def test_a_large_file_is_not_read_again(published, monkeypatch):
    digest = file_digest(published)
    monkeypatch.delattr(manifest, "file_digest")
    assert manifest.identity(published) == digest


def test_a_copy_of_another_file_is_found_out_though_it_keeps_size_and_time(published):
    status = published.stat()
    an_hour_ago = status.st_mtime_ns - 3600 * 10**9
    os.utime(manifest.manifest_path(published), ns=(an_hour_ago, an_hour_ago))
    published.write_text("WEIGHTS")
    os.utime(published, ns=(an_hour_ago, an_hour_ago))
    assert published.stat().st_size == status.st_size
    assert manifest.identity(published) == file_digest(published)


def _nothing_is_read(monkeypatch):
    monkeypatch.delattr(manifest, "file_digest")
    monkeypatch.delattr(manifest, "model_identity")


def test_a_removed_hard_link_is_no_reason_to_read_a_model_again(published, monkeypatch):
    """The trainer's own file in the work folder is one: `rm -rf results/work` takes it away."""
    digest = file_digest(published)
    link = published.with_suffix(".link")
    os.link(published, link)
    link.unlink()
    assert published.stat().st_ctime_ns > manifest.manifest_path(published).stat().st_mtime_ns
    _nothing_is_read(monkeypatch)
    assert manifest.identity(published) == digest


def test_a_copied_folder_is_no_reason_either(published, tmp_path, monkeypatch):
    digest = file_digest(published)
    shutil.copytree(tmp_path, tmp_path / "copy")
    _nothing_is_read(monkeypatch)
    assert manifest.identity(tmp_path / "copy" / published.name) == digest


@given(size=st.integers(1, 3_000_000), part=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, deadline=None)
def test_another_model_under_the_old_name_is_found_out(tmp_path_factory, size, part):
    """Of the same size, and older than the manifest, as `cp -p` leaves it."""
    path = tmp_path_factory.mktemp("models") / "tiny.nemo"
    path.write_bytes(random.Random(1).randbytes(size))
    manifest.write_manifest(path)
    first, times = manifest.identity(path), path.stat()
    path.write_bytes(random.Random(2).randbytes(size) if part < 0.9 else bytes(size))
    os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    assert manifest.identity(path) != first


def test_a_manifest_of_an_older_form_keeps_its_identity(published, monkeypatch):
    """Journals and trainings of before know the model by the digest of its file."""
    beside = manifest.manifest_path(published)
    facts = json.loads(beside.read_text())
    beside.write_text(json.dumps({"sha256": facts["sha256"], "size": facts["size"]}))
    _nothing_is_read(monkeypatch)
    assert manifest.identity(published) == facts["sha256"]


def test_without_a_manifest_the_file_is_read(tmp_path):
    path = tmp_path / "tiny.nemo"
    path.write_text("weights")
    assert manifest.identity(path) == file_digest(path)


def test_a_fetched_folder_is_not_read_again_until_it_is_touched(tmp_path, monkeypatch):
    (tmp_path / "weights").write_text("weights")
    manifest.write_origin(tmp_path, "org/model", "abc123")
    digest = manifest.identity(tmp_path)
    with monkeypatch.context() as patch:
        patch.delattr(manifest, "file_digest")
        assert manifest.identity(tmp_path) == digest
    assert manifest.read_origin(tmp_path)["revision"] == "abc123"
    (tmp_path / "weights").write_text("WEIGHTS")
    assert manifest.identity(tmp_path) != digest
    assert manifest.read_origin(tmp_path) == {}


def test_a_manifest_says_what_was_given_and_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cr3t")
    for name in ("in.jsonl", "out.jsonl", "journal.jsonl"):
        (tmp_path / name).write_text(f"{name}\n")
    principle = {"id": "honesty", "preference": "Which is more honest?"}
    options = Namespace(
        input=tmp_path / "in.jsonl",
        output=tmp_path / "out.jsonl",
        journal=tmp_path / "journal.jsonl",
        launch=Launch(gres="gpu:2"),
        principles=[json.dumps(principle)],
        sampling=Sampling(temperature=0.5),
        seed=3,
    )
    ledger = Ledger("judge")
    ledger.count_in(2)
    ledger.drop("unreadable", record={"id": "1"})
    ledger.out = 1
    manifest.record(options, "output", ledger=ledger)
    path = manifest.manifest_path(options.output)
    assert "s3cr3t" not in path.read_text()
    found = json.loads(path.read_text())
    assert found["inputs"] == {str(options.input): file_digest(options.input)}
    assert found["settings"]["seed"] == 3 and found["settings"]["sampling"]["temperature"] == 0.5
    assert found["settings"].keys() == {"seed", "sampling"}
    assert found["principles"]["honesty"]["preference"] == principle["preference"]
    assert (found["what"], found["gpus"]) == ("judge", 2)
    counts = {"in": 2, "out": 1, "failed": 1, "dropped": {"unreadable": 1}}
    assert found["ledger"] == {"step": "judge", **counts}
