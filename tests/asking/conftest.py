"""HTTP servers that misbehave on purpose, and the template of the demo's instruct model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.loopback import Answer, Call, Loopback

from cai.models.templates import Template
from cai.settings.configuration import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def template() -> Template:
    """Of the demo's instruct model."""
    return load_settings(
        [ROOT / "config/config.yaml", ROOT / "config/demo.yaml"]
    ).models.instruct.template


@pytest.fixture
def loopback() -> Iterator[Callable[[Callable[[Call], Answer]], Loopback]]:
    """Start servers that live as long as the test."""
    started: list[Loopback] = []

    def start(answer: Callable[[Call], Answer]) -> Loopback:
        started.append(Loopback(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()
