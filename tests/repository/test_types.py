"""What the type checker finds in the library: a wrong path, a None and a missing field."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
IMPORTS = """
from pathlib import Path

from cai.evaluation.classifier import load_classifier
from cai.files.records import Prompt
from cai.judging.pairs import Judgement, Preference
from cai.models.templates import Message
from cai.running.launch import Launch
from cai.settings.configuration import Settings
from cai.training.watching import SilenceWatch


def planted(
    launch: Launch, settings: Settings, folder: Path, preference: Preference, said: Judgement
) -> None:
    found: object
"""
PLANTED = {  # by what is wrong: lines of a function
    "a text for a path": [
        "found = load_classifier('demo/classifier.py')",
        "found = SilenceWatch('train.log', 1.0)",
        "found = launch.container.suffix",
        "found = folder + '/x.json'",
    ],
    "a None": [
        "found = launch.container.strip()",
        "found = launch.seconds + 60",
        "found = load_classifier(None)",
        "found = Path(launch.gres)",
    ],
    "a missing field": [
        "found = preference['text']",
        "found = said['probability']",
        "found = settings.supervised.size",
        "message: Message = {'role': 'user'}",
        "prompt: Prompt = {'id': 'a'}",
    ],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The lines of a new module of the library that mypy calls wrong, with what it says."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "scripts/cai", copy / "scripts/cai")
    shutil.copy(ROOT / "pyproject.toml", copy)
    lines = [*IMPORTS.strip().splitlines()]
    lines += [f"    {wrong}" for group in PLANTED.values() for wrong in group]
    (copy / "scripts/cai/planted.py").write_text("\n".join(lines) + "\n", "utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "scripts/cai"]
    said = subprocess.run(command, cwd=copy, capture_output=True, text=True).stdout
    errors = re.findall(r"^scripts/cai/planted\.py:(\d+): error: (.*)$", said, re.M)
    assert said.count(": error: ") == len(errors), said
    return {lines[int(number) - 1].strip(): error for number, error in errors}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_found(found, what):
    for wrong in PLANTED[what]:
        assert wrong in found, found


def test_what_is_right_is_no_mistake(found):
    assert set(found) == {wrong for group in PLANTED.values() for wrong in group}
