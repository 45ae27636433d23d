"""Journals inspected, checked and pruned, by the program that a user runs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import programs
from tests.messages import says

from cai.asking.journal.entries import Journal, today
from cai.asking.journal.upkeep import prune, verify
from cai.core.digests import digest
from cai.core.errors import UserError
from cai.files.records import in_shard, write_json, write_jsonl

KEYS = [digest(number) for number in range(8)]
FIRST_DAY = date(2025, 1, 1)


@contextmanager
def on(day: int) -> Iterator[None]:
    """Another day than today, by its number; hypothesis does not take a fixture for it."""
    text = (FIRST_DAY + timedelta(days=day)).isoformat()
    modules = ("cai.asking.journal.entries", "cai.asking.journal.upkeep")
    with ExitStack() as patches:
        for module in modules:
            patches.enter_context(patch(f"{module}.today", lambda: text))
        yield


def run_of(path: Path, keys: dict[str, object], model: str = "", *, finished: bool = True) -> dict:
    """A job that asks for keys: what is not known is written; returns what it got."""
    journal = Journal(path)
    journal.put_all({key: v for key, v in keys.items() if key not in journal}, model, "sampling")
    got = {key: journal.get(key) for key in keys}
    journal.__exit__(None if finished else SystemExit, None, None)
    return got


def known_in(folder: Path) -> dict[str, object]:
    with Journal(folder / "stage-999.jsonl") as journal:
        found = {key: journal.get(key) for key in KEYS if key in journal}
    (folder / "stage-999.jsonl").unlink()
    return found


def journal_program(*arguments: object) -> subprocess.CompletedProcess:
    return programs.run("scripts/journal.py", *arguments)


RUN = st.tuples(
    st.integers(0, 5),  # days since the last run
    st.integers(1, 5),  # shards
    st.sets(st.sampled_from(KEYS)),
    st.booleans(),  # whether the last shard came to its end
)


@settings(deadline=None)
@given(
    runs=st.lists(RUN, min_size=1, max_size=7),
    prunings=st.lists(st.none() | st.integers(1, 12), min_size=1, max_size=3),
    later=st.integers(0, 12),
)
def test_a_pruning_never_loses_what_is_in_use(tmp_path_factory, runs, prunings, later):
    folder = tmp_path_factory.mktemp("journals")
    day = 0
    outputs: dict[Path, dict[str, object]] = {}  # what the last finished run of a journal got
    used: dict[str, int] = {}  # the last day on which a key was used
    for number, (days, shards, wanted, ends) in enumerate(runs):
        day += days
        for shard in range(shards):
            path = folder / f"stage-{shard}.jsonl"
            mine = {key: number for key in sorted(wanted) if in_shard(key, shard, shards)}
            finished = ends or shard < shards - 1
            with on(day):
                got = run_of(path, mine, finished=finished)
            if finished:
                outputs[path] = got
            used |= dict.fromkeys(mine, day)
    before = known_in(folder)
    assert before.keys() == used.keys()
    day += later
    needed = {key for got in outputs.values() for key in got}
    limit = 10**6  # days: nothing is that old
    for older_than in prunings:
        with on(day):
            paths = sorted(folder.glob("*.jsonl"))
            told = prune(paths, older_than, dry_run=True)
            assert prune(paths, older_than) == told
            again = prune(sorted(folder.glob("*.jsonl")), older_than)
            assert again[1:] == (0, 0, 0, 0, 0), "one pruning takes all that it can"
        limit = min(limit, older_than or limit)
        recent = {key for key in used if used[key] >= day - limit}
        after = known_in(folder)
        assert needed | recent <= after.keys()
        assert after.items() <= before.items()
        with on(day):
            assert not [text for path in folder.glob("*.jsonl") for text in verify(path)]


def test_what_no_run_has_used_for_so_long_goes(tmp_path):
    path = tmp_path / "stage-0.jsonl"
    old, new = dict.fromkeys(KEYS[:5], "old"), dict.fromkeys(KEYS[3:], "new")
    with on(0):
        run_of(path, old, "old model")
    with on(20):
        run_of(path, new, "new model")
    with on(40):
        assert prune([path], 41).old == 0
        assert prune([path], 30).old == 3
        assert prune([path], 1).old == 0  # the output is made of the rest, however old it is
    assert known_in(tmp_path).keys() == set(KEYS[3:])


def test_a_journal_of_which_nothing_is_left_goes_too(tmp_path):
    path = tmp_path / "revisions-7.jsonl"
    with on(0):
        run_of(path, dict.fromkeys(KEYS, 1), finished=False)
    with on(99):
        assert prune([path], 50).old == len(KEYS)
    assert not path.exists()


def test_what_has_wandered_to_another_shard_goes_from_the_first(tmp_path):
    first, second = tmp_path / "stage-0.jsonl", tmp_path / "stage-1.jsonl"
    with on(0):
        run_of(first, dict.fromkeys(KEYS, 1))
    with on(1):
        run_of(second, dict.fromkeys(KEYS[:3], 2))
        run_of(first, dict.fromkeys(KEYS[3:], 2))
        assert prune([first, second], None).copies == 3
    assert known_in(tmp_path) == dict.fromkeys(KEYS, 1)


def test_a_dry_run_changes_nothing(tmp_path):
    path = tmp_path / "rewards.jsonl"
    with on(0):
        run_of(path, dict.fromkeys(KEYS, 1), finished=False)
    before = path.read_bytes()
    done = journal_program("prune", tmp_path, "--older-than", 30, "--dry-run")
    assert says(done.stdout, "rewards: 0 entries kept; would … 8 entries too old")
    assert path.read_bytes() == before
    done = journal_program("prune", tmp_path, "--older-than", 30)
    assert says(done.stdout, "rewards: 0 entries kept … 8 entries too old")
    assert not path.exists()


def test_a_stage_is_left_alone_while_a_job_writes(tmp_path):
    for shard in range(2):
        with on(0):
            run_of(tmp_path / f"stage-{shard}.jsonl", {KEYS[shard]: 1}, finished=False)
    run_of(tmp_path / "other-0.jsonl", {KEYS[0]: 1})
    before = (tmp_path / "stage-0.jsonl").read_bytes()
    with Journal(tmp_path / "stage-1.jsonl"):
        done = journal_program("prune", tmp_path, "--older-than", 1)
        assert "stage: left as it is: " in done.stdout
        assert "stage-1.jsonl: another process is writing" in done.stdout
        assert "other: 1 entries kept" in done.stdout
    assert (tmp_path / "stage-0.jsonl").read_bytes() == before


def test_without_locks_nothing_is_pruned(tmp_path, monkeypatch):
    path = tmp_path / "stage-0.jsonl"
    with on(0):
        run_of(path, dict.fromkeys(KEYS, 1), finished=False)
    monkeypatch.setattr("cai.asking.journal.entries._lock", lambda stream, path: False)
    with pytest.raises(UserError, match="locks"):
        prune([path], 1)
    assert len(known_in(tmp_path)) == len(KEYS)


def test_records_are_not_taken_for_a_journal(tmp_path):
    """A slip of the folder must not cost a dataset."""
    path = tmp_path / "0.jsonl"
    write_jsonl(path, [{"id": "1", "prompt": "Why?"}])
    before = path.read_bytes()
    assert "0: left as it is" in journal_program("prune", tmp_path, "--older-than", 1).stdout
    done = journal_program("stats", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "0.jsonl: not a journal" in done.stderr
    assert path.read_bytes() == before


def test_all_that_is_wrong_is_told(tmp_path):
    good = {"key": KEYS[0], "day": today(), "value": 1}
    rows = [
        good,
        {**good, "value": 2},
        {"key": "short", "day": today(), "value": 1},
        {**good, "key": KEYS[1], "day": "yesterday"},
        {**good, "key": KEYS[2], "day": "2999-01-01"},
        {"value": 3},
    ]
    path = tmp_path / "stage-0.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"key": "torn')
    done = journal_program("verify", tmp_path)
    assert done.returncode == 1
    for text in (
        ":2: another answer",
        ":3: … key … 64 … found 'short'",
        ":4: … YYYY-MM-DD, found 'yesterday'",
        ":5: … future … 2999-01-01",
        ":6: malformed line",
        ": torn last line",
    ):
        assert says(done.stdout, f"{path}{text}")
    assert done.stdout.count("stage-0.jsonl") == 6


def test_a_pruned_journal_has_no_malformed_lines(tmp_path):
    path = tmp_path / "stage-0.jsonl"
    run_of(path, {KEYS[0]: 1})
    path.write_text(path.read_text() + "nonsense\n" + path.read_text() + '{"key": "torn')
    assert journal_program("verify", tmp_path).returncode == 1
    assert "2 superseded lines, 2 malformed lines" in journal_program("prune", tmp_path).stdout
    done = journal_program("verify", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing is wrong")
    assert known_in(tmp_path) == {KEYS[0]: 1}


def test_a_line_that_a_job_is_writing_is_not_wrong(tmp_path):
    path = tmp_path / "stage-0.jsonl"
    with Journal(path):
        path.write_text('{"key": "half')
        assert verify(path) == []
        path.write_text("")


def said(text: str, **more: str) -> dict:
    return {"text": text, "finish": "stop", **more}


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Two shards of a stage; of each two answers cannot be read, and one was refused."""
    for shard in range(2):
        values = {
            KEYS[4 * shard]: said("(A)"),
            KEYS[4 * shard + 1]: said("Hm.", unreadable="the judge's answer cannot be read"),
            KEYS[4 * shard + 2]: said("Well.", unreadable="the judge's answer cannot be read"),
            KEYS[4 * shard + 3]: {"refusal": "content_filter"},
        }
        run_of(tmp_path / f"preferences-{shard}.jsonl", values)
    return tmp_path


@pytest.mark.parametrize("what", ["stats", "verify"])
def test_answers_that_cannot_be_read_are_named_with_the_command(judged, what):
    done = journal_program(what, judged)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "cannot be read" in line]
    assert line.startswith("preferences: 4 answers cannot be read")
    assert f"journal.py forget --unreadable {judged}/preferences-0.jsonl`" in line


@pytest.mark.parametrize("place", ["", "preferences-0.jsonl", "preferences-1.jsonl"])
def test_what_is_forgotten_is_asked_again_by_all_shards(judged, place):
    before = known_in(judged)
    dry = journal_program("forget", "--unreadable", "--dry-run", judged / place)
    assert "preferences: 4 answers would" in dry.stdout and known_in(judged) == before
    done = journal_program("forget", "--unreadable", judged / place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "preferences: 4 answers removed" in done.stdout
    with Journal(judged / "preferences-2.jsonl") as journal:
        left = [number for number, key in enumerate(KEYS) if key in journal]
    assert left == [0, 3, 4, 7]
    assert "2 answers removed" in journal_program("forget", "--refused", judged / place).stdout


def test_nothing_is_forgotten_while_a_job_writes(judged):
    with Journal(judged / "preferences-1.jsonl") as journal:
        done = journal_program("forget", "--unreadable", judged / "preferences-0.jsonl")
        assert done.returncode == 2 and "another process is writing" in done.stderr
        assert KEYS[1] in journal


def test_a_mark_is_no_other_answer(tmp_path):
    path = tmp_path / "preferences-0.jsonl"
    with Journal(path) as journal:
        journal.put(KEYS[0], "(A): is kind.", "model", "sampling")
        journal.correct({KEYS[0]: {"text": "(A): is kind.", "unreadable": "no"}})
    with Journal(path) as journal:
        assert journal.get(KEYS[0])["unreadable"] == "no"
        assert journal.added == 0
    assert "another answer" not in journal_program("verify", tmp_path).stdout


def test_the_models_of_entries_are_named_by_the_results_manifests(tmp_path):
    sha = digest("weights")
    write_json(tmp_path / "sl_cai.manifest.json", {"sha256": sha})
    folder = tmp_path / "work/journal"
    for shard in range(2):
        with on(shard):
            run_of(folder / f"candidates-{shard}.jsonl", dict.fromkeys(KEYS[:4], 1), "0" * 12)
        with on(5 + shard):
            mine = KEYS[4 + 2 * shard : 6 + 2 * shard]
            run_of(folder / f"candidates-{shard}.jsonl", dict.fromkeys(mine, 1), sha[:12])
    done = journal_program("stats", folder)
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split()
    assert row[:5] == ["candidates", "2", "8", "4", "14"]
    assert row[6:8] == ["2025-01-07", "1"]
    assert " ".join(row[8:]) in ("000000000000 4, sl_cai 4", "sl_cai 4, 000000000000 4")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["forget", "tests"], "--unreadable, --refused"),
        (["forget", "--unreadable", "no/such.jsonl"], "no/such.jsonl: no such journal"),
        (["stats", "no/such"], "no/such: no such folder"),
        (["stats", "tests", "--configfile", "config/demo.yaml"], "not both"),
        (["prune", "tests", "--older-than", "0"], "1, found '0'"),
        (["verify", "--configfile", "no.yaml"], "no.yaml: no such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, told):
    done = journal_program(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert says(done.stderr, told)
