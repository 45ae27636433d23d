"""Experiments by the real DAG: what they make and share, and that the base run stays as it is."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from tests.project import Project

BASE = "results/demo"
PRETRAINED = {"fetch_model", "convert_model"}
SOURCE = {"red_team", "helpful_sft", "helpful_preferences", "responses"}
SUPERVISED = {"revisions", "sl_dataset", "sl_cai"}
PREFERENCE = {"preferences", "rl_dataset", "reward_model"}


def write(project, name, fields, constitution=None):
    """Write an experiment's overlay, and the constitution that it names."""
    if constitution is not None:
        path = project.folder / f"{name}.constitution.yaml"
        path.write_text(yaml.dump({"principles": constitution}))
        fields = fields | {"constitution": path.name}
    (project.folder / f"config/experiments/{name}.yaml").write_text(yaml.dump(fields))


def targets(name):
    return [f"{BASE}/experiments/{name}/report.html", f"{BASE}/experiments/{name}/rl_cai.nemo"]


def principles(project):
    return yaml.safe_load((project.folder / "demo/constitution.yaml").read_text())["principles"]


def edited(project, text):
    first, *others = principles(project)
    return [first | {text: f"Please, {first[text]}"}, *others]


# All settings that are first read after a part: none of them may make the part again.
AFTER_PREFERENCE = {
    "evaluation": {"limit": 20, "answer": {"max_tokens": 40}},
    "nemo": {
        "check": False,
        "overrides": {
            "critic": {"model.optim.lr": 0.0006},
            "actor": {"model.optim.lr": 0.0003},
            "reward_server": {"inference.inference_micro_batch_size": 2},
        },
    },
}
AFTER_CANDIDATES = {
    "preferences": {"draws": 1, "hard_labels": True, "judge": "random", "helpful_ratio": 0.9},
    "lengths": {"answer": 40},
    "nemo": {"overrides": {"reward_model": {"model.optim.lr": 0.0004}}},
}
AFTER_SUPERVISED = {"preferences": {"temperatures": [0.8, 1.0], "candidate": {"max_tokens": 40}}}
AFTER_SOURCE = {
    "supervised": {
        "rounds": 1,
        "critique": {"max_tokens": 40, "temperature": 0.8},
        "revision": {"max_tokens": 40, "temperature": 0.8},
        "train_on": "all",
        "helpful_ratio": 1.5,
        "validation_size": 24,
    },
    "few_shot": "config/few_shot.yaml",
    "lengths": {"sft": 120},
    "nemo": {"overrides": {"sft": {"model.optim.lr": 0.0009}}},
}
AFTER_PRETRAINED = {"seed": 5, "shards": 2, "supervised": {"response": {"temperature": 0.9}}}


@pytest.mark.parametrize(
    ("fields", "text", "made", "shared"),
    [
        (AFTER_PREFERENCE, None, {"rl_cai"}, {"candidates"} | SUPERVISED | PREFERENCE),
        (AFTER_CANDIDATES, "preference", PREFERENCE, {"candidates"} | SUPERVISED),
        (AFTER_SUPERVISED, None, {"candidates"} | PREFERENCE, SUPERVISED),
        (AFTER_SOURCE, "critique", {"candidates"} | SUPERVISED | PREFERENCE, set()),
        (AFTER_SOURCE, "revision", {"candidates"} | SUPERVISED | PREFERENCE, set()),
    ],
)
def test_what_comes_out_alike_is_not_made_again(project, fields, text, made, shared):
    write(project, "edited", fields, edited(project, text) if text else None)
    planned = project.planned("--config", "experiment=edited", targets=targets("edited"))
    assert planned >= made
    assert not planned & (PRETRAINED | SOURCE | shared)


def test_another_seed_shares_the_models_alone(project):
    write(project, "seed", AFTER_PRETRAINED)
    planned = project.planned("--config", "experiment=seed", targets=targets("seed"))
    assert planned >= SOURCE | SUPERVISED | PREFERENCE
    assert not planned & PRETRAINED


def test_shared_parts_that_are_missing_are_made_where_the_base_run_has_them(tmp_path):
    project = Project(tmp_path)
    write(project, "edited", {}, edited(project, "preference"))
    plan = project.snakemake("-n", "--config", "experiment=edited", "--", *targets("edited"))
    outputs = set(re.findall(r"[^\s,]+", " ".join(re.findall(r"output: (.*)", plan))))
    own = f"{BASE}/experiments/edited"
    assert {f"{BASE}/models/base.nemo", f"{BASE}/sl_cai.nemo", f"{own}/rl_cai.nemo"} <= outputs
    assert not {f"{own}/models/base.nemo", f"{own}/sl_cai.nemo", f"{BASE}/rl_cai.nemo"} & outputs


def files(folder: Path) -> dict[Path, int]:
    """The files of a folder but those of experiments and comparisons, with times of change."""
    own = {"experiments", "comparisons"}
    walked = ((Path(at), names) for at, _, names in os.walk(folder))
    inside = ((at, names) for at, names in walked if not own & set(at.relative_to(folder).parts))
    return {at / name: (at / name).stat().st_mtime_ns for at, names in inside for name in names}


def test_an_experiment_generates_what_differs_alone(project):
    write(project, "fewer", {}, principles(project)[1:])
    before = files(project.results)
    output = f"{BASE}/experiments/fewer/sl_cai/revisions/0.jsonl"
    said = project.snakemake("--config", "experiment=fewer", "--", output)
    counts = re.findall(r"(critique|revision) 1 of \d: (\d+)/\2 records, (\d+) reused", said)
    assert len(counts) == 2, said[-3000:]
    for _, records, reused in counts:
        assert 0.5 * int(records) < int(reused) < int(records)
    assert files(project.results) == before


def test_a_comparison_makes_the_experiment_and_leaves_the_base_run_alone(project):
    setting = {"trainer.ppo.initial_policy_kl_penalty": 0.2}
    write(project, "penalty", {"nemo": {"overrides": {"actor": setting}}})
    before = files(project.results)
    said = project.snakemake("--config", "experiment=penalty", "--", "compare")
    assert re.search(r"answer: (\d+)/\1 records, \1 reused", said)  # those of the other models
    own = project.results / "experiments/penalty"
    assert (own / "rl_cai.nemo").exists() and not (own / "reward_model.nemo").exists()
    assert files(project.results).items() >= before.items()
    told = json.loads((project.results / "comparisons/base--penalty.json").read_text())
    field = "nemo.overrides.actor.trainer.ppo.initial_policy_kl_penalty"
    [row] = told["settings"]
    assert (row["field"], row["b"]) == (field, 0.2)
    assert told["models"] == ["rl_cai"]
    assert any(row["name"] == "reward_harmful" for row in told["metrics"])  # the same reward model
    assert [row["set"] for row in told["head_to_head"]] == ["harmful", "helpful"]
    assert project.planned() == set()
