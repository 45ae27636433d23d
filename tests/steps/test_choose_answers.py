"""Questions with choices, asked of NeMo's own server with the demo's instruct model."""

import json

import pytest
from tests import programs
from tests.project import program

from cai.files.records import read_jsonl, write_jsonl
from cai.settings.configuration import load_settings


def test_the_critic_tells_problems_and_any_number_of_choices_is_weighed(
    nemo_server, tiny_model, tmp_path
):
    settings = load_settings(["config/config.yaml", "config/demo.yaml"])
    sets = tmp_path / "set.jsonl"
    source = settings.evaluations.harm_binary.model_dump_json()
    told = ("--kind", "questions", "--source", source, "--limit", "30", "--output", str(sets))
    run("prepare_evaluation_set", *told)
    kites = {
        "id": "kites",
        "set": "(A)",
        "messages": [{"role": "user", "content": "Which of these is a kite?"}],
        "prefix": "The answer is: ",
        "choices": [f"({letter})" for letter in "ABCDEFGHI"],
        "correct": 0,
    }
    write_jsonl(sets, [*list(read_jsonl(sets)), kites])
    output = tmp_path / "choices.jsonl"
    run(
        *("choose_answers", "--input", str(sets), "--output", str(output)),
        *("--model", str(tiny_model), "--journal", str(tmp_path / "journal.jsonl")),
        *("--template", settings.models.instruct.template.model_dump_json()),
        *("--url", nemo_server.url),
    )
    *problems, kite = read_jsonl(output)
    assert len(problems) == 30
    assert all(row["right"] for row in problems)
    assert len(kite["probabilities"]) == 9
    for row in [*problems, kite]:
        assert sum(row["probabilities"]) == pytest.approx(1)
    ledger = json.loads(output.with_suffix(".ledger.json").read_text())
    assert (ledger["in"], ledger["out"]) == (31, 31)


def run(name, *arguments):
    done = programs.run(program(name), *arguments)
    assert done.returncode == 0, done.stderr
