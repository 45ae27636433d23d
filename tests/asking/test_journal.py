import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.asking.journal.entries import FINISHED, Journal, is_refusal, parse, siblings, stage_of
from cai.asking.journal.upkeep import prune
from cai.core.errors import UserError
from cai.files.records import in_shard

VALUES = st.one_of(
    st.text(), st.floats(allow_nan=False), st.dictionaries(st.text(), st.text(), max_size=3)
)
ANY_KEY = st.text().filter(lambda key: key != FINISHED)
BATCHES = st.lists(st.dictionaries(ANY_KEY, VALUES, max_size=4), max_size=6)
KEYS = [f"key {number}" for number in range(12)]


def in_another_process(code: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(command(code, *arguments), capture_output=True, text=True)


def command(code: str, *arguments: str | Path) -> list[str]:
    setup = (
        f"import sys; sys.path[:0] = {sys.path}\nfrom cai.asking.journal.entries import Journal\n"
    )
    return [sys.executable, "-c", setup + code, *map(str, arguments)]


@contextmanager
def on(day: str) -> Iterator[None]:
    """Another day than today; hypothesis does not take a fixture for it."""
    with patch("cai.asking.journal.entries.today", lambda: day):
        yield


def keys_of(path: Path) -> list[str]:
    """The keys of all lines, in their order."""
    parsed = (parse(raw) for raw in path.read_bytes().splitlines(keepends=True))
    return [line.key for line in parsed if line.key != FINISHED]


@settings(deadline=None)  # a disk takes the time it takes
@given(batches=BATCHES)
def test_what_was_put_is_there_after_reopening(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    expected = {}
    for batch in batches:
        with Journal(path) as journal:
            journal.put_all(batch)
        expected |= batch
    with Journal(path) as journal:
        assert {key: journal.get(key) for key in expected} == expected
        assert len(journal) == len(expected)


@settings(deadline=None)  # a disk takes the time it takes
@given(values=st.dictionaries(ANY_KEY, VALUES, min_size=1, max_size=5), data=st.data())
def test_a_torn_last_line_costs_that_line_alone(tmp_path_factory, values, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    *before, last = values
    journal = Journal(path)
    journal.put_all({key: values[key] for key in before})
    whole = path.stat().st_size
    journal.put(last, values[last])
    journal.close()
    cut = data.draw(st.integers(whole, path.stat().st_size - 1))
    path.write_bytes(path.read_bytes()[:cut])
    with Journal(path) as journal:
        assert [key for key in values if key in journal] == before
        journal.put(last, values[last])
    with Journal(path) as journal:
        assert {key: journal.get(key) for key in values} == values


def test_of_equal_keys_the_last_counts(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.put("key", "old")
        journal.put("key", "new")
    with Journal(tmp_path / "j") as journal:
        assert (journal.get("key"), len(journal)) == ("new", 1)


def test_answers_that_were_there_already_are_counted_once_and_new_ones_are_not(tmp_path):
    with Journal(tmp_path / "first") as journal:
        journal.put_all({"a": 1, "b": 2, "c": 3})
        assert [journal.get(key) for key in "aab"] == [1, 1, 2]
        assert (journal.added, journal.reused) == (3, 0)
    with Journal(tmp_path / "second", tmp_path / "first") as journal:
        journal.put("d", 4)
        assert [journal.get(key) for key in "aabdx"] == [1, 1, 2, 4, None]
        assert (journal.added, journal.reused) == (1, 2)


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", "null", '{"key": "x"}', '{"key": 1, "value": 1}', "\xff", ""]
)
def test_a_malformed_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "j"
    good = '{"key": "a", "value": 1}\n'
    path.write_bytes(good.encode() + line.encode("latin-1") + b"\n" + good.encode())
    with pytest.raises(UserError, match=r"j:2: expected"):
        Journal(path)


def test_without_a_path_it_is_kept_in_memory():
    with Journal(None) as journal:
        journal.put("key", 1)
        assert journal.get("key") == 1
        assert "other" not in journal


# ---------------------------------------------------------------- shards


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("responses-1.jsonl", "responses"),
        ("responses-10.jsonl", "responses"),
        ("my-responses-1.jsonl", "my-responses"),
        ("responses-1-2.jsonl", "responses-1"),
        ("answers-sl_cai.jsonl", "answers-sl_cai"),
        ("rewards.jsonl", "rewards"),
    ],
)
def test_the_stage_of_a_journal(name, stage):
    assert stage_of(Path("journal", name)) == stage


def test_the_journals_of_a_stage_are_its_shards_and_nothing_else(tmp_path):
    names = [
        *("responses-0.jsonl", "responses-1.jsonl", "responses-10.jsonl", "responses-x.jsonl"),
        *("responses.jsonl", "my-responses-0.jsonl", "responses-1-0.jsonl", "responses-1.log"),
        *(".responses-1.jsonl.7.partial", "responses-2.jsonl.old", "answers-sl_cai.jsonl"),
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in siblings(tmp_path / "responses-1.jsonl")]
    assert found == ["responses-0.jsonl", "responses-10.jsonl"]
    assert (
        siblings(tmp_path / "answers-sl_cai.jsonl") == siblings(tmp_path / "responses.jsonl") == []
    )


RUN = st.tuples(
    st.integers(1, 12),  # shards
    st.sets(st.sampled_from(KEYS)),
    st.booleans(),  # killed in the last shard, while it writes
    st.integers(1, 40),  # bytes of the last line that the kill tears off
    st.sampled_from(["2025-01-01", "2025-01-02"]),
)


@settings(deadline=None)
@given(runs=st.lists(RUN, max_size=6))
def test_no_number_of_shards_and_no_kill_makes_an_answer_twice(tmp_path_factory, runs):
    folder = tmp_path_factory.mktemp("journals")
    known: dict[str, int] = {}
    for number, (shards, wanted, killed, torn, day) in enumerate(runs):
        for shard in range(shards):
            mine = sorted(key for key in wanted if in_shard(key, shard, shards))
            path = folder / f"stage-{shard}.jsonl"
            with on(day):
                journal = Journal(path)
            missing = [key for key in mine if key not in journal]
            assert missing == [key for key in mine if key not in known]
            for key in missing:
                journal.put(key, number)
                known[key] = number
            if killed and shard == shards - 1:
                journal.close()
                if missing:
                    path.write_bytes(path.read_bytes()[:-torn])
                    del known[missing[-1]]
                break
            with journal:
                assert {key: journal.get(key) for key in mine} == {key: known[key] for key in mine}
    with Journal(folder / "stage-99.jsonl") as journal:
        assert {key: journal.get(key) for key in known} == known
        assert len(journal) == len(known)


def test_a_line_that_a_sibling_is_writing_is_passed_over_and_left_alone(tmp_path):
    growing = tmp_path / "stage-1.jsonl"
    half = b'{"key": "whole", "value": 1}\n{"key": "half", "val'
    growing.write_bytes(half)
    with Journal(tmp_path / "stage-0.jsonl") as journal:
        assert "whole" in journal and "half" not in journal
    assert growing.read_bytes() == half


def test_a_siblings_malformed_lines_are_told_and_counted_as_missing(tmp_path, capsys):
    """A network's file system may show zeros where another node is writing."""
    (tmp_path / "stage-1.jsonl").write_bytes(b'\0\0\0\n{"key": "a", "value": 1}\n')
    with Journal(tmp_path / "stage-0.jsonl") as journal:
        assert journal.get("a") == 1 and len(journal) == 1
    assert "stage-1.jsonl: ignored 1 malformed lines" in capsys.readouterr().err


def test_the_own_answer_counts_where_a_sibling_has_another(tmp_path):
    for shard, value in enumerate(("mine", "its")):
        journal = Journal(tmp_path / f"stage-{shard}.jsonl")
        journal.put("key", value)
        journal.close()
    with Journal(tmp_path / "stage-0.jsonl") as journal:
        assert journal.get("key") == "mine"


# ---------------------------------------------------------------- days


def test_what_a_run_uses_is_copied_to_its_file_under_its_day(tmp_path):
    own, sibling = tmp_path / "stage-0.jsonl", tmp_path / "stage-1.jsonl"
    with on("2025-01-01"):
        for path, keys in ((own, "ab"), (sibling, "cd")):
            with Journal(path) as journal:
                journal.put_all(dict.fromkeys(keys, f"from {path.stem}"), "model", "sampling")
    before = sibling.read_bytes()
    for day, copied in (("2025-01-01", ["c"]), ("2025-01-03", ["a", "c"]), ("2025-01-03", [])):
        length = len(keys_of(own))
        with on(day), Journal(own) as journal:
            assert [journal.get(key) for key in "aacc"] == [
                *2 * ["from stage-0"],
                *2 * ["from stage-1"],
            ]
        assert keys_of(own)[length:] == copied
    assert sibling.read_bytes() == before
    last = parse(own.read_bytes().splitlines(keepends=True)[-2])
    assert last == ("c", "from stage-1", "2025-01-03", "model", "sampling", "")


def test_a_file_is_at_most_twice_as_long_as_what_it_holds(tmp_path):
    path = tmp_path / "j"
    values = {f"key {number}": "x" * 100 for number in range(50)}
    for number in range(1, 29):
        with on(f"2025-01-{number:02}"), Journal(path) as journal:
            journal.put_all({key: values[key] for key in values if key not in journal})
            opened = path.stat().st_size
            assert all(journal.get(key) == value for key, value in values.items())
        if number == 1:
            once = path.stat().st_size
        else:
            assert opened <= 2 * once
    assert path.stat().st_size <= 3 * once


def test_journals_without_days_are_still_good(tmp_path):
    path = tmp_path / "j"
    path.write_text('{"key": "a", "value": {"text": "kept"}}\n')
    with Journal(path) as journal:
        assert journal.get("a") == {"text": "kept"}
    assert keys_of(path) == ["a", "a"]


# ---------------------------------------------------------------- other processes


def test_a_second_writer_is_refused_while_the_first_is_there(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put("key", "first")
        second = in_another_process("Journal(sys.argv[1])", path)
        assert f"UserError: {path}: another process is writing" in second.stderr.replace(
            "cai.core.errors.", ""
        )
    second = in_another_process("with Journal(sys.argv[1]) as j: j.put('key', 'second')", path)
    assert second.returncode == 0, second.stderr
    with Journal(path) as journal:
        assert journal.get("key") == "second"


def test_shards_of_a_stage_write_side_by_side(tmp_path):
    """Each is opened again and again, and reads the others while they grow."""
    code = """
for number in range(30):
    with Journal(sys.argv[1]) as journal:
        journal.put_all({f"{sys.argv[2]} {number} {n}": "x" * 500 for n in range(40)})
        found = [journal.get(f"{shard} {number} 7") for shard in range(3)]
        assert set(found) <= {None, "x" * 500}
"""
    files = [tmp_path / f"stage-{shard}.jsonl" for shard in range(3)]
    writers = [subprocess.Popen(command(code, f, str(shard))) for shard, f in enumerate(files)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for shard, path in enumerate(files):
        own = {key for key in keys_of(path) if key.startswith(f"{shard} ")}
        assert len(own) == 30 * 40


def test_openings_that_rewrite_the_file_lose_nothing_of_each_other(tmp_path):
    """The file that was locked may not be the one that is there: it was replaced in between."""
    path = tmp_path / "j"
    code = """
from cai.core.errors import UserError
done = 0
while done < 60:
    try:
        with Journal(sys.argv[1]) as journal:
            journal.put_all({"always": "x" * 3000, f"{sys.argv[2]} {done}": done})
    except UserError:
        continue
    done += 1
"""
    writers = [subprocess.Popen(command(code, path, name)) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with Journal(path) as journal:
        assert all(journal.get(f"{name} {n}") == n for name in "abc" for n in range(60))
    assert path.stat().st_size < 60_000  # it was rewritten: in all 180 * 3000 bytes were put


@pytest.mark.parametrize("limit", [100, 1000, 5000, 12345])
def test_a_kill_in_the_middle_of_a_write_costs_that_write_alone(tmp_path, limit):
    """A limit on the file's size, with the signal's own action, kills at that very byte."""
    path = tmp_path / "j"
    code = """
import resource, signal
with Journal(sys.argv[1]) as journal:
    journal.put("first", "kept")
    size = journal.path.stat().st_size
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + int(sys.argv[2]), resource.RLIM_INFINITY))
    journal.put_all({f"key {n}": "x" * 90 for n in range(200)})
"""
    run = in_another_process(code, path, str(limit))
    assert run.returncode == -signal.SIGXFSZ, run.stderr
    whole = path.read_bytes().count(b"\n")
    with Journal(path) as journal:
        assert journal.get("first") == "kept"
        assert len(journal) == whole > limit // 200
        missing = [f"key {n}" for n in range(200) if f"key {n}" not in journal]
        journal.put_all(dict.fromkeys(missing, "again"))
    with Journal(path) as journal:
        assert len(journal) == 201


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path):
    path = tmp_path / "j"
    code = """
with Journal(sys.argv[1]) as journal:
    start = len(journal)
    for number in range(start, start + 1000):
        journal.put(f"key {number}", "x" * 200_000)
        print(number + 1, flush=True)
"""
    acknowledged = 0
    for kill_after in (3, 1, 7, 2, 5):
        writer = subprocess.Popen(command(code, path), stdout=subprocess.PIPE, text=True)
        for _ in range(kill_after):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        with Journal(path) as journal:
            assert len(journal) >= acknowledged > 0
            assert all(journal.get(f"key {n}") == "x" * 200_000 for n in range(len(journal)))


def test_a_write_that_fails_leaves_whole_lines(tmp_path):
    """A limit on the file's size stands for a full disk."""
    path = tmp_path / "j"
    code = """
import resource
with Journal(sys.argv[1]) as journal:
    journal.put("first", "kept")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        journal.put_all({f"key {n}": "x" * 90 for n in range(20)})
    except OSError as error:
        print(error.filename)
    journal.put("last", "kept too")
"""
    run = in_another_process(code, path)
    assert (run.returncode, run.stdout.strip()) == (0, str(path)), run.stderr
    with Journal(path) as journal:
        assert len(journal) == 2
        assert (journal.get("first"), journal.get("last")) == ("kept", "kept too")


def test_a_file_that_somebody_changes_meanwhile_is_found_out(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put("key", "mine")
        path.write_text('{"key": "other", "value": "not mine"}\n')
        with pytest.raises(UserError, match="j: was changed while it was read; run the command"):
            journal.get("key")


def test_a_file_system_without_locks_is_gone_on_with(tmp_path, monkeypatch, capsys):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with Journal(tmp_path / "j") as journal:
        journal.put("key", 1)
    assert "this file system has no locks" in capsys.readouterr().err
    with Journal(tmp_path / "j") as journal:
        assert journal.get("key") == 1


# ---------------------------------------------------------------- other runs


def test_another_runs_journals_are_read_and_what_is_used_is_copied(tmp_path):
    base, own = tmp_path / "base/judge-0.jsonl", tmp_path / "own/judge-0.jsonl"
    with Journal(base) as journal:
        journal.put_all({"used": 1, "not": 2})
    with Journal(base.with_name("judge-1.jsonl")) as journal:
        journal.put("of another shard", 3)
    with Journal(base.with_name("answers-0.jsonl")) as journal:
        journal.put("of another stage", 4)
    before = {path: path.read_bytes() for path in base.parent.iterdir()}
    with Journal(own, base) as journal:
        assert (journal.get("used"), journal.get("of another shard")) == (1, 3)
        assert "not" in journal and "of another stage" not in journal
        journal.put("new", 5)
    assert {path: path.read_bytes() for path in base.parent.iterdir()} == before
    assert sorted(keys_of(own)) == ["new", "of another shard", "used"]


def test_another_runs_journal_may_be_written_to_or_missing(tmp_path):
    base, own = tmp_path / "base/judge-0.jsonl", tmp_path / "own/judge-0.jsonl"
    with Journal(own, base) as journal:
        assert len(journal) == 0
    with Journal(base) as writing:
        writing.put("early", 1)
        with Journal(own, base) as journal:
            assert journal.get("early") == 1


def test_ones_own_answer_counts_before_another_runs(tmp_path):
    base, own = tmp_path / "base/judge-0.jsonl", tmp_path / "own/judge-0.jsonl"
    for path, value in ((base, "base's"), (own, "own")):
        with Journal(path) as journal:
            journal.put("key", value)
    with Journal(own, base) as journal:
        assert journal.get("key") == "own"


# ---------------------------------------------------------------- a network's file system


class Stale:
    """A file that another node has replaced: a network's file system takes it away while open."""

    def __init__(self, stream) -> None:
        self._stream = stream
        self.name = stream.name

    def _gone(self, *_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    seek = readline = write = _gone

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def filled(folder: Path) -> list[str]:
    """Journals of three shards, each with answers of its own, and old ones of no use."""
    keys = []
    for shard in range(3):
        with Journal(folder / f"stage-{shard}.jsonl") as journal:
            for key in (f"{shard} a", f"{shard} b"):
                journal.put_all({key: "old"})
                journal.put_all({key: f"value of {key}"})
                keys.append(key)
    return keys


@pytest.mark.parametrize("reading", [False, True])
def test_a_sibling_that_another_node_replaces_is_opened_anew(tmp_path, reading):
    keys = filled(tmp_path)
    paths = [tmp_path / f"stage-{shard}.jsonl" for shard in range(3)]
    journal = Journal.reading(paths[0]) if reading else Journal(paths[0])
    with journal:
        journal.put("new", "mine")
        prune(paths[1:], None)  # as another node does, whose locks this file system does not know
        journal._readers = [journal._readers[0], *map(Stale, journal._readers[1:])]
        assert {key: journal.get(key) for key in keys} == {key: f"value of {key}" for key in keys}
        assert journal.get("new") == "mine"


def test_an_own_file_that_was_replaced_is_written_to_anew(tmp_path):
    keys = filled(tmp_path)
    path = tmp_path / "stage-0.jsonl"
    with Journal(path) as journal:
        journal._writer = Stale(journal._writer)
        journal.put("new", "mine")
        assert journal.get("new") == "mine"
    with Journal(path) as journal:
        assert journal.get("new") == "mine"
        assert all(key in journal for key in keys)


def test_a_file_that_is_always_taken_away_is_told_in_one_line(tmp_path):
    filled(tmp_path)
    with Journal(tmp_path / "stage-0.jsonl") as journal:
        journal._reopen = lambda: None
        journal._readers = list(map(Stale, journal._readers))
        with pytest.raises(UserError, match="Stale file handle"):
            journal.get("1 a")
        del journal._reopen


def test_a_refusal_is_an_entry_like_others(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.put("key", {"refusal": "content_filter", "said": "HTTP 400"})
        journal.put("other", {"text": "hi", "finish": "stop"})
    with Journal(tmp_path / "j") as journal:
        assert is_refusal(journal.get("key")) and not is_refusal(journal.get("other"))
