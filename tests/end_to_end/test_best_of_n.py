"""Best of n in the place of PPO: SFT on the candidates that the reward model likes best."""

import json
from pathlib import Path

from tests.project import weights

TARGET = "results/demo/best_of_n.nemo"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_trains_on_the_best_candidate_of_each_prompt(project):
    chosen = {row["id"]: row for row in read(project.results / "best_of_n/answers/0.jsonl")}
    candidates = read(project.results / "rl_cai/candidates/0.jsonl")
    assert chosen.keys() == {row["id"] for row in candidates}
    for row in candidates:
        mine = chosen[row["id"]]
        texts = [candidate["text"] for candidate in row["candidates"]]
        assert len(mine["rewards"]) == len(texts)
        assert mine["revision"] == texts[mine["rewards"].index(max(mine["rewards"]))]
    told = json.loads((project.results / "best_of_n/answers/0.ledger.json").read_text())
    assert len(told["notes"]["chosen"]) > 1, "the first one is not always the best"
    trained = [
        row["conversations"][-1]["value"]
        for part in ("train", "validation")
        for row in read(project.results / f"best_of_n/{part}.jsonl")
        if row["dataset"] == "revisions"
    ]
    assert sorted(trained) == sorted(row["revision"] for row in chosen.values())


def test_it_goes_on_from_sl_cai(project):
    manifest = json.loads((project.results / "best_of_n.manifest.json").read_text())
    assert [Path(name).name for name in manifest["inputs"]] == [
        *("sl_cai.nemo", "train.jsonl", "validation.jsonl"),
    ]
    assert project.steps("best_of_n", "train/loss") == list(range(8))
    assert weights(project.results / "best_of_n.nemo") != weights(project.results / "sl_cai.nemo")


def test_an_edit_reruns_what_follows_from_it(project):
    def planned(*config):
        return project.planned("--config", *config, targets=[TARGET])

    assert not planned("nemo={overrides: {actor: {model.optim.lr: 0.001}}}")
    changed = planned("nemo={overrides: {reward_model: {model.optim.lr: 0.001}}}")
    assert changed == {"reward_model", "best_answers", "best_of_n_dataset", "best_of_n"}
