"""The bill of a run that has not begun: estimates, budget, mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.messages import says

from cai.checks.amounts import Sizes
from cai.core.units import amount, rough_duration
from cai.files.records import write_json
from cai.plan.costs import Costs
from cai.plan.disk import size
from cai.plan.rehearsal import Count
from cai.settings.configuration import load_settings
from cai.workflow.dag import PlannedJob, Reasons

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SMALL = ["--config", "datasets={limit: 160}", "supervised={validation_size: 128}"]


def plan(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/plan.py", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def by_name(told):
    """The stages of a plan in JSON."""
    return {stage["stage"]: stage for stage in told["stages"]}


def planned(*arguments):
    """The stages of a plan, by name."""
    return by_name(json.loads(plan("--json", *arguments).stdout))


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    """The plan of Mistral-7B on a cluster, for few records, with empty results."""
    results = tmp_path_factory.mktemp("results") / "run"
    arguments = ["--profile", "slurm", "--config", f"results={results}", *SMALL[1:]]
    done = plan("--json", *arguments, "--", f"{results}/rl_cai.nemo")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), arguments, results


def test_a_run_that_was_never_made_is_estimated_and_marked_so(mistral):
    told, _, _ = mistral
    stages = by_name(told)
    assert stages["responses"]["jobs"] == 8
    assert stages["responses"]["new"] == 152  # of 160, without those held out
    assert stages["candidates"]["new"] == 4 * 152
    assert not stages["candidates"]["exact"]
    for name in ("responses", "revisions", "candidates", "sl_cai", "reward_model", "rl_cai"):
        assert stages[name]["source"] == ["estimated"], name
        assert stages[name]["gpu_hours"] > 0, name
        assert stages[name]["why"] == ["not made yet"], name
    assert stages["rl_cai"]["gpus"] == 16
    assert told["gpu_hours"] == pytest.approx(sum(s["gpu_hours"] for s in told["stages"]), abs=0.01)
    checkpoints = 7.24e9 * (2 + 14 * 4)
    assert stages["rl_cai"]["disk"] == pytest.approx(checkpoints, rel=0.01)


def test_dpo_costs_a_tenth_of_reward_model_and_ppo_and_needs_neither(mistral, tmp_path):
    told, arguments, results = mistral
    ppo, dpo = by_name(told), planned(*arguments, "--", f"{results}/dpo_cai.nemo")
    assert not dpo.keys() & {"reward_model", "rl_cai", "rewards", "answers"}
    assert dpo.keys() - ppo.keys() == {"dpo_dataset", "dpo_cai"}
    targets = [f"{tmp_path}/run/{policy}.nemo" for policy in ("rl_cai", "dpo_cai")]
    whole = planned("--profile", "slurm", "--config", f"results={tmp_path}/run", "--", *targets)
    assert 20 < whole["dpo_cai"]["gpu_hours"] < 60
    both = whole["reward_model"]["gpu_hours"] + whole["rl_cai"]["gpu_hours"]
    assert both == pytest.approx(561, abs=15)
    (why,) = whole["rl_cai"]["how"]
    assert says(why, "304 steps x 372 s; 328 s … rollouts, 8 batches of 8 a GPU …")
    assert says(why, "76% … helpful …: preferences.helpful_prompt_ratio")


@pytest.mark.parametrize(("budget", "code"), [(0.5, 1), (1e6, 0)])
def test_a_plan_above_the_budget_ends_with_1(mistral, budget, code):
    _, arguments, results = mistral
    done = plan("--budget", budget, *arguments, "--", f"{results}/sl_cai.nemo")
    assert done.returncode == code, done.stderr
    assert ("over the budget" in done.stderr) == bool(code)
    assert "* estimated (docs/costs.md, estimates)" in done.stdout


def test_a_demo_that_was_never_made_takes_minutes_by_its_stated_estimates(tmp_path):
    arguments = ["--profile", "profiles/demo", "--config", f"results={tmp_path}/run"]
    told = json.loads(plan("--json", *arguments).stdout)
    assert told["unknown_jobs"] == 0 and told["lower_bound"] == {
        "seconds": False,
        "gpu_hours": False,
    }
    assert 120 < told["seconds"] < 1200
    assert {source for stage in told["stages"] for source in stage["source"]} == {"estimated"}
    text = plan(*arguments).stdout
    assert re.search(r"0\.0\* GPU-hours, \d+ min\* of jobs one after another\n", text), text
    assert " 0 s" not in text


def test_what_is_not_known_is_no_nothing(mistral):
    told, arguments, results = mistral
    stages = by_name(told)
    assert stages["fetch_model"]["unknown_jobs"] == 2 and stages["rl_cai"]["unknown_jobs"] == 0
    assert told["lower_bound"] == {"seconds": True, "gpu_hours": False}
    text = plan(*arguments, "--", f"{results}/sl_cai.nemo").stdout
    (row,) = (line.split() for line in text.splitlines() if line.startswith("fetch_model"))
    assert row[1:3] == ["2", "?"]
    assert re.search(r"GPU-hours, >= [\d.]+ (h|min)\* of .*, 8 jobs unknown\n", text), text


def test_a_budget_that_cannot_be_checked_has_an_exit_code_of_its_own(mistral, tmp_path):
    _, arguments, results = mistral
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text("datasets: {helpful_sft: {records: null}}\n")
    place = ["--configfile", unknown, *arguments, "--", f"{results}/sl_cai.nemo"]
    done = plan("--budget", 1e6, *place)
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
    assert says(line, "budget: at least ")
    assert "datasets.helpful_sft.records: " in line
    assert ">= " in next(line for line in done.stdout.splitlines() if line.startswith("total"))
    assert plan("--budget", 0, *place).returncode == 1  # what is known is too much


@pytest.mark.parametrize(("retries", "warned"), [(0, True), (5, False)])
def test_a_time_limit_that_no_submission_reaches_the_end_in_is_a_warning(tmp_path, retries, warned):
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    profile["retries"] = retries
    profile["set-resources"]["responses"]["runtime"] = 5
    write_json(tmp_path / "config.yaml", profile)
    place = ["--profile", tmp_path, "--config", f"results={tmp_path}/run", *SMALL[1:]]
    done = plan(*place, "--", f"{tmp_path}/run/sl_cai/responses/0.jsonl")
    lines = [line for line in done.stderr.splitlines() if "runtime" in line]
    assert len(lines) == warned, done.stderr
    if warned:
        found = r"warning: profile: rule responses: runtime: found 5 min x 1 submissions"
        assert re.fullmatch(rf"{found} .*; accepted: more than .*\b\d+ min .*", lines[0])


def test_no_warning_is_told_twice(mistral):
    _, arguments, results = mistral
    other = ["--compare", "config/constitution.yaml"]
    lines = plan(*other, *arguments, "--", f"{results}/sl_cai.nemo").stderr.splitlines()
    assert lines and len(lines) == len(set(lines))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--config", "seed=-1"], "seed: … 0, found"),
        (["results/none"], "results/none"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, said):
    done = plan(*arguments)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
    assert line.startswith("error: ") and says(line, said)


def job(folder, rule="responses", gpus=8):
    return PlannedJob(
        rule=rule,
        wildcards={"shard": "0"},
        input=(),
        output=(str(folder / "0.jsonl"),),
        log=(),
        benchmark=None,
        command="",
        params={"journal": str(folder / "responses-0.jsonl")},
        resources={"gres": f"gpu:{gpus}", "nodes": 1},
        is_local=False,
        needed=True,
        reasons=Reasons(),
    )


@settings(deadline=None, max_examples=25)
@given(
    start=st.floats(1, 900),
    rate=st.floats(0.001, 10),
    news=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    new=st.integers(1, 10**5),
)
def test_the_rate_of_earlier_jobs_is_found_whatever_their_sizes(tmp_path_factory, **case):
    folder = tmp_path_factory.mktemp("journal")
    start, rate = case["start"], case["rate"]
    for shard, count in enumerate(case["news"]):
        entry = {"new": count, "seconds": start + rate * count, "start_seconds": start}
        row = {**entry, "gpus": 8, "end": "ended"}
        other = {**row, "gpus": 4, "seconds": 1e9}
        killed = {"gpus": 8, "seconds": 1e9, "end": None}
        write_json(folder / f"responses-{shard}.cost.json", [other, killed, row])
        (folder / f"responses-{shard}.jsonl").touch()
    mistral = load_settings(["config/config.yaml"])
    cost = Costs(mistral, Sizes(mistral)).of(job(folder), Count(new=case["new"]))
    assert cost.source == "measured"
    assert cost.seconds == pytest.approx(start + rate * case["new"], rel=1e-6)
    assert cost.gpu_hours == pytest.approx(cost.seconds * 8 / 3600)


def test_another_server_is_estimated_by_its_tokens_a_second(tmp_path):
    mistral = load_settings(["config/config.yaml"])
    server = mistral.server.model_copy(update={"kind": "openai"})
    served = mistral.model_copy(update={"server": server})
    asked = Count(new=1000, tokens=1000 * 1024)
    here, there = (
        Costs(run, Sizes(run)).of(job(tmp_path), asked).seconds for run in (served, mistral)
    )
    given = mistral.estimates
    assert here == pytest.approx(given.server_start + asked.tokens / given.served_tokens)
    assert here < there


def test_what_is_linked_twice_is_on_the_disk_once(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.nemo").write_bytes(b"x" * 1000)
    (tmp_path / "a.nemo").hardlink_to(tmp_path / "work/a.nemo")
    assert size([tmp_path / "a.nemo", tmp_path / "work", tmp_path / "none"]) == 1000


def test_amounts_are_told_in_units_that_people_read():
    assert [rough_duration(s) for s in (38.2, 700, 9000)] == ["38 s", "12 min", "2.5 h"]
    assert [amount(n) for n in (12, 2_500, 14.5e9, 1.3e12)] == [
        "12 B",
        "2.5 kB",
        "14.5 GB",
        "1.3 TB",
    ]


@pytest.mark.parametrize("budget", ["nan", "inf", "-1", "much", ""])
def test_a_budget_is_a_number_of_hours(budget):
    done = plan(f"--budget={budget}", "--", "x")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line == f"error: --budget: found {budget!r}; accepted: a number of GPU-hours, 0 or more"
