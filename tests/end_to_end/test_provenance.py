"""What a whole run leaves of where its artefacts came from: manifests, and lineages of them."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from tests.messages import says

from cai.conversion.model_identity import model_identity
from cai.core.digests import file_digest
from cai.provenance.manifest import manifest_path

SL, RL = "results/demo/sl_cai/train.jsonl", "results/demo/rl_cai/train.comparisons.jsonl"


def lineage(project, *arguments, code=0):
    """What scripts/lineage.py prints."""
    done = subprocess.run(
        [sys.executable, "scripts/lineage.py", *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr + done.stdout[-2000:]
    return done.stdout


def manifest(project, name):
    return json.loads((project.results / f"{name}.manifest.json").read_text())


def content(path):
    """What an input is by its content: a model's identity, the digest of any other file."""
    return model_identity(path) if path.suffix == ".nemo" else file_digest(path)


def test_each_artefact_has_a_true_manifest(project):
    results = project.results
    made = [
        *results.rglob("*.nemo"),
        *results.rglob("*.jsonl"),
        results / "evaluation/summary.json",
    ]
    made = [path for path in made if "work" not in path.parts]
    assert len(made) > 30
    for path in made:
        found = json.loads(manifest_path(path).read_text())
        assert found["sha256"] == file_digest(path), path
        assert found["inputs"], path
        for name, digest in found["inputs"].items():
            if (project.folder / name).is_file():
                assert digest == content(project.folder / name), (path, name)
        assert len(found["code"]["scripts"]) == 64
        assert found["software"]["python"] and found["host"] and found["seconds"] is not None


def test_a_manifest_says_what_the_program_was_given(project):
    found = manifest(project, "sl_cai/revisions/0")
    constitution = yaml.safe_load((project.folder / "demo/constitution.yaml").read_text())
    for principle in constitution["principles"]:
        stands = found["principles"][principle["id"]]
        assert stands["critique"] == principle["critique"]
        assert re.fullmatch(r"[0-9a-f]{16}", stands["digest"])
    assert found["settings"]["critique_sampling"]["temperature"] >= 0
    assert found["settings"]["server"][-1].startswith("gpt_model_file=")
    assert found["software"]["nemo"]["nemo_toolkit"] == "2.1.0"
    ledger = json.loads((project.results / "sl_cai/revisions/0.ledger.json").read_text())
    assert found["ledger"]["in"] == ledger["in"] and "rejected" not in found["ledger"]
    sources = manifest(project, "data/red_team/train")["sources"]
    # The second is asked by the evaluation: its prompts were kept out of what is trained on.
    asked = ["demo/data/red_team.jsonl", "demo/data/helpful_test.jsonl"]
    assert [source["files"] for source in sources] == [[file] for file in asked]
    assert manifest(project, "models/base")["model"]["source"] == "demo/models/base/"
    assert manifest(project, "rl_cai")["software"]["nemo"]["nemo-aligner"] == "0.7.0"


def test_a_checkpoint_leads_to_principles_datasets_and_models(project):
    said = lineage(project, "results/demo/rl_cai.nemo")
    digest = manifest(project, "rl_cai/preferences/0")["principles"]["honesty"]["digest"]
    assert f"principle honesty {digest}: " in said
    assert "dataset demo/data/red_team.jsonl" in said
    assert "model demo/models/base/" in said
    assert "GPU-hours: 0" in said
    found = json.loads(lineage(project, "results/demo/rl_cai.nemo", "--json"))
    assert found["broken"] == [] and found["gpu_hours"]["total"] == 0
    assert RL in found["files"]


def first(project, path, **wanted):
    """The first record of a file with these values."""
    rows = map(json.loads, (project.folder / path).read_text().splitlines())
    return next(row for row in rows if wanted.items() <= row.items())


def test_a_record_leads_back_to_its_prompt_and_all_texts(project):
    row = first(project, SL, dataset="revisions")
    steps = json.loads(lineage(project, SL, "--record", row["id"], "--json"))
    assert [step["step"] for step in steps] == ["sl_cai", "revise", "respond", "red_team", "source"]
    prompt, answer = (turn["value"] for turn in row["conversations"])
    revised, source = steps[1]["record"], steps[-1]
    assert (revised["prompt"], revised["revision"]) == (prompt, answer)
    shown = [text for _, text in steps[1]["shown"]]
    for turn in revised["rounds"]:
        assert {turn["critique"], turn["revision"]} <= set(shown)
        assert any(text.startswith(f"{turn['principle']} ") for text in shown)
    file, line = source["where"].split(":")
    assert prompt in (project.folder / file).read_text().splitlines()[int(line) - 1]
    assert f"    critique: {turn['critique']}" in lineage(project, SL, "--record", row["id"])


def test_a_comparison_leads_back_to_candidates_and_judgements(project):
    judged = first(project, "results/demo/rl_cai/preferences/0.jsonl")
    steps = json.loads(lineage(project, RL, "--record", judged["id"], "--json"))
    by_step = {step["step"]: step for step in steps}
    assert list(by_step)[-2:] == ["red_team", "source"]
    assert by_step["judge"]["record"]["judge"]["by_order"] is not None
    candidates = by_step["sample_candidates"]["record"]["candidates"]
    assert {judged["a"], judged["b"]} <= {each["text"] for each in candidates}


@pytest.mark.parametrize("name", ["rl_cai", "evaluation/summary", "sl_cai/train"])
def test_a_lineage_does_not_differ_from_itself(project, name):
    path = manifest(project, name)["artefact"]
    path = str((project.results / name).with_name(path).relative_to(project.folder))
    assert lineage(project, "--diff", path, path).startswith("equal: ")


def test_another_seed_differs_by_the_seed_alone(project):
    other = "results/other/data/red_team/train.jsonl"
    project.snakemake("--config", "results=results/other", "seed=3", "--", other)
    said = lineage(project, "--diff", "results/demo/data/red_team/train.jsonl", other)
    assert said == "settings:\n  seed: 1 -> 3  (the artefact.jsonl)\n"


def test_a_chain_that_was_broken_by_hand_is_told(project, tmp_path):
    spoilt = project.copy(tmp_path / "project")
    lost = spoilt.results / "sl_cai/responses/0.manifest.json"
    lost.unlink()
    with (spoilt.results / "sl_cai/train.jsonl").open("a") as stream:
        stream.write("\n")
    said = lineage(spoilt, "results/demo/rl_cai.nemo", code=1)
    assert says(said, "train.jsonl: … changed … manifest")
    assert says(said, "sl_cai.nemo: … results/demo/sl_cai/train.jsonl")
    assert says(said, "responses/0.jsonl: … manifest … missing")
