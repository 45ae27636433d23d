"""An archive is unpacked once for all that load it, and nothing of it stays."""

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from cai.core.errors import UserError
from cai.nemo.composition import read_value
from cai.nemo.unpacking import check_room, opened, unpacked
from cai.settings import overrides

FILES = {"./model_config.yaml": b"a: 1\n", "./model_weights/__0_0.distcp": b"x" * 5000}


def archive_of(path, files=FILES):
    with tarfile.open(path, "w:") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path):
    return archive_of(tmp_path / "model.nemo")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "work/unpacked"


def content(folder):
    return {f"./{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_holds_the_archives_files_as_long_as_it_is_needed(archive, place):
    with opened(archive, place) as folder:
        assert content(folder) == FILES
    assert not place.exists()


def test_two_that_need_it_have_the_same_and_the_last_removes_it(archive, place):
    with opened(archive, place) as first:
        inode = first.stat().st_ino
        with opened(archive, place) as second:
            assert second == first and second.stat().st_ino == inode
        assert content(first) == FILES
    assert not place.exists()


HOLDS = """
import sys, time
sys.path.insert(0, "scripts")
from pathlib import Path
from cai.nemo.unpacking import opened
with opened(Path(sys.argv[1]), Path(sys.argv[2])) as folder:
    print(folder, flush=True)
    time.sleep(float(sys.argv[3]))
    assert (folder / "model_config.yaml").read_bytes()
"""


def holder(archive, place, seconds):
    command = [sys.executable, "-c", HOLDS, str(archive), str(place), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def left(archive, place):
    """The folder that a killed job has left."""
    job = holder(archive, place, 600)
    folder = Path(job.stdout.readline().strip())
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert content(folder) == FILES
    return folder


def test_what_a_killed_job_has_left_is_used_by_the_next_of_this_archive(left, archive, place):
    weights = left / "model_weights/__0_0.distcp"
    inode = weights.stat().st_ino
    with opened(archive, place) as folder:
        assert folder == left and weights.stat().st_ino == inode
    assert not place.exists()


def test_what_a_killed_job_has_left_is_removed_by_the_next_of_another(left, tmp_path, place):
    (place / f"{left.name}.partial").mkdir()
    with opened(archive_of(tmp_path / "other.nemo"), place) as folder:
        assert folder != left and not left.exists()
    assert not place.exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "cut"])
def test_a_folder_that_is_not_the_archive_is_made_anew(left, archive, place, damage):
    weights = left / "model_weights/__0_0.distcp"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(b"y" * (5000 if damage == "changed" else 4000))
    with opened(archive, place) as folder:
        assert content(folder) == FILES


def test_another_content_of_the_same_name_and_size_and_time_is_another_folder(left, archive, place):
    changed = {name: text.replace(b"x", b"z") for name, text in FILES.items()}
    times = archive.stat().st_atime_ns, archive.stat().st_mtime_ns
    archive_of(archive, changed)
    os.utime(archive, ns=times)
    with opened(archive, place) as folder:
        assert content(folder) == changed


def test_many_jobs_at_once_have_one_whole_folder_and_leave_none(archive, place):
    draw = random.Random(1)
    jobs = []
    for _ in range(8):
        jobs.append(holder(archive, place, draw.random() / 2))
        time.sleep(draw.random() / 5)
    folders = {job.communicate(timeout=60)[0] for job in jobs}
    assert [job.returncode for job in jobs] == [0] * 8
    assert len(folders) == 1
    assert not place.exists()


def test_nothing_is_written_outside_of_the_folder(tmp_path, place):
    evil = archive_of(tmp_path / "evil.nemo", {"../outside": b"!"})
    with pytest.raises(UserError, match=r"evil\.nemo: "), opened(evil, place):
        pass
    assert not list(tmp_path.rglob("*outside"))
    with opened(archive_of(evil, {"/tmp/cai-outside": b"!"}), place) as folder:
        assert content(folder) == {"./tmp/cai-outside": b"!"}
    assert not Path("/tmp/cai-outside").exists()


def test_a_file_that_stands_twice_counts_as_the_last_one(tmp_path, place):
    twice = archive_of(tmp_path / "twice.nemo", {"a": b"first", "./a": b"second!"})
    with opened(twice, place) as folder:
        assert content(folder) == {"./a": b"second!"}


def test_a_damaged_archive_is_told_in_one_line(archive, place):
    archive.write_bytes(b"no archive" * 1000)
    with pytest.raises(UserError, match=r"^.*model\.nemo: .*whole"):
        opened(archive, place).__enter__()


def test_room_is_looked_for_before(archive, tmp_path):
    with pytest.raises(UserError) as error:
        check_room(10**18, tmp_path, archive)
    line = str(error.value)
    assert "\n" not in line
    assert f"GB are free, 1000000000.0 GB are needed for the files of {archive}" in line


def test_commands_name_the_folder_in_the_archives_place(tmp_path):
    folder = tmp_path / "o'clock {a}, b"
    folder.mkdir()
    plain, quoted = archive_of(tmp_path / "a.nemo"), archive_of(folder / "b.nemo")
    command = [
        "python",
        "p.py",
        f"model={plain}",
        f"other={overrides.value(str(quoted))}",
        "a=x.nemo",
    ]
    with unpacked([command, [*command[:2], f"again={plain}"]], tmp_path) as (first, second):
        assert first[:2] == command[:2] and first[4] == "a=x.nemo"
        found = [Path(str(read_value(word.partition("=")[2]))) for word in (*first[2:4], second[2])]
        assert all(content(path) == FILES for path in found)
        assert found[0] == found[2] != found[1]
    assert not (tmp_path / "unpacked").exists()
