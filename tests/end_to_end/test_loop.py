"""Edit, run, compare: what a person sees of an edit of the constitution, by real runs."""

import json
import re

import pytest
from tests.examples import EXAMPLES
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


# What an experiment asks models first, by the first part of the workflow that it makes itself.
FIRST = {"supervised": "sl_cai/revisions/0", "preference": "rl_cai/preferences/0"}
WHOLE = "demo_without_honesty"


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_planned_and_asks_for_what_its_edit_changes(project, name):
    words = ["--config", f"experiment={name}", "--"]
    plan = project.plan(*words, "compare")
    assert re.search(r"results/demo/experiments/\w+: \d+ jobs .* [1-9][\d,]* reused", plan)
    made = f"results/demo/experiments/{name}/{FIRST[EXAMPLES[name].first]}"
    project.snakemake(*words, f"{made}.jsonl")
    usage = json.loads((project.folder / f"{made}.ledger.json").read_text())["notes"]["usage"]
    assert 0 < usage["reused"] < usage["questions"]


def test_an_example_is_run_to_its_end_and_answered_in_one_sentence(project):
    project.snakemake("--config", f"experiment={WHOLE}", "--", "compare")
    page = project.results / f"comparisons/base--{WHOLE}.html"
    told = json.loads(page.with_suffix(".json").read_text())
    changed = [(row["id"], row["change"]) for row in told["principles"]]
    example = EXAMPLES[WHOLE]
    assert [row for row in changed if row[1] != "same"] == [(example.principle, example.change)]
    assert told["models"] == ["sl_cai", "rl_cai"]  # SL-CAI reads what was edited, too
    sentence = told["headline"]
    assert re.search(r"(kinds of harm show no difference|: harmless \d+)", sentence)
    assert re.search(r"; helpful \S+% → \S+%", sentence) and TOOK.search(sentence)
    assert f'<p class="headline">{sentence}</p>' in page.read_text()
