import csv
import json
import re
import shutil

import pytest
import synthetic
from running import SETTINGS, complaint, run_program
from tests.messages import says

from cai.evaluation.warnings import warning_list
from cai.files.records import read_json, read_jsonl, write_json
from cai.report import changed_settings, comparison, comparison_page


@pytest.fixture(scope="module")
def told(compared):
    return read_json(compared.with_suffix(".json"))


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the run, to be spoilt."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_the_answer_comes_first_in_one_sentence(told, compared):
    words, values = told["headline"], row(told, "rl_cai", "harmless.honesty")
    assert words.startswith(f"honesty: harmless {values['a']['value']:.0%} → 0%; ")
    others = len({r["category"] for r in told["metrics"]} - {None, "honesty"})
    assert f"the other {others} kinds of harm show no difference; helpful " in words
    took = r"(\d+ h \d+ min|\d+ min( \d+ s)?|\d+ s)"  # as long as the tests have run
    assert re.search(rf"\(no difference shown\); {took}, 2.25 GPU-hours\.$", words)
    page = compared.read_text()
    story = (words, 'id="changed"', 'id="results"', "<figure id=", "RL-CAI in both runs")
    story += ('id="transcripts"', 'id="run"', '<details id="warnings"', 'id="cost"')
    places = [page.index(part) for part in story]
    assert places == sorted(places)


def test_both_runs_facts_stand_side_by_side_and_an_older_report_knows_fewer(told):
    a, b = ({**run, "facts": dict(run["facts"])} for run in told["runs"])
    b["facts"] = {"Seed": "7"}
    page = comparison_page.render(told | {"runs": [a, b]}, None)
    found = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "|", page[page.index('id="run"') :]))
    assert "|Seed||1||7|" in found
    assert "|Command||snakemake --profile &#39;my profile&#39;||not known|" in found


def test_a_warning_of_both_runs_stands_once_in_reports_of_any_version(finished, copied):
    report = read_json(copied / "report.json")
    report["warnings"] = ["in both", "in both", "only in the copy"]
    write_json(copied / "report.json", report)
    original = read_json(finished / "report.json")
    new = {"what": "repetition", "about": "SL-CAI", "weight": "high", "text": "It loops."}
    new |= {"advice": "", "expected": None}
    b = comparison.read_run("b", copied)
    a = comparison.FinishedRun("a", original | {"warnings": ["in both", new]}, b.models)
    warnings = comparison.compare(a, b, seed=0)["warnings"]
    assert [warning_list.sentence(warning) for warning in warnings] == [
        "a: SL-CAI: It loops.",
        "both runs: in both",
        "b: only in the copy",
    ]


def row(told, model, name):
    [found] = [r for r in told["metrics"] if (r["model"], r["name"]) == (model, name)]
    return found


def test_what_was_lost_is_found_and_nothing_else(told):
    lost = {"harmless", "harmless.honesty", "win_rate_harmful"}
    assert {r["name"] for r in told["metrics"] if r["verdict"] == "worse"} == lost
    assert {r["verdict"] for r in told["metrics"] if r["name"] not in lost} == {"", "lower"}
    assert row(told, "rl_cai", "words")["verdict"] == "lower"  # who helps says less here
    honesty = row(told, "rl_cai", "harmless.honesty")
    assert honesty["b"]["value"] == 0.0 < 0.9 < honesty["a"]["value"]
    assert honesty["change"]["high"] < 0 and honesty["change"]["adjusted_p"] < 0.001
    assert honesty["change"]["n"] == honesty["a"]["n"] == honesty["b"]["n"]


def test_the_judge_of_the_base_run_holds_one_against_the_other(told, compared):
    harmful, helpful = told["head_to_head"]
    lost = next(row for row in told["changed"] if row["set"] == "harmful")
    expected = 0.5 + (lost["only b"] - lost["only a"]) / 2 / harmful["n"]
    assert harmful["value"] == pytest.approx(expected)
    assert (harmful["verdict"], helpful["verdict"]) == ("worse", "")
    assert "prefer the same answer in 90.0%" in compared.read_text()


def test_without_a_classifier_there_is_still_the_judge(finished, tmp_path):
    runs = [tmp_path / name for name in ("a", "b")]
    for run in runs:
        synthetic.write_evaluation(run / "evaluation", prompts=40)
        shutil.copy(finished / "report.json", run)
    judged = synthetic.write_head_to_head(tmp_path / "judged.jsonl", *runs)
    for run in runs:
        shutil.rmtree(run / "evaluation/truth")
    output = tmp_path / "c.html"
    run_program("compare_runs", *runs, "--judged", judged, "--output", output)
    told = read_json(output.with_suffix(".json"))
    assert not [row for row in told["metrics"] if "harmless" in row["name"]]
    assert [row["set"] for row in told["head_to_head"]] == ["harmful", "helpful"]
    assert "Head to head" in output.read_text()


def test_a_model_with_the_same_answers_is_not_compared(told):
    assert told["models"] == ["rl_cai"]
    assert "Helpful-only is left out: its answers are the same in both runs." in told["notes"]


def test_each_run_has_its_own_reward_model(told, finished, copied, tmp_path):
    assert "Rewards are left out: each run has its own reward model." in told["notes"]
    assert not [r for r in told["metrics"] if r["name"].startswith("reward")]
    for run in (finished, copied):
        report = read_json(run / "report.json")
        report["manifests"].append({"artefact": "reward_model.nemo", "sha256": "1" * 64})
        write_json(tmp_path / run.name / "report.json", report)
        if run is finished:
            shutil.copytree(run / "evaluation", tmp_path / run.name / "evaluation")
    runs = [comparison.read_run(n, tmp_path / n) for n in (finished.name, copied.name)]
    notes, left_out = comparison.uncomparable(*runs)
    assert (notes, left_out) == ([], set())


def test_what_both_runs_share_is_counted_as_shared(finished, copied):
    report = read_json(copied / "report.json")
    own = {"artefact": "rl_cai.nemo", "sha256": "2" * 64, "seconds": 5.5, "gpu_hours": 0.5}
    report["manifests"].append(own)
    write_json(copied / "report.json", report)
    a, b = (comparison.read_run(str(n), n) for n in (finished, copied))
    [_, told] = comparison.compare(a, b, seed=0)["runs"]
    assert told["shared"]["seconds"] == pytest.approx(94.2)
    assert told["cost"] == {"seconds": pytest.approx(99.7), "gpu_hours": 2.75}


def test_judges_of_other_principles_are_not_compared(finished, copied):
    report = read_json(copied / "report.json")
    report["principles"][0]["preference"] = "Which answer is longer?"
    write_json(copied / "report.json", report)
    runs = [comparison.read_run(str(n), n) for n in (finished, copied)]
    assert "win_rate" in comparison.uncomparable(*runs)[1]


def test_a_run_against_itself_differs_in_nothing(finished, tmp_path):
    output = tmp_path / "same.html"
    run_program("compare_runs", finished, finished, "--names", "a", "b", "--output", output)
    told = read_json(output.with_suffix(".json"))
    assert told["settings"] == []
    assert {p["change"] for p in told["principles"]} == {"same"}
    assert {r["verdict"] for r in told["metrics"]} == {""}
    assert {r["change"]["p"] for r in told["metrics"]} == {1.0}


def test_transcripts_that_tell_most_come_first(told, finished):
    harmful = told["transcripts"]["harmful"]
    assert len(harmful) == comparison.SHOWN
    assert {t["category"] for t in harmful} == {"honesty"}
    assert {t["verdict"] for t in harmful} == {"harmless only in all"}
    answers = {
        r["prompt"]: r["answer"] for r in read_jsonl(finished / "evaluation/answers/rl_cai.jsonl")
    }
    assert all(t["answers"][0]["text"] == answers[t["prompt"]] for t in harmful)


def test_harmful_prompts_are_folded_and_marked(compared, told):
    text = compared.read_text()
    assert text.count('<span class="mark">harmful</span>') == len(told["transcripts"]["harmful"])
    for shown in told["transcripts"]["harmful"]:
        before = text[: text.index(shown["prompt"])]
        assert before.rindex("<details") > before.rindex("</details")


def test_the_csv_has_the_numbers_of_the_page(compared, told):
    with open(compared.with_suffix(".csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(told["metrics"])
    [honesty] = [r for r in rows if r["metric"] == "harmless.honesty"]
    assert float(honesty["b"]) == 0.0 and honesty["verdict"] == "worse"
    assert f"{100 * float(honesty['a']):.1f}%" in compared.read_text()


def test_principles_are_told_by_what_became_of_them():
    def principle(name, text):
        return {"id": name, "critique": None, "revision": None, "preference": text}

    a = [principle("kind", "Which is kind?"), principle("old", "Old?"), principle("x", "X?")]
    b = [principle("new", "New?"), principle("kind", "Which is very kind?"), principle("x", "X?")]
    found = {row["id"]: row for row in changed_settings.principles_differences(a, b)}
    changes = {name: row["change"] for name, row in found.items()}
    assert changes == {"kind": "edited", "old": "removed", "x": "same", "new": "added"}
    words = found["kind"]["texts"]["preference"]
    assert changed_settings.word_differences("Be kind", "Be kind to all")[0] == ("same", "Be kind")
    assert words == [("same", "Which is"), ("ins", "very"), ("same", "kind?")]


def test_settings_are_told_by_field():
    a = {"seed": 1, "results": "x", "nemo": {"overrides": {"actor": {"lr": 1.0}}}}
    b = {"seed": 1, "results": "y", "nemo": {"overrides": {"actor": {"lr": 2.0, "kl": None}}}}
    assert changed_settings.settings_differences(a, b) == [
        {"field": "nemo.overrides.actor.kl", "a": None, "b": None},
        {"field": "nemo.overrides.actor.lr", "a": 1.0, "b": 2.0},
    ]


def test_a_terminal_shows_the_first_settings_that_differ_and_counts_the_others(told):
    rows = [{"field": f"field{number}", "a": 1, "b": 2} for number in range(9)]
    words = comparison_page.plain(told | {"settings": rows})
    assert "field5: 1 -> 2\n... and 3 more settings" in words and "field6" not in words


def test_settings_of_an_older_version_differ_only_where_their_values_do():
    now = json.loads(SETTINGS)
    older = {name: value for name, value in now.items() if name not in ("shards", "estimates")}
    edited = older | {"seed": 7, "results": "y", "constitution": "other.yaml"}
    found = changed_settings.settings_differences(edited, now)
    assert found == [{"field": "seed", "a": 7, "b": now["seed"]}]


def test_mistakes_are_told_in_one_line(finished, copied, tmp_path):
    told = complaint(
        "compare_runs", finished, tmp_path / "nowhere", "--output", tmp_path / "c.html"
    )
    assert says(told, "report.json: no such file")
    for path in (copied / "evaluation").glob("*/*.jsonl"):
        path.write_text("".join(line.replace('"id": "', '"id": "x') for line in path.open()))
    told = complaint("compare_runs", finished, copied, "--output", tmp_path / "c.html")
    assert says(told, "no held-out prompts")
