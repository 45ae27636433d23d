"""What a run exports for others: each folder does what its own card says, and the card is true."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project import ROOT, Project

from cai.provenance.manifest import identity
from cai.settings.constitution import load_constitution

MODELS = ["sl_cai", "reward_model", "rl_cai"]
PYTHON = ROOT / ".envs/serve-cpu/bin/python"
SCORE = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSequenceClassification.from_pretrained(".").eval()
rows = [json.loads(line) for line in open(sys.argv[1])]
roles = ("user", "assistant")
chats = [[{"role": role, "content": text} for role, text in zip(roles, row)] for row in rows]
texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
tokens = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
with torch.no_grad():
    scores = model(tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits[:, 0]
print(json.dumps((scores + model.config.score_bias).tolist()))
"""


@pytest.fixture(scope="module")
def exported(project: Project, serve_cpu: str, tmp_path_factory) -> Iterator[tuple[Project, str]]:
    """A copy of the project in which the models were exported, and what Snakemake said."""
    with project.copied(tmp_path_factory.mktemp("exported") / "project") as copy:
        yield copy, copy.snakemake("--", "share_models")


@pytest.fixture(params=MODELS)
def folder(exported, request) -> Path:
    return exported[0].results / "hf" / request.param


def in_folder(folder: Path, code: str, *arguments: object) -> str:
    command = [PYTHON, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("folder", ["reward_model", "rl_cai"], indirect=True)
def test_the_code_of_the_card_runs_and_answers(folder):
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    said = in_folder(folder, code)
    if folder.name == "reward_model":
        assert -100 < float(said) < 100
    else:
        assert said and "<extra_id" not in said


def test_the_card_says_what_the_model_is_made_of(exported, folder):
    card = (folder / "README.md").read_text()
    principles = load_constitution(ROOT / "demo/constitution.yaml")
    texts = [one.critique for one in principles if one.critique]
    assert texts and all(text in card for text in texts)
    if folder.name != "sl_cai":
        assert all(one.preference in card for one in principles if one.preference)
    assert re.search(r"red_team\.jsonl \|.*\| apache-2\.0 \| red_team", card)
    assert "| base | demo/models/base/ |" in card and "\nlicense: apache-2.0\n" in card
    assert identity(exported[0].results / f"{folder.name}.nemo") in card
    assert "broken" not in card


def test_the_card_has_the_evaluation(exported, folder):
    card = (folder / "README.md").read_text()
    if folder.name == "reward_model":
        assert re.search(r"prefers what was preferred: \d+\.\d%, after 4 steps", card)
    else:
        assert (exported[0].results / "evaluation/summary.md").read_text().strip() in card


def test_the_files_that_others_look_for_are_there(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert all((folder / name).is_file() for name in index["weight_map"].values())
    assert "chat_template" in json.loads((folder / "tokenizer_config.json").read_text())
    is_asked = folder.name != "reward_model"
    assert (folder / "generation_config.json").is_file() == is_asked


def test_the_exported_reward_model_gives_the_rewards_of_nemos_server(exported, tmp_path):
    results = exported[0].results
    answers = read(results / "evaluation/answers/rl_cai.jsonl")
    rewards = {
        row["id"]: row["reward"] for row in read(results / "evaluation/rewards/rl_cai.jsonl")
    }
    asked = [row for row in answers if row["id"] in rewards]
    (tmp_path / "asked.jsonl").write_text(
        "".join(json.dumps([row["prompt"], row["answer"]]) + "\n" for row in asked)
    )
    scores = json.loads(in_folder(results / "hf/reward_model", SCORE, tmp_path / "asked.jsonl"))
    expected = [rewards[row["id"]] for row in asked]
    assert len(expected) > 20 and scores == pytest.approx(expected, abs=1e-4)


def test_how_to_upload_them_is_told_and_nothing_is_made_again(exported):
    project, said = exported
    for name in MODELS:
        assert f"hf upload YOUR_NAME/{name} results/demo/hf/{name}" in said
    again = project.planned(targets=["share_models"])
    assert again == {"share_models"}
