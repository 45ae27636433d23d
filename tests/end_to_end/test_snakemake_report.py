"""Snakemake's own report, made without a network."""

import re

import pytest
from tests.project import TARGETS

FIGURES = {
    "harmlessness.svg": "shares of prompts with Wilson",
    "ppo_curves.svg": "a sign of reward hacking",
    "training_curves.svg": "and of the reward model",
    "report.html": "are folded and marked",
}


@pytest.fixture(scope="module")
def text(project, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "snakemake.html"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
        project.snakemake("--report", str(path), "--", *TARGETS)
    return path.read_text()


@pytest.mark.parametrize(("name", "caption"), FIGURES.items())
def test_it_carries_the_figures_with_their_captions(text, name, caption):
    assert f'"name": "{name}"' in text
    assert re.search(caption.replace(" ", r"\s+"), text)


def test_it_has_categories_and_labels(text):
    for wanted in ("Training", "Evaluation", "PPO: reward, KL, length", "the report"):
        assert wanted in text


def test_it_fetches_nothing(text):
    assert not re.search(r"""<(?:script|link|img)[^>]*(?:src|href)=["']?https?:""", text)
