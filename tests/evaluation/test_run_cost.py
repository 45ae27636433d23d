"""What a run took, as its manifests and the costs of its journals say."""

from datetime import datetime, timedelta

import pytest

from cai.files.records import write_json
from cai.report.run_cost import Took, of_judging, together, took

START = datetime.fromisoformat("2026-03-04T10:00:00+00:00")


def time(minutes):
    return (START + timedelta(minutes=minutes)).isoformat()


def write_manifest(path, process, minutes, seconds, **facts):
    when = {"started": time(minutes), "written": time(minutes + 1), "host": "h", "process": process}
    write_json(path, {"seconds": seconds, **when, **facts})


def start(minutes, end="ended", **counts):
    return {"started": time(minutes), "seconds": 1.0, "gpus": 0, "end": end, **counts}


@pytest.fixture
def folder(tmp_path):
    """A run of two jobs, of which one wrote two files, beside an experiment and a run of before."""
    write_manifest(tmp_path / "sl_cai.manifest.json", 1, 0, 60.0, gpu_hours=0.5)
    write_manifest(tmp_path / "evaluation/answers/a.manifest.json", 2, 5, 30.0)
    write_manifest(tmp_path / "evaluation/answers/b.manifest.json", 2, 5, 40.0)
    for other in ("experiments/x", "before/evaluation"):
        write_manifest(tmp_path / other / "z.manifest.json", 3, 5, 1000.0)
    costs = {
        "answers-0": [start(5, new=10, reused=20)],
        "judged": [start(0, new=7, reused=0), start(5, None), start(6, new=1, reused=9)],
    }
    for name, entries in costs.items():
        write_json(tmp_path / f"work/journal/{name}.cost.json", entries)
    return tmp_path


def test_jobs_count_once_and_answers_by_the_last_time_that_they_were_needed(folder):
    assert took(folder) == Took(seconds=100.0, gpu_hours=0.5, asked=11, reused=29)
    assert str(took(folder)) == "1 min 40 s, 0.50 GPU-hours, 11 answers, 29 reused"


def test_what_an_interrupted_start_asked_for_is_not_reused(folder):
    entries = [start(5, "failed", new=6, reused=2), start(6, new=1, reused=9)]
    write_json(folder / "work/journal/judged.cost.json", entries)
    assert took(folder)[2:] == (17, 23)  # 10 + 6 + 1 asked, 20 + 9 - 6 reused


def test_since_a_time_only_what_is_newer_counts(folder):
    assert took(folder, START + timedelta(minutes=3))[:3] == (40.0, 0, 11)
    assert took(folder, START + timedelta(days=1)) == Took()


def test_what_an_older_version_did_not_count_is_not_known(folder):
    write_json(folder / "work/journal/judged.cost.json", [start(0, new=7)])
    assert took(folder)[2:] == (17, None)
    assert str(took(folder.parent / "nowhere")) == ""


def test_what_the_judge_of_a_comparison_took_is_added(folder, tmp_path):
    judged = tmp_path / "a--b.judged.jsonl"
    usage = {"questions": 50, "reused": 20}
    write_json(judged.with_suffix(".report.json"), {"judge": {"usage": usage}})
    write_manifest(judged.with_suffix(".manifest.json"), 9, 9, 20.0)
    assert of_judging(judged) == Took(seconds=20.0, asked=30, reused=20)
    assert together(Took(), of_judging(judged)) == of_judging(judged)
    assert together(Took(10.0, 1.0, 1, None), of_judging(judged)) == Took(30.0, 1.0, 31, 20)
