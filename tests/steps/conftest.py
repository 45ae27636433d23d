"""The fixture that runs a step's program on records."""

from collections.abc import Callable
from pathlib import Path

import pytest
from step_programs import Step

from cai.files.records import write_jsonl


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., Step]:
    """Make a step with its input written."""

    def make(program: str, rows: list[dict], url: str | None = None) -> Step:
        made = Step(tmp_path, program, url)
        write_jsonl(made.input, rows)
        return made

    return make
