"""lm-evaluation-harness, run as the program that it is on a model's endpoint, and its results.

It has an environment of its own (``make harness``), asks over HTTP, and gives a standard error for
each metric.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isclose
from pathlib import Path
from statistics import NormalDist
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.core.project import ROOT
from cai.core.shown import one_line
from cai.evaluation.tables import label
from cai.files.records import Record, read_json
from cai.running.process import inherited
from cai.settings.configuration import Evaluation
from cai.statistics.intervals import LEVEL, share_of

MAKE = "make harness installs it"
HERE = ROOT / "envs/harness"
CHOICE = "multiple_choice"
ACCEPTED = ("generate_until", CHOICE)  # output types
UNKNOWN = "; accepted: the tasks, groups and tags of lm-evaluation-harness"
BROKEN = 3  # exit code of list_kinds.py
STDERR = "_stderr"
PATIENCE = 86400  # seconds: when a model's server is to be given up is known behind the endpoint


def check_tasks(settings: Evaluation, *, scores_prompts: bool) -> None:
    """Check that the harness is there, and that its tasks can be asked at the endpoint.

    Args:
        settings: the tasks, and where the harness is.
        scores_prompts: whether the models' server gives the log-probabilities of a prompt.

    Raises:
        UserError: naming the field of the configuration.
    """
    if not settings.harness:
        return
    program, folder = Path(settings.harness_program), settings.harness_tasks
    fail_if(
        not program.is_file(),
        f"evaluation.harness_program: {program}: no such program; {MAKE}",
    )
    fail_if(
        folder is not None and not Path(folder).is_dir(),
        f"evaluation.harness_tasks: {folder}: no such folder",
    )
    for task in settings.harness:  # they become arguments of a program
        fail_if(not task.isprintable(), f"evaluation.harness: found {task!r:.100}{UNKNOWN}")
    for task, kinds in output_types(program, folder, tuple(settings.harness)).items():
        reason = refusal(kinds, scores_prompts=scores_prompts)
        fail_if(reason, f"evaluation.harness: found {task!r}{reason} ({program} ls tasks)")


def refusal(kinds: Sequence[str] | None, *, scores_prompts: bool) -> str | None:
    """Why a task of these output types is not asked, and what is; None if it is."""
    if kinds is None:
        return UNKNOWN
    other = [kind for kind in kinds if kind not in ACCEPTED]
    if other:
        return f", of output type {other[0]}; accepted: tasks of {' or '.join(ACCEPTED)}"
    if CHOICE in kinds and not scores_prompts:
        return (
            f", of output type {CHOICE}, for which server.kind: openai needs prompt_logprobs: true"
        )
    return None


@lru_cache
def output_types(
    program: Path, folder: str | None, tasks: tuple[str, ...]
) -> dict[str, list[str] | None]:
    """The output types of tasks, groups and tags by name; None for what the harness has not.

    Args:
        program: the harness's own, beside its Python.
        folder: with further tasks.
        tasks: the names.

    Raises:
        UserError: the harness cannot say.
    """
    command = [_python(program), str(HERE / "list_kinds.py"), folder or "", *tasks]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    last = one_line(done.stderr.strip().rpartition("\n")[2])
    fail_if(
        done.returncode == BROKEN,
        f"evaluation.harness_tasks: {last}; accepted: YAML files in the harness's form",
    )
    fail_if(
        done.returncode,
        f"evaluation.harness_program: {program}: its tasks cannot be listed: {last}",
    )
    found: dict[str, list[str] | None] = json.loads(done.stdout)
    return found


def _python(program: Path) -> str:
    return str(program.parent / "python")


def evaluate(
    settings: Evaluation, model: str, url: str, at_a_time: int, log: Path, work: Path
) -> list[Record]:
    """Run the harness's tasks on an endpoint; returns :func:`rows_of` its results.

    Args:
        settings: the tasks.
        model: its name at the endpoint.
        url: of the endpoint, up to and with ``/v1``.
        at_a_time: requests in flight.
        log: what the harness says.
        work: a folder in which it may write.

    Raises:
        UserError: the harness fails.
    """
    told = {
        "model": model,
        "base_url": f"{url}/chat/completions",
        "num_concurrent": at_a_time,
        "tokenized_requests": False,
        "max_retries": 3,
        "timeout": PATIENCE,
    }
    limit = ["--limit", str(settings.harness_limit)] if settings.harness_limit else []
    own = ["--include_path", settings.harness_tasks] if settings.harness_tasks else []
    with tempfile.TemporaryDirectory(dir=work) as folder, log.open("a", encoding="utf-8") as said:
        command = [
            *(_python(Path(settings.harness_program)), str(HERE / "ask_endpoint.py"), "run"),
            *("--model", "endpoint"),
            *("--model_args", ",".join(f"{name}={value}" for name, value in told.items())),
            *("--tasks", ",".join(settings.harness), "--apply_chat_template"),
            *("--output_path", folder, *limit, *own),
        ]
        done = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, env=_environment())
        if done.returncode:
            raise UserError(f"lm-evaluation-harness failed: {_last_line(log)}; all of it: {log}")
        found = sorted(Path(folder).rglob("results*.json"))
        fail_if(not found, f"lm-evaluation-harness wrote no results; what it said: {log}")
        return rows_of(read_json(found[-1]))


def _environment() -> dict[str, str]:
    """This process's variables without keys, but for the hub's, which has the data of tasks."""
    hub = {name: value for name, value in os.environ.items() if name == "HF_TOKEN"}
    return {**inherited(), **hub, "OPENAI_API_KEY": "none"}  # the harness wants one


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return one_line(lines[-1]) if lines else "it said nothing"


def rows_of(results: Mapping[str, Any]) -> list[Record]:
    """Each metric of each task: ``task``, ``measure``, ``n``, ``value``, ``low`` and ``high``.

    The interval is Wilson's where the harness's standard error is that of a share of yes and no;
    else it follows from the error by the normal distribution. None where there is no error.
    """
    rows = []
    for task, values in results["results"].items():
        n = results.get("n-samples", {}).get(task, {}).get("effective")
        for key, value in values.items():
            metric, _, rule = key.partition(",")
            if not isinstance(value, int | float) or metric.endswith(STDERR) or not rule:
                continue
            error = values.get(f"{metric}{STDERR},{rule}")
            name = metric if rule == "none" else f"{metric} ({rule})"
            low, high = _interval(value, error, n)
            bounds = {"low": low, "high": high}
            rows.append({"task": task, "measure": name, "n": n, "value": value, **bounds})
    return rows


def _interval(value: float, error: Any, n: int | None) -> tuple[float | None, float | None]:
    if not isinstance(error, int | float):
        return None, None
    of_a_share = value * (1 - value)
    if n and 0 <= value <= 1 and isclose(error**2 * (n - 1), of_a_share, abs_tol=1e-9):
        share = share_of(value * n, n)
        return share.low, share.high
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return value - reach, value + reach


def shares_of(models: Mapping[str, Sequence[Record]]) -> list[Record]:
    """The rows of all models in the form of a figure of shares; what is no share is left out.

    An interval ends where a share does.
    """
    return [
        {
            **{"set": row["task"], "measure": row["measure"], "model": model},
            **{"label": label(model), "n": row["n"], "value": row["value"]},
            **{"low": max(row["low"], 0.0), "high": min(row["high"], 1.0)},
        }
        for model, rows in models.items()
        for row in rows
        if row["low"] is not None and 0 <= row["value"] <= 1
    ]
