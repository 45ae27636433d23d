"""What the type checker finds: a wrong path, a None and a missing field, planted into copies."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
PLANTED = {  # by what is wrong: module, the code, the code with a mistake
    "a text for a path": [
        ("cai/evaluation/classifier.py", "load_classifier(classifier)", "load_classifier('x.py')"),
        ("cai/checks/cluster.py", "read_json(report).get", "report.read_json().get"),
        ("cai/asking/run.py", "served_by(serving, options.server", "served_by(serving, 1"),
        ("cai/running/launcher.py", "Path(chosen), Path", "chosen, Path"),
    ],
    "a None": [
        ("cai/models/tokens.py", " or self.tokenizer is None", ""),
        (
            "cai/judging/pairwise.py",
            "whole_constitution(principles.values()) if name is None else principles[name]",
            "principles[name]",
        ),
        ("cai/running/launcher.py", "    if not job:\n", "    if False:\n"),
        ("cai/steps/critique.py", "how.direct or critique is None", "how.direct"),
    ],
    "a missing field": [
        ("cai/steps/answers.py", '            "response": reply.text,\n', ""),
        (
            "cai/steps/candidates.py",
            'record["prompt"], "candidates"',
            'record["text"], "candidates"',
        ),
        ("cai/judging/label_report.py", 'row["p_a"] if of_a', 'row["p_b"] if of_a'),
        (
            "cai/checks/preflight.py",
            "settings.supervised.validation_size",
            "settings.supervised.size",
        ),
        ("cai/judging/pairs.py", '            "principle": principle,\n', ""),
    ],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of a copy of the library with all mistakes in it."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "scripts/cai", copy / "scripts/cai")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for module, code, wrong in (each for group in PLANTED.values() for each in group):
        file = copy / "scripts" / module
        text = file.read_text("utf-8")
        assert code in text, f"{module} has changed: plant another mistake"
        file.write_text(text.replace(code, wrong, 1), "utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "scripts/cai"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True).stdout


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_found(found, what):
    for module, code, _ in PLANTED[what]:
        assert re.search(rf"^scripts/{module}:\d+: error: ", found, re.M), (module, code, found)
