"""The whole workflow with real NeMo: what it makes, and that it is made once."""

import json
import re
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cai.nemo.triton import home_of

CHECKPOINTS = ["models/base", "models/instruct", "sl_cai", "reward_model", "rl_cai"]
EXPORTED = ["sft", "preferences", "prompts"]


def ledgers(project):
    return {path: json.loads(path.read_text()) for path in project.results.rglob("*.ledger.json")}


def test_each_step_leaves_a_ledger_that_balances(project):
    found = ledgers(project)
    assert len(found) >= 12
    for path, ledger in found.items():
        assert ledger["in"] == ledger["out"] + sum(ledger["dropped"].values()), path


def test_a_second_run_has_nothing_to_do(project):
    assert project.planned() == set()
    assert "Nothing to be done" in project.snakemake("--", "results/demo/rl_cai.nemo")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_a_nemo_archive_with_a_true_manifest(project, name):
    from cai.core.digests import file_digest

    path = project.results / f"{name}.nemo"
    with tarfile.open(path) as archive:
        names = [member.name.removeprefix("./") for member in archive]
    assert "model_config.yaml" in names
    assert any(name.startswith("model_weights/") for name in names)
    manifest = json.loads(path.with_suffix(".manifest.json").read_text())
    assert manifest["sha256"] == file_digest(path)


def test_training_changed_the_weights(project):
    digests = [
        json.loads((project.results / f"{name}.manifest.json").read_text())["sha256"]
        for name in CHECKPOINTS
    ]
    assert len(set(digests)) == len(CHECKPOINTS)
    metrics = (project.results / "sl_cai.metrics.csv").read_text()
    losses = [float(row.split(",")[2]) for row in re.findall(r"^train/loss,.*$", metrics, re.M)]
    assert len(losses) == 8
    assert min(losses[4:]) < losses[0]  # a few steps, so it goes up and down


def test_no_prompt_is_in_train_and_test(project):
    def ids(path):
        return {json.loads(line)["id"] for line in (project.results / path).open()}

    for folder in ("data/red_team/{}", "data/helpful_preferences/{}.prompts", "rl_cai/{}.prompts"):
        train, test = ids(folder.format("train") + ".jsonl"), ids(folder.format("test") + ".jsonl")
        assert train and test
        assert not train & test


def test_ai_and_human_comparisons_end_alike(project):
    lines = (project.results / "rl_cai/train.comparisons.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) % 2 == 0
    assert all(text.endswith("\n<extra_id_1>") for text in texts)


def test_the_datasets_are_exported_for_other_trainers(project):
    project.snakemake("--", "export")
    export = project.results / "export"
    counts = {name: json.loads((export / f"{name}.ledger.json").read_text()) for name in EXPORTED}
    for name, ledger in counts.items():
        assert ledger["in"] and not ledger["failed"], name
        written = [pq.read_metadata(path).num_rows for path in (export / name).glob("*.parquet")]
        assert sum(written) == ledger["out"] and all(written)
    trained = (project.results / "sl_cai/train.jsonl").read_text().splitlines()
    assert counts["sft"]["notes"]["train"] == len(trained)
    assert project.planned(targets=["export"]) == set()


def test_the_report_is_one_file_that_asks_for_nothing(project):
    page = (project.results / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    for name in ("Helpful-only", "SL-CAI", "RL-CAI"):
        assert name.lower() in page.lower()


def test_nothing_is_left_of_what_programs_needed_while_they_ran(finished_once):
    """Unpacked models, and PyTriton's files, also those that Triton copies to /tmp."""
    left = re.compile(r"unpacked|triton|server-\w+")
    assert not [path for path in finished_once.results.rglob("*") if left.fullmatch(path.name)]
    home = home_of(finished_once.results / "work/rl_cai")
    copied = [path.read_text() for path in Path("/tmp").glob("folder*/config.pbtxt")]
    assert not home.exists() and str(home) not in "".join(copied)


def test_each_job_has_a_log(project):
    assert (project.results / "logs/sl_cai.log").read_text().startswith("sl_cai: starts")
    assert "PPO" in (project.results / "logs/rl_cai.actor.log").read_text(errors="replace")


def test_the_journal_answers_when_an_output_is_lost(project):
    """What was generated is not generated again: no server is started."""
    answers = project.results / "evaluation/answers/sl_cai.jsonl"
    before = answers.read_text()
    answers.unlink()
    said = project.snakemake("--", "results/demo/evaluation/answers/sl_cai.jsonl")
    assert answers.read_text() == before
    assert re.search(r"(\d+)/\1 records, \1 reused", said), said[-2000:]


def test_a_job_that_fails_ends_the_run_and_says_why(project, tmp_path):
    """What it says goes through a pipe into its log: the exit code must survive that."""
    (tmp_path / "bad.jsonl").write_text('{"messages": 1}\n{"messages": \n')
    setting = f"datasets={{helpful_sft: {{source: {tmp_path}/bad.jsonl}}}}"
    target = "results/failing/data/helpful_sft.jsonl"
    said = project.snakemake(
        "--config", "results=results/failing", setting, "--", target, check=False
    )
    assert "error: " in said and "bad.jsonl:1" in said
    assert "At least one job did not complete successfully" in said
    assert "MissingOutputException" not in said
