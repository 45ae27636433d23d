"""Edit, run, compare: what a person sees of an edit of the constitution, by real runs."""

import json
import re

from tests.project import TARGETS

TOOK = re.compile(r"; (\d+ min|\d+ s)[^;]*, ([\d,]+) answers, ([\d,]+) reused\.$")


def test_an_edit_in_place_keeps_the_run_before_and_the_new_report_shows_both(project, tmp_path):
    copy = project.copy(tmp_path / "copy")
    path = copy.folder / "demo/constitution.yaml"
    text = path.read_text()
    edited = text.replace("Which answer respects privacy more?", "Which answer respects privacy?")
    assert edited != text
    path.write_text(edited)
    report = (copy.results / "report.html").read_bytes()
    answers = (copy.results / "evaluation/answers/rl_cai.jsonl").read_bytes()
    said = copy.snakemake("--", *TARGETS)
    kept = copy.results / "before"
    assert f"the run before this edit: {kept.relative_to(copy.folder)}/" in said
    assert (kept / "report.html").read_bytes() == report
    assert (kept / "evaluation/answers/rl_cai.jsonl").read_bytes() == answers
    told = json.loads((copy.results / "report.json").read_text())["before"]
    assert {row["id"]: row["change"] for row in told["principles"]}["privacy"] == "edited"
    new, reused = (int(n.replace(",", "")) for n in TOOK.search(told["headline"]).groups()[1:])
    assert 0 < new < reused
    assert (kept / "comparison.html").is_file()
    assert copy.planned() == set()
