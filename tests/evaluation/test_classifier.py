import pytest
from demo import world
from running import complaint, run_program
from tests.messages import says

from cai.core.errors import UserError
from cai.evaluation.classifier import check_classifier
from cai.files.records import read_json, read_jsonl, write_jsonl

ANSWER = {"id": "1", "prompt": "Help?", "set": "harmful", "answer": "No.", "finish": "stop"}
VERDICT = {
    "set": "harmful",
    "category": "theft",
    "kind": "refuse",
    "exact": True,
    "harmless": True,
    "helpful": False,
    "over_refusal": False,
}


@pytest.fixture
def answers(tmp_path):
    write_jsonl(tmp_path / "answers.jsonl", [ANSWER])
    return tmp_path / "answers.jsonl"


def classifier(folder, code):
    path = folder / "mine.py"
    path.write_text(code)
    return path


def test_the_demos_classifier_tells_the_truth(evaluation, tmp_path):
    run_program(
        *("classify", "--answers", evaluation / "answers/rl_cai.jsonl"),
        *("--classifier", "demo/world.py", "--output", tmp_path / "truth.jsonl"),
    )
    assert list(read_jsonl(tmp_path / "truth.jsonl")) == list(
        read_jsonl(evaluation / "truth/rl_cai.jsonl")
    )
    ledger = read_json(tmp_path / "truth.ledger.json")
    assert ledger["in"] == ledger["out"] == 240


def test_an_unfinished_refusal_is_no_refusal(tmp_path):
    request = world.requests(("test",), ("harm",))[0]
    refusal = world.refusal(request.category, request.person, request.thing)
    row = {"prompt": request.text, "set": "harmful", "answer": refusal}
    rows = [{**row, "id": finish, "finish": finish} for finish in ("stop", "length")]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    run_program(
        *("classify", "--answers", tmp_path / "answers.jsonl"),
        *("--classifier", "demo/world.py", "--output", tmp_path / "truth.jsonl"),
    )
    verdicts = {row["id"]: row["harmless"] for row in read_jsonl(tmp_path / "truth.jsonl")}
    assert verdicts == {"stop": True, "length": False}


def test_a_classifier_may_import_its_neighbours_and_use_dataclasses(answers, tmp_path):
    (tmp_path / "helper_of_mine.py").write_text(f"VERDICT = {VERDICT}\n")
    code = """
from __future__ import annotations
from dataclasses import dataclass
import helper_of_mine
@dataclass
class Nothing:
    field: int
def score(prompt, answer, finished):
    return helper_of_mine.VERDICT | {"more": 1}
"""
    output = tmp_path / "truth.jsonl"
    mine = classifier(tmp_path, code)
    run_program("classify", "--answers", answers, "--classifier", mine, "--output", output)
    assert list(read_jsonl(output)) == [{"id": "1", **VERDICT}]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def score(", "does not load: SyntaxError"),
        ("import no_such_module_at_all", "does not load: ModuleNotFoundError"),
        ("points = 1", "score(prompt, answer, finished)"),
        ("def score(p, a, f): return 1 / 0", "score() of the answer to 1: ZeroDivisionError"),
        ("def score(p, a, f): return True", "expected a dict, found True"),
        ("def score(p, a, f): return {}", "set: expected str, found None"),
        (f"def score(p, a, f): return {VERDICT | {'exact': 1}}", "exact: expected bool, found 1"),
        (
            f"def score(p, a, f): return {VERDICT | {'set': 'helpful'}}",
            "set: … harmful … found 'helpful'",
        ),
    ],
)
def test_a_bad_classifier_is_told_in_one_line(answers, tmp_path, code, told):
    mine = classifier(tmp_path, code)
    output = tmp_path / "truth.jsonl"
    arguments = ("--answers", answers, "--classifier", mine, "--output", output)
    error = complaint("classify", *arguments)
    assert error.startswith(f"{mine}: ")
    assert says(error, told)
    assert not output.exists()


def test_a_missing_classifier_is_told(answers, tmp_path):
    arguments = ("--answers", answers, "--classifier", "none.py", "--output", tmp_path / "x")
    assert "none.py: no such file" in complaint("classify", *arguments)


@pytest.mark.parametrize(
    "code",
    [
        "def score(prompt, answer, finished): ...",
        "def score(p, a, f=True, more=1): ...",
        "def score(*args): ...",
        "def score(p, *args, key=1): ...",
        "def score(p, a, /, f, **more): ...",
        "@wrapped\ndef score(p): ...",
        "def score(p): ...\ndef score(p, a, f): ...",
        "score = lambda p, a, f: {}",
        "score = other",
        "from other import score",
        "from other import *",
        "class score:\n    def __init__(self, p, a, f): ...",
    ],
)
def test_what_can_be_called_with_three_arguments_is_taken(tmp_path, code):
    check_classifier(classifier(tmp_path, code))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def score(prompt, answer): ...", "score(prompt, answer)"),
        ("def score(): ...", "score()"),
        ("def score(p, a, f, more): ...", "score(p, a, f, more)"),
        ("def score(p, a, f, *, key): ...", "score(p, a, f, *, key)"),
        ("def score(p, *, a, f): ...", "score(p, *, a, f)"),
        ("async def score(p, a, f): ...", "async score(p, a, f)"),
        ("score = lambda p, a: {}", "score(p, a)"),
        ("def score(p, a, f): ...\ndef score(p): ...", "score(p)"),
    ],
)
def test_what_cannot_is_told_before_any_training(tmp_path, code, found):
    with pytest.raises(UserError) as error:
        check_classifier(classifier(tmp_path, code))
    accepted = "found {}; accepted: … score(prompt, answer, finished)"
    assert says(str(error.value), "evaluation.classifier: … " + accepted.format(found))
