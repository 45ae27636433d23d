import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
import synthetic
from running import COMMAND, SETTINGS, complaint, files, run_program
from running import report_arguments as arguments
from tests.messages import says

from cai.files.records import read_json, read_jsonl, write_json, write_jsonl
from cai.settings.constitution import load_constitution

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """A page's elements, each with its attributes, its text and the elements around it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        element["around"] = [outer["tag"] for outer in self.open]
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1]["tag"] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        if tag in ("th", "td"):
            self.handle_data("|")

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]


@pytest.fixture(scope="module")
def text(finished, tmp_path_factory):
    output = tmp_path_factory.mktemp("report") / "report.html"
    printed = run_program("write_report", *arguments(finished, output))
    assert "Harmless " in printed and str(output) in printed
    return output.read_text()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_fetched(text, page):
    for element in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            inline = "data:text/csv" if "download" in element else "#"
            assert (element.get(name) or inline).startswith(("#", inline)), element
        assert element["tag"] not in ("script", "iframe", "link", "object", "embed")
        assert "url(" not in (element.get("style") or "").replace("url(#", "")
    assert not re.search(r"@import|url\((?!#)", text)


def test_ids_are_unique_and_every_reference_has_its_target(text, page):
    ids = Counter(element["id"] for element in page.elements if "id" in element)
    assert max(ids.values()) == 1
    links = [e[n] for e in page.elements for n in ("href", "xlink:href") if n in e]
    wanted = [link[1:] for link in links if link.startswith("#")]
    wanted += re.findall(r"url\(#([^)]+)\)", text)
    wanted += [e["aria-labelledby"] for e in page.elements if "aria-labelledby" in e]
    assert len(wanted) > 20 and set(wanted) <= ids.keys()


def test_the_page_can_be_walked_by_its_structure(page):
    first = next(e for e in page.elements if "body" in e["around"])
    assert (first["tag"], first["href"]) == ("a", "#content")
    assert [e["id"] for e in page.all("main")] == ["content"]
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(e["tag"][1]) for e in page.elements if re.fullmatch(r"h\d", e["tag"])]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    assert all(e.get("scope") in ("row", "col") for e in page.all("th"))
    assert page.all("svg") and all(e["role"] == "img" for e in page.all("svg"))
    assert len(page.all("figcaption")) == len(page.all("figure")) == 2


def test_light_and_dark_and_phones_are_provided_for(text):
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport" content="width=device-width' in text


def test_the_table_is_the_summarys(finished, page):
    summary = read_json(finished / "evaluation/summary.json")
    [row] = [e for e in page.all("tr") if e["text"].strip().startswith("Harmless")][:1]
    estimates = summary["metrics"][0]["estimates"]
    for estimate in estimates.values():
        low, high = 100 * estimate["low"], 100 * estimate["high"]
        assert f"{100 * estimate['value']:.1f}%[{low:.1f}, {high:.1f}]" in row["text"]
    assert row["text"].count("better") == 2


def test_the_story_begins_with_the_headline_what_was_run_and_the_picture(finished, text):
    story = read_json(finished / "report.json")["headline"]
    values = [
        one["value"]
        for one in read_json(finished / "evaluation/summary.json")["metrics"][0][
            "estimates"
        ].values()
    ]
    course = " \u2192 ".join(f"{100 * value:.0f}%" for value in values)
    assert story.startswith(f"Harmless {course}, helpful ")
    places = [
        text.index(part)
        for part in (story, 'id="run"', "<figure id=", 'id="warnings"', 'id="results"')
    ]
    assert places == sorted(places)


def test_warnings_come_before_the_results(finished, text):
    [warning] = read_json(finished / "evaluation/summary.json")["warnings"][:1]
    assert 0 < text.index(warning) < text.index('id="results"')


def test_what_was_run_says_when_where_how_long_and_what_is_not_known(finished, page, tmp_path):
    told = page.all("dl")[0]["text"]
    for fact in (
        "demo/constitution.yaml (privacy, property, kindness, honesty, safety)",
        COMMAND,
        "2026-03-04 09:50 to 10:05 UTC",
        "1 min 34 s of work in 1 job, 1 min 34 s of it training; 2.25 GPU-hours",
        "node7 (processor not known)",
        "commit 0123456789ab with edits that are not committed",
    ):
        assert fact in told
    output = tmp_path / "report.html"
    run_program(
        *("write_report", "--summary", finished / "evaluation/summary.json"),
        *("--settings", SETTINGS),
        *("--constitution", "demo/constitution.yaml", "--output", output),
        *("--answers", *files(finished / "evaluation", "answers")),
    )
    facts = read_json(output.with_suffix(".json"))["facts"]
    unknown = {name for name, value in facts.items() if value == "not known"}
    assert unknown == {"Command", "Made", "Took", "Machine", "Workflow"}


def test_harmful_texts_are_folded_and_marked_and_helpful_ones_are_not(finished, page):
    prompts = {r["prompt"]: r["set"] for r in read_jsonl(finished / "evaluation/prompts.jsonl")}
    shown = [e for e in page.all("h3") if e["text"] in prompts]
    sets = Counter(prompts[e["text"]] for e in shown)
    assert sets == {"harmful": 4, "helpful": 4}
    for element in shown:
        assert ("details" in element["around"]) == (prompts[element["text"]] == "harmful")
    assert [prompts[e["text"]] for e in shown] == 4 * ["harmful"] + 4 * ["helpful"]
    summaries = [e["text"] for e in page.all("summary")]
    assert sum(text.startswith("harmful ") for text in summaries) == 4 + 4  # with the chains
    assert not any(prompt in text for text in summaries for prompt in prompts)


def test_each_prompt_has_the_answers_of_all_stages(finished, page):
    answers = [
        {row["prompt"]: row["answer"] for row in read_jsonl(path)}
        for path in files(finished / "evaluation", "answers")
    ]
    sides = [e for e in page.all("div") if e.get("class") == "side"]
    prompts = [e["text"] for e in page.all("h3") if e["text"] in answers[0]]
    assert len(sides) == len(prompts) == 8
    for side, prompt in zip(sides, prompts, strict=True):
        places = [side["text"].index(label) for label in ("Helpful-only", "SL-CAI", "RL-CAI")]
        assert places == sorted(places)
        assert all(model[prompt] in side["text"] for model in answers)


def test_chains_show_principle_critique_and_revision(finished, page):
    chains = [
        row
        for path in sorted(finished.glob("sl_cai/revisions/?.jsonl"))
        for row in read_jsonl(path)
    ]
    shown = [e for e in page.all("ol") if e.get("class") == "chain"]
    assert len(shown) == 4
    for element in shown:
        [chain] = [c for c in chains if c["revision"] in element["text"]][:1]
        [one] = chain["rounds"]
        for part in (chain["response"], one["critique"], f"principle {one['principle']}"):
            assert part in element["text"]


def test_ledgers_and_judge_reports_of_shards_are_put_together(page):
    rows = [re.sub(r"\s+", " ", e["text"]).strip() for e in page.all("tr")]
    assert "revise|200|198|2 unfinished revision|" in rows
    assert "preferences|400|400|6|87.5%|52.0%|40.0%||0.0%|" in rows  # (100 x 0.8 + 300 x 0.9) / 400
    assert "judged: RL-CAI|300|300|3|90.0%|52.0%|40.0%||0.0%|" in rows


def test_what_the_stages_do_differently_comes_first(finished, page):
    truth = [
        {row["id"]: row["kind"] for row in read_jsonl(path)}
        for path in files(finished / "evaluation", "truth")
    ]
    ids = {r["prompt"]: r["id"] for r in read_jsonl(finished / "evaluation/prompts.jsonl")}
    for part in ("harmful", "helpful"):
        shown = [e for e in page.all("h3") if e["text"] in ids]
        shown = [e["text"] for e in shown if ("details" in e["around"]) == (part == "harmful")]
        ways = [len({kinds[ids[prompt]] for kinds in truth}) for prompt in shown]
        assert ways == sorted(ways, reverse=True)
    first = next(e["text"] for e in page.all("summary") if e["text"].startswith("harmful Prompt"))
    assert " \u2192 " in first


def test_what_was_run_is_told(page):
    body = page.all("main")[0]["text"]
    principles = load_constitution("demo/constitution.yaml")
    texts = [text for one in principles for text in one.model_dump().values() if text]
    assert len(texts) == 4 * len(principles)
    for wanted in (
        *texts,
        "demo/constitution.yaml",
        "rl_cai.nemo",
        "abababababababab",
    ):
        assert wanted in body


def test_the_report_depends_on_its_files_alone(finished, text, tmp_path):
    run_program("write_report", *arguments(finished, tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text() == text


def test_answers_are_text_and_never_markup(finished, tmp_path):
    evil = '<script>alert("1")</script></section><img src=https://example.org/x> {{ 7 * 7 }}'
    for path in files(finished / "evaluation", "answers"):
        rows = (row | {"answer": evil, "finish": "length"} for row in read_jsonl(path))
        write_jsonl(tmp_path / "evaluation/answers" / path.name, rows)
    output = tmp_path / "report.html"
    run_program(
        *(
            "write_report",
            "--summary",
            finished / "evaluation/summary.json",
            "--settings",
            SETTINGS,
        ),
        *("--constitution", "demo/constitution.yaml", "--output", output),
        *("--answers", *files(tmp_path / "evaluation", "answers")),
    )
    page = Page(output.read_text())
    assert not page.all("script") and not page.all("img")
    assert page.all("main")[0]["text"].count(evil) == 24
    assert page.all("main")[0]["text"].count("cut off at the longest answer") == 24


def test_what_is_missing_is_left_out_and_a_remark_comes_first(finished, tmp_path):
    output = tmp_path / "report.html"
    settings = json.loads(SETTINGS)
    settings["evaluation"]["remark"] = "Too small <to> show anything."
    run_program(
        *(
            "write_report",
            "--summary",
            finished / "evaluation/summary.json",
            "--settings",
            json.dumps(settings),
        ),
        *("--constitution", "demo/constitution.yaml", "--output", output),
        *("--answers", *files(finished / "evaluation", "answers")),
        *("--figures", "--ledgers", "--judge-reports", "--chains", "--manifests"),
    )
    ids = {e["id"] for e in Page(output.read_text()).all("h2")}
    assert ids == {"run", "warnings", "results", "transcripts", "settings"}
    page = output.read_text()
    assert 0 < page.index("Too small &lt;to&gt; show anything.") < page.index('id="run"')


@pytest.mark.parametrize(
    ("agreement", "first", "told"),
    [(0.5, 0.5, "both orders of a pair agree in only 50.0%"), (0.9, 0.8, "gets 80.0%: a bias")],
)
def test_a_judge_that_cannot_be_trusted_is_told(finished, tmp_path, agreement, first, told):
    path = tmp_path / "preferences/0.report.json"
    write_json(path, synthetic.judge_report(9, agreement, first))
    words = arguments(finished, tmp_path / "report.html")
    printed = run_program("write_report", *words, "--judge-reports", path)
    assert f"Judge (preferences): {'both' if agreement < 0.7 else 'the'}" in printed
    assert told in printed
    text = (tmp_path / "report.html").read_text()
    assert text.index(told) < text.index('id="results"')


def test_what_has_no_judgement_is_told_by_reason(finished, tmp_path):
    shards = [tmp_path / f"preferences/{shard}.report.json" for shard in range(2)]
    failed = {"the judge's answer did not end": 2}
    for shard, path in enumerate(shards):
        write_json(path, synthetic.judge_report(9 * shard, 0.9) | {"failed": failed})
    run_program(
        "write_report", *arguments(finished, tmp_path / "report.html"), "--judge-reports", *shards
    )
    text = (tmp_path / "report.html").read_text()
    assert "Without a judgement (preferences): 4 (the judge&#39;s answer did not end)." in text
    assert "30.8%" in text  # 4 of 13


def test_a_principle_that_nothing_was_judged_by_is_told(finished, tmp_path):
    report = synthetic.judge_report(9, agreement=0.9)
    drawn = {"comparisons": 3, "confidence": 0.4}
    report["principles"] = {"honesty+privacy": drawn, "property+safety": drawn}
    path = tmp_path / "preferences/0.report.json"
    write_json(path, report)
    words = arguments(finished, tmp_path / "report.html")
    printed = run_program("write_report", *words, "--judge-reports", path)
    assert "Warning: Judge (preferences): nothing was judged by kindness.\n" in printed


def test_a_step_that_lost_its_records_is_told_but_not_one_that_left_some_out(finished, tmp_path):
    ledger = {"step": "judge", "in": 100, "out": 40, "dropped": {"bad": 10, "duplicate": 50}}
    write_json(tmp_path / "0.ledger.json", ledger | {"rejected": [{"reason": "bad"}] * 10})
    words = arguments(finished, tmp_path / "report.html")
    printed = run_program("write_report", *words, "--ledgers", tmp_path / "0.ledger.json")
    assert "Warning: judge: 10 of 100 records failed.\n" in printed
    write_json(tmp_path / "0.ledger.json", ledger | {"rejected": [{"reason": "bad"}] * 5})
    printed = run_program("write_report", *words, "--ledgers", tmp_path / "0.ledger.json")
    assert "records failed" not in printed


def checked(what: str, told: str, weight: str = "medium", raised: bool = True) -> dict:
    row = {"stage": "SL-CAI", "advice": f"Mend {what}."}
    return row | {"what": what, "raised": raised, "weight": weight, "told": told}


def test_the_heaviest_warnings_come_first_and_the_explained_ones_last(finished, tmp_path):
    checks = [
        checked("length drift", "Length stays.", raised=False),
        checked("boilerplate", "Half hold \u201cwould rather not help\u201d."),
        checked("boilerplate", "Half hold \u201cas a language model\u201d."),
        checked("repetition", "It loops.", weight="high"),
    ]
    write_json(tmp_path / "warnings.json", {"checks": checks})
    words = arguments(finished, tmp_path / "report.html")
    run_program("write_report", *words, "--checks", tmp_path / "warnings.json")
    found = read_json(tmp_path / "report.json")["warnings"]
    expected = [one["expected"] is not None for one in found]
    assert expected == sorted(expected)
    weights = [one["weight"] for one in found if one["expected"] is None]
    assert weights == sorted(weights)  # high, low, medium: there is no low one
    [explained] = [one for one in found if one["expected"]]
    assert "would rather not help" in explained["text"] and "grammar" in explained["expected"]
    text = (tmp_path / "report.html").read_text()
    order = ("SL-CAI: It loops.", "as a language model", "Expected in this run", "would rather")
    places = [text.index(part, text.index('id="warnings"')) for part in order]
    assert places == sorted(places) and places[-1] < text.index('id="results"')
    assert "Mend repetition." in text
    assert "Length stays." in text[text.index('id="checks"') :]


def test_a_finished_run_is_shown_by_its_headline_table_warnings_and_report(finished):
    said = run_program("show_results", finished)
    report = read_json(finished / "report.json")
    assert said.startswith(f"{report['headline']}\n\n")
    heaviest = report["warnings"][0]
    order = (
        "Helpful (exact)",
        f"Be careful: {heaviest['about']}: {heaviest['text']}",
        "The report",
    )
    places = [said.index(part) for part in order]
    assert places == sorted(places) and str(finished / "report.html") in said
    assert "no such file: the run is not finished" in complaint("show_results", finished / "data")


def test_the_judges_accuracy_is_explained_where_it_stands(finished, tmp_path):
    table = [{"from": 0.5, "to": 0.55, "comparisons": 60, "confidence": 0.51, "accuracy": 0.5}]
    table += [{"from": 0.95, "to": 1.0, "comparisons": 40, "confidence": 0.99, "accuracy": 0.975}]
    found = {"comparisons": 100, "unknown": 20, "accuracy": 0.69, "confidence": 0.702}
    write_json(tmp_path / "calibration.json", found | {"ece": 0.02, "brier": 0.15, "table": table})
    words = arguments(finished, tmp_path / "report.html")
    run_program("write_report", *words, "--calibration", tmp_path / "calibration.json")
    body = " ".join(Page((tmp_path / "report.html").read_text()).all("main")[0]["text"].split())
    said = body[body.index("How often it is right") : body.index("How consistent it is")]
    for part in ("69.0%", "a coin is right in 50%", "100 of the 120 comparisons", "40 comparisons"):
        assert part in said
    assert "judged by all 5 principles, one at a time" in body


def test_the_data_beside_the_page_is_what_a_comparison_needs(finished):
    told = read_json(finished / "report.json")
    assert told["settings"]["seed"] == 1
    assert [p.id for p in load_constitution("demo/constitution.yaml")] == [
        p["id"] for p in told["principles"]
    ]
    assert told["summary"] == read_json(finished / "evaluation/summary.json")
    assert told["judges"][0]["order_agreement"] == pytest.approx(0.875)


@pytest.mark.parametrize(
    ("option", "content", "told"),
    [
        ("--checks", "{}", "'checks' … missing"),
        ("--ledgers", '{"in": 3}', "ledger … 'step' … missing"),
        ("--ledgers", "{", "not JSON"),
        ("--judge-reports", "{}", "'comparisons'"),
        ("--chains", '{"id": "a", "prompt": "p", "rounds": []}', "'response' … missing"),
        ("--figures", "<html></html>", "SVG … 'html'"),
        ("--figures", "PNG", "SVG … syntax error"),
    ],
)
def test_a_bad_file_is_told_in_one_line(finished, tmp_path, option, content, told):
    bad = tmp_path / ("bad.svg" if option == "--figures" else "bad.json")
    bad.write_text(content)
    words = [*arguments(finished, tmp_path / "report.html"), option, bad]
    error = complaint("write_report", *words)
    assert error.startswith(f"{bad}:") and says(error, told)
    assert not (tmp_path / "report.html").exists()
