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


# What an experiment asks models first, by the first part of the workflow that it makes itself; and
# the models that it therefore has of its own.
FIRST = {"supervised": "sl_cai/revisions/0", "preference": "rl_cai/preferences/0"}
OWN = {"supervised": ["sl_cai", "rl_cai"], "preference": ["rl_cai"]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_planned_run_and_answered_in_one_sentence(project, name):
    example, words = EXAMPLES[name], ["--config", f"experiment={name}", "--", "compare"]
    plan = project.plan(*words)
    assert re.search(r"results/demo/experiments/\w+: \d+ jobs .* [1-9][\d,]* reused", plan)
    project.snakemake(*words)
    first = project.results / f"experiments/{name}/{FIRST[example.first]}.ledger.json"
    usage = json.loads(first.read_text())["notes"]["usage"]
    assert 0 < usage["reused"] < usage["questions"]
    page = project.results / f"comparisons/base--{name}.html"
    told = json.loads(page.with_suffix(".json").read_text())
    changed = [(row["id"], row["change"]) for row in told["principles"]]
    assert [row for row in changed if row[1] != "same"] == [(example.principle, example.change)]
    # At this size a principle in other words may lead to the same revisions, and to one SL-CAI.
    alike = [["rl_cai"]] if example.change == "edited" else []
    assert told["models"] in [OWN[example.first], *alike]
    sentence = told["headline"]
    assert re.search(r"(kinds of harm show no difference|: harmless \d+)", sentence)
    assert re.search(r"; helpful \S+% → \S+%", sentence) and TOOK.search(sentence)
    assert f'<p class="headline">{sentence}</p>' in page.read_text()
