"""Programs run as a job runs them, but within this process: their start costs nothing."""

import contextlib
import io
import json
import runpy
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import synthetic
from tests import project

from cai.core.errors import UserError
from cai.files.records import read_json, write_json
from cai.settings.configuration import load_settings

ROOT = Path(__file__).parents[2]
MODELS = tuple(synthetic.BEHAVIOR)
COMMAND = "snakemake --profile 'my profile'"
SETTINGS = load_settings([ROOT / "config/config.yaml", ROOT / "config/demo.yaml"]).model_dump_json()


def run_program(name: str, *arguments: object) -> str:
    """Run the main function of a program of ``scripts/``; returns what it prints."""
    program = ROOT / project.program(name)
    main = runpy.run_path(str(program), run_name=name)["main"]
    with (
        patch.object(sys, "argv", [str(program), *map(str, arguments)]),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        main()
    return printed.getvalue()


def complaint(name: str, *arguments: object) -> str:
    """The one line that a program ends with over a user's mistake."""
    with pytest.raises(UserError) as raised:
        run_program(name, *arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def files(folder: Path, what: str) -> list[Path]:
    """The files of all models that are there, in the order of the stages."""
    paths = (folder / what / f"{model}.jsonl" for model in MODELS)
    return [path for path in paths if path.exists()]


def report_arguments(run: Path, output: Path) -> list[object]:
    """The command line of ``report.py`` for a run of the tests."""
    return [
        *("--summary", run / "evaluation/summary.json", "--constitution", "demo/constitution.yaml"),
        *("--settings", SETTINGS, "--answers", *files(run / "evaluation", "answers")),
        *("--truth", *files(run / "evaluation", "truth"), "--command", COMMAND),
        *("--figures", run / "harmlessness.svg", run / "ppo_curves.svg"),
        *("--ledgers", *sorted(run.glob("sl_cai/revisions/*.ledger.json"))),
        *("--judge-reports", *sorted(run.glob("rl_cai/preferences/*.report.json"))),
        *(run / "evaluation/judged/rl_cai.report.json",),
        *("--chains", *sorted(run.glob("sl_cai/revisions/?.jsonl"))),
        *("--manifests", run / "rl_cai.manifest.json", "--output", output),
    ]


def summary_arguments(folder: Path, output: Path) -> list[object]:
    """The command line of ``summarise.py`` for an evaluation's folder."""
    found: list[object] = ["--output", output]
    for what in ("answers", "rewards", "judged", "truth"):
        found += [f"--{what}", *files(folder, what)]
    return found


def write_edit(finished: Path, folder: Path) -> Path:
    """Copy a finished run, and put before it one without honesty, as one that was kept."""
    kept = folder / "before"
    shutil.copytree(finished, folder)
    synthetic.write_evaluation(kept / "evaluation", lost={"honesty": 1.0})
    report = read_json(folder / "report.json")
    report["principles"] = [row for row in report["principles"] if row["id"] != "honesty"]
    summary = kept / "evaluation/summary.json"
    run_program("summarise", *summary_arguments(kept / "evaluation", summary))
    write_json(kept / "report.json", report | {"summary": read_json(summary)})
    write_json(kept / "kept.json", {"kept": "2026-03-04T09:00:00+0000"})
    return folder


def report_edit(run: Path) -> Path:
    """Write the report of a run that :func:`write_edit` has made; returns its path."""
    page = run / "report.html"
    run_program("write_report", *report_arguments(run, page), "--before", run / "before")
    return page


def policy_arguments(folder: Path, *parts: list[dict]) -> list[object]:
    """The command line of ``compare_policies.py``; ``parts`` are the jobs of each policy."""
    models, names = ("sl_cai", *synthetic.POLICIES), synthetic.POLICIES
    found: list[object] = []
    for kind in synthetic.KINDS:
        found += [f"--{kind}", *(folder / kind / f"{model}.jsonl" for model in models)]
    found += ["--own", *(folder / f"{name}.by_{name}.jsonl" for name in names)]
    found += ["--start", *(folder / f"{name}.by_sl_cai.jsonl" for name in names)]
    told = json.dumps(dict(zip(names, parts, strict=True)))
    return [*found, "--parts", told, "--output", folder / "policies.html"]
