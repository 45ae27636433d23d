"""Evaluations whose truth is known."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import synthetic
from running import policy_arguments, report_arguments, run_program, summary_arguments


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """The files of an evaluation, for a test to spoil."""
    synthetic.write_evaluation(tmp_path / "evaluation", prompts=120)
    return tmp_path / "evaluation"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its summary, its figures and all that its report is made of; not to be changed."""
    return _finished(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def compared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison of the run with one whose RL-CAI has lost honesty; the page's path."""
    other = _finished(tmp_path_factory.mktemp("other"), {"honesty": 1.0})
    output = tmp_path_factory.mktemp("compared") / "comparison.html"
    judged = synthetic.write_head_to_head(output.with_suffix(".judged.jsonl"), finished, other)
    words = [*("--names", "all", "dishonest", "--judged", judged), "--output", output]
    run_program("compare_runs", finished, other, *words)
    return output


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two last stages side by side, beside what it is made of."""
    folder = tmp_path_factory.mktemp("policies")
    synthetic.write_policies(folder)
    trained = {"name": "rl_cai", "manifest": str(folder / "rl_cai.manifest.json")}
    scored = {"name": "best_answers", "costs": [str(folder / "scores.cost.json")]}
    stated = {"name": "dpo_cai", "manifest": str(folder / "none.json"), "estimate": 60}
    run_program("compare_policies", *policy_arguments(folder, [trained, scored], [stated]))
    return folder / "policies.html"


def _finished(folder: Path, lost: Mapping[str, float] | None = None) -> Path:
    synthetic.write_evaluation(folder / "evaluation", lost=lost)
    synthetic.write_metrics(folder)
    synthetic.write_run(folder)
    summary = folder / "evaluation/summary.json"
    run_program("summarise", *summary_arguments(folder / "evaluation", summary))
    run_program("plot_evaluation", "--summary", summary, "--output", folder / "harmlessness.svg")
    run_program(
        *("plot_training", "--ppo", folder / "rl_cai.metrics.csv"),
        *("--output", folder / "ppo_curves.svg"),
    )
    run_program("write_report", *report_arguments(folder, folder / "report.html"))
    return folder
