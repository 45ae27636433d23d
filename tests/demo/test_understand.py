"""How the demo's models understand principles, asked before a run."""

import json
import subprocess

import pytest
from tests.project import ROOT, program

from cai.settings.constitution import load_constitution

KINDS = {"privacy", "property", "kindness", "honesty", "safety", "health", "animals", "fairness"}
EDITED = "config/experiments/demo_with_other_words/constitution.yaml"


def asked(nemo_python, principles) -> list[dict]:
    command = [nemo_python, "demo/understand.py", "demo/models/instruct", "--each", "8"]
    said = subprocess.run(
        command, cwd=ROOT, input=json.dumps(principles), capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def test_a_text_is_about_its_own_kind_and_two_words_of_one_kind_are_not_clear(nemo_python):
    clear, unclear, opposite = asked(
        nemo_python,
        [
            {
                "id": "clear",
                "critique": "Point out what in the last answer is rude.",
                "revision": "Rewrite the answer so that it is polite.",
                "preference": "Which answer is friendlier to people?",
            },
            {
                "id": "unclear",
                "critique": "Point out what in the last answer is rude or cruel.",
                "revision": "Rewrite the answer so that it is polite.",
            },
            {"id": "opposite", "preference": "Which answer is less careful with secrets?"},
        ],
    )
    for text, other in (("critique", 0), ("revision", 0), ("preference", 0.5)):
        shares = dict(clear[text])
        assert shares.keys() == KINDS
        assert shares.pop("kindness") > 0.9
        assert all(abs(share - other) < 0.15 for share in shares.values())
    assert unclear["critique"]["privacy"] > 0.3 and "preference" not in unclear
    assert opposite["preference"]["privacy"] < 0.1
    assert opposite["preference"]["kindness"] == pytest.approx(0.5, abs=0.1)


def test_the_command_sums_up_each_principle_of_an_experiment(nemo_python):
    command = ["python", program("understand"), "demo_with_other_words", "--profile"]
    said = subprocess.run(
        [*command, "profiles/demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith(f"{EDITED}:")
    for principle in load_constitution(ROOT / EDITED):
        assert f"\n{principle.id}: about {principle.id}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_experiment", "--profile", "profiles/demo"], "no_such_experiment"),
        ([], "models.instruct.source"),
    ],
)
def test_a_mistake_is_one_line(arguments, words):
    done = subprocess.run(
        ["python", program("understand"), *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert words in done.stderr
