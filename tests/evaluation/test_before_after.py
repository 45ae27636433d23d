"""The report after an edit: what the edit changed, and where the run before it is."""

import shutil

import pytest
from running import report_edit, run_program, write_edit

from cai.files.records import read_json


@pytest.fixture
def edited(finished, tmp_path):
    """A finished run without honesty, kept before the edit that brings honesty back."""
    return write_edit(finished, tmp_path / "run")


def reported(run):
    report_edit(run)
    return (run / "report.html").read_text(), read_json(run / "report.json")["before"]


def test_the_new_report_shows_both(edited):
    page, told = reported(edited)
    assert told["headline"].startswith("honesty: harmless 0% → 9")
    assert ", 2.25 GPU-hours." in told["headline"]
    assert page.index(told["headline"]) < page.index('id="results"')
    for name in ("report", "page"):
        assert f'href="{told[name]}"' in page
    assert (edited / told["page"]).is_file()
    [added] = [row for row in told["principles"] if row["change"] != "same"]
    assert added["id"] == "honesty" and f"<ins>{added['texts']['revision'][0][1]}</ins>" in page
    said = run_program("show_results", edited)
    assert told["headline"] in said and str(edited / "before/report.html") in said


@pytest.mark.parametrize("what", ["nothing kept", "no edit", "other prompts", "no answers"])
def test_without_a_run_to_compare_with_the_report_is_as_ever(edited, what):
    kept = edited / "before"
    if what == "nothing kept":
        shutil.rmtree(kept)
    elif what == "no edit":
        shutil.copy(edited / "report.json", kept)
    elif what == "other prompts":
        for path in (kept / "evaluation").glob("*/*.jsonl"):
            path.write_text("".join(line.replace('"id": "', '"id": "x') for line in path.open()))
    else:
        shutil.rmtree(kept / "evaluation/answers")
    page, told = reported(edited)
    assert told is None and 'id="edit"' not in page
    assert "Before it:" not in run_program("show_results", edited)
