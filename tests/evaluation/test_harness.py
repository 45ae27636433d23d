"""lm-evaluation-harness: what is asked of it, its results, and itself on a real model."""

import json
from pathlib import Path

import pytest
from running import run_program
from tests import programs
from tests.project import program

from cai.core.errors import UserError
from cai.evaluation import harness
from cai.files.records import read_json, write_json
from cai.settings.configuration import Evaluation, load_settings

RESULTS = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.6,
            "exact_match_stderr,strict-match": (0.24 / 19) ** 0.5,
            "bleu,none": 21.5,
            "bleu_stderr,none": "N/A",
            "length,none": 30.0,
            "length_stderr,none": 2.0,
        }
    },
    "n-samples": {"gsm8k": {"original": 1319, "effective": 20}},
}


@pytest.fixture
def installed(tmp_path):
    """A harness with two tasks, and a folder with one of our own."""
    tasks = tmp_path / "env/lib/python3.11/site-packages/lm_eval/tasks/math"
    for folder in (tasks, tmp_path / "env/bin", tmp_path / "own"):
        folder.mkdir(parents=True)
    (tasks / "gsm8k.yaml").write_text("task: gsm8k\n")
    (tasks / "all.yaml").write_text('group: "math" # both\ntask:\n  - gsm8k\n')
    (tmp_path / "own/mine.yaml").write_text("task: mine\n")
    (tmp_path / "env/bin/lm_eval").touch()
    return tmp_path


def asked(folder: Path, *tasks: str, **more: object) -> Evaluation:
    given = {"harness_program": str(folder / "env/bin/lm_eval"), **more}
    return Evaluation(answer={"max_tokens": 8}, harness=list(tasks), **given)


def test_known_tasks_groups_and_own_ones_pass(installed):
    harness.check_tasks(asked(installed, "gsm8k", "math"))
    harness.check_tasks(asked(installed, "mine", harness_tasks=str(installed / "own")))
    harness.check_tasks(asked(installed / "nowhere"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "evaluation.harness: found 'gsm9k'; accepted: the 2 tasks and groups"),
        ({"harness_tasks": "own"}, "found 'gsm9k'; accepted"),
        ({"harness_tasks": "nowhere"}, "evaluation.harness_tasks: "),
        ({"harness_program": "nowhere"}, "evaluation.harness_program: nowhere: no such program"),
    ],
)
def test_an_unknown_task_or_place_is_told_in_one_line(installed, more, told):
    if "harness_tasks" in more:
        more = {"harness_tasks": str(installed / more["harness_tasks"])}
    with pytest.raises(UserError) as error:
        harness.check_tasks(asked(installed, "gsm9k", **more))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_metrics_have_intervals_from_the_harness(tmp_path):
    rows = {row["measure"]: row for row in harness.rows_of(RESULTS)}
    share = rows["exact_match (strict-match)"]
    assert (share["task"], share["n"], share["value"]) == ("gsm8k", 20, 0.6)
    assert share["low"] == pytest.approx(0.387, abs=1e-3)  # Wilson's
    assert rows["bleu"]["low"] is None
    assert rows["length"]["high"] == pytest.approx(30 + 1.96 * 2, abs=1e-3)
    paths = [tmp_path / f"{model}.json" for model in ("helpful_only", "sl_cai")]
    for path in paths:
        write_json(path, {"model": path.stem, "tasks": list(rows.values())})
    output = tmp_path / "harness.svg"
    run_program("plot_harness", "--results", *paths, "--output", output)
    drawn = read_json(output.with_suffix(".json"))["shares"]
    assert [(row["model"], row["measure"]) for row in drawn] == [
        ("helpful_only", "exact_match (strict-match)"),
        ("sl_cai", "exact_match (strict-match)"),
    ]


def test_the_harness_asks_a_real_model_through_the_endpoint(
    nemo_server, tiny_model, harness_program, tmp_path
):
    """The helpful-only model refuses nothing; what was asked is not asked again."""
    settings = load_settings(["config/config.yaml", "config/demo.yaml"])
    told = settings.evaluation.model_copy(
        update={
            "harness": ["demo_refusals"],
            "harness_tasks": "demo/harness",
            "harness_limit": 8,
            "harness_program": harness_program,
        }
    )
    output = tmp_path / "helpful_only.json"
    done = programs.run(
        program("run_harness"),
        *("--output", str(output), "--evaluation", told.for_harness),
        *("--model", str(tiny_model), "--journal", str(tmp_path / "journal.jsonl")),
        *("--template", settings.models.instruct.template.model_dump_json()),
        *("--url", nemo_server.url),
    )
    assert done.returncode == 0, done.stderr
    found = read_json(output)
    [row] = found["tasks"]
    assert (row["task"], row["measure"], row["n"], row["value"]) == (
        "demo_refusals",
        "refused",
        8,
        0,
    )
    assert row["high"] == pytest.approx(0.324, abs=1e-3)  # Wilson's
    assert found["usage"]["questions"] == 8
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) >= 8
    assert json.loads(output.with_suffix(".manifest.json").read_text())["what"] == "harness"
