"""Full disks, folders in the way, writers that were killed: one line, and nothing good is lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.messages import says

from cai.files.partials import HOST, partial
from cai.files.records import atomic, write_json
from cai.running.attempts import Attempts

ROOT = Path(__file__).parent.parent.parent
PRINCIPLES = json.dumps(["Which is kinder?", "Which is more honest?"])


def importing(tmp_path, target, limit="unlimited"):
    """A program of ours that writes one file."""
    source = tmp_path / "principles.json"
    source.write_text(PRINCIPLES)
    program = [sys.executable, ROOT / "scripts/import_constitution.py", "--comparisons", source]
    command = [*program, "--constitution", target]
    shell = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash"]
    return subprocess.run([*shell, *command], capture_output=True, text=True)


def one_line(run, code):
    assert run.returncode == code, run.stderr
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
    return run.stderr


def test_a_file_size_limit_keeps_what_was_there(tmp_path):
    target = tmp_path / "constitution.yaml"
    target.write_text("good")
    said = one_line(importing(tmp_path, target, limit=0), 3)
    assert says(said, f"ulimit -f … {target}")
    assert target.read_text() == "good"
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, "principles.json"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("folder", "folder: … a folder"),
        ("file/below/x.yaml", "a file … folder"),
        ("/sys/kernel/x.yaml", "/sys/kernel/x.yaml: no permission"),
        ("/proc/x.yaml", "/proc/x.yaml: no such file"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path, place, told):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/kept").touch()
    (tmp_path / "file").touch()
    assert says(one_line(importing(tmp_path, tmp_path / place), 2), told)
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["file", "folder", "kept", "principles.json"]


def test_a_missing_folder_is_made(tmp_path):
    assert importing(tmp_path, tmp_path / "a/b/x.yaml").returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
    program += (
        "from cai.core.cli import run\nrun(lambda: print('\\n'.join(map(str, range(10**6)))))"
    )
    shell = f'set -o pipefail; {sys.executable} -c "$1" | head -1'
    run = subprocess.run(["bash", "-c", shell, "-", program], capture_output=True, text=True)
    assert (run.stdout, run.stderr, run.returncode) == ("0\n", "", 141)


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {scripts!r})
from cai.files.partials import partial
with partial(Path({target!r})) as path:
    if {folder}:
        path.mkdir()
        path = path / "weights"
    path.write_text("half")
    print("writes", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, folder):
    target = tmp_path / "model.nemo"
    program = WRITER.format(scripts=str(ROOT / "scripts"), target=str(target), folder=folder)
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    writer.stdout.readline()
    (left,) = tmp_path.iterdir()
    write_json(target, 1)  # while the other lives, its half stays
    assert left.exists()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    write_json(tmp_path / "other", 1)  # another file's writer does not look after it
    assert left.exists()
    write_json(target, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nemo", "other"]


def test_of_writers_on_another_host_the_age_decides(tmp_path):
    target = tmp_path / "model.nemo"
    young, old, older_form, foreign = (
        tmp_path / name
        for name in (
            ".model.nemo.elsewhere.1-2.partial",
            ".model.nemo.elsewhere.1-3.partial",
            ".model.nemo.4711.partial",
            f".model.nemo.json.{HOST}.1-3.partial",
        )
    )
    for path in (young, old, older_form, foreign):
        path.touch()
    for path in (old, older_form, foreign):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    write_json(target, 1)
    assert sorted(tmp_path.iterdir()) == sorted([target, young, foreign])


def test_a_failed_write_names_its_target_and_leaves_nothing(tmp_path):
    target = tmp_path / "x"
    with pytest.raises(OSError) as failed, atomic(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert failed.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), partial(target) as path:
        path.touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b'[{"number": 1, "sec', b"{}", b"[1]", b"\xff\x00", b"null"]
)
def test_costs_that_cannot_be_read_are_none(tmp_path, content):
    path = tmp_path / "responses-0.cost.json"
    path.write_bytes(content)
    attempts = Attempts(path, number=2)
    attempts.check("responses")
    with attempts.running() as entry:
        entry["new"] = 3
    assert attempts.cost()["seconds"] < 60
    assert len(json.loads(path.read_text())) == 1
