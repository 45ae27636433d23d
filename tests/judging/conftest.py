"""The programs that judge, run on records as users run them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.steps.step_programs import Step, preferences, principle_options

from cai.files.records import write_jsonl


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Step]:
    """Make the program that judges, with candidates written, and a server if it needs one."""

    def make(candidates: list[dict], url: str | None = None) -> Step:
        step = Step(tmp_path, "judge_candidates", url)
        write_jsonl(step.input, candidates)
        return step

    return make


@pytest.fixture
def asked() -> Callable[..., list[str]]:
    """The options that name a judge with the constitution of the tests."""

    def options(**settings: object) -> list[str]:
        return ["--judge", json.dumps(settings), *principle_options(preferences())]

    return options
