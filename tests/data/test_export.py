"""The datasets for other trainers: as messages, each pair once with the judge's probability."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import pytest
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    HUMAN,
    JUDGED,
    TIED,
    dialogue,
    preference_files,
    program,
    revision,
    rows,
    write_lines,
)

from cai.data.comparisons import PreferenceFiles
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.rl_dataset import RlOptions, build_comparisons, build_prompts
from cai.data.sl_dataset import SlOptions, build_sl_dataset
from cai.data.splits import PARTS, SplitOptions
from cai.files.records import ledger_path, read_json
from cai.settings.sources import Source

DIALOGUES = [dialogue(f"Say {i}.", f" {i}, it is", "Be kind." if i % 2 else "") for i in range(40)]

LOAD_THEM = """
import sys
from datasets import load_dataset

TURNS = ("messages", "prompt", "chosen", "rejected")
(folder,) = sys.argv[1:]
for name in ("sft", "preferences", "prompts"):
    whole = load_dataset(folder, name)
    assert len(whole["train"]) > 20, whole
    alone = load_dataset(f"{folder}/{name}", split="train")
    assert alone.features == whole["train"].features and len(alone) == len(whole["train"])
    for row in alone:
        for turns in (row[key] for key in TURNS if key in row):
            assert isinstance(turns, list) and turns, row
            assert all(isinstance(turn["content"], str) for turn in turns), row
            assert {turn["role"] for turn in turns} <= {"system", "user", "assistant"}, row
print("loaded")
"""


@dataclass
class Run:
    """What a run trains on, and what is exported of it."""

    folder: Path
    rl: PreferenceFiles

    def exported(self, dataset: str, part: str) -> list[dict]:
        """The rows of an exported file."""
        path = self.folder / f"export/{dataset}/{part}.parquet"
        return pyarrow.parquet.read_table(path).to_pylist()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    revisions = [revision(f"How do I break {i}?", "Don't.") for i in range(40)]
    build_sl_dataset(
        [write_lines(folder / "revisions.jsonl", revisions)],
        write_lines(folder / "helpful.jsonl", DIALOGUES),
        folder / "train.jsonl", folder / "validation.jsonl",
        template=CHAT, length=ANY_LENGTH, options=SlOptions(validation_size=9),
    )  # fmt: skip
    helpful, rl = preference_files(folder / "helpful"), preference_files(folder / "rl")
    for each in ("helpful", "rl"):
        (folder / each).mkdir()
    source = Source(source=str(write_lines(folder / "human.jsonl", HUMAN)))
    prepare_helpful_preferences(
        [source], helpful, CHAT, ANY_LENGTH, SplitOptions(test_fraction=0.2)
    )
    judged = [write_lines(folder / "0.jsonl", JUDGED), write_lines(folder / "1.jsonl", TIED)]
    how = {"template": CHAT, "length": ANY_LENGTH, "options": RlOptions(test_fraction=0.2)}
    build_comparisons(judged, helpful, rl, **how)
    build_prompts(judged, helpful, rl, **how)
    given = [
        option
        for name in PreferenceFiles.names()
        for option in (f"--{name.replace('_', '-')}", getattr(rl, name))
    ]
    done = program(
        "export_datasets",
        "--sft-train", folder / "train.jsonl", "--sft-validation", folder / "validation.jsonl",
        *given, "--preferences", *judged, "--template", CHAT.model_dump_json(),
        "--principles", '{"id": "harm", "preference": "Which is less harmful?"}',
        "--made-from", "red-team prompts: `some/where`", "--card", folder / "export/README.md",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run(folder, rl)


def test_dialogues_are_those_of_sft_as_messages(run):
    for part in ("train", "validation"):
        trained = rows(run.folder / f"{part}.jsonl")
        found = run.exported("sft", part)
        assert [row["id"] for row in found] == [row["id"] for row in trained]
        for row, line in zip(found, trained, strict=True):
            texts = [turn["value"] for turn in line["conversations"]]
            system = [line["system"]] if line["system"] else []
            assert [turn["content"] for turn in row["messages"]] == system + texts
            assert row["messages"][-1]["role"] == "assistant"
    origins = {row["dataset"] for row in run.exported("sft", "train")}
    assert origins == {"revisions", "helpful"}


def test_each_pair_stands_once_with_the_likelier_answer_as_the_chosen_one(run):
    found = [row for part in PARTS for row in run.exported("preferences", part)]
    judged = [row for row in found if row["dataset"] == "ai"]
    assert len(judged) == len({row["id"] for row in judged}) == len(JUDGED)
    for row in judged:
        assert row["chosen"] == [{"role": "assistant", "content": "Don't."}]
        assert row["chosen_response"] == "Don't." and row["rejected_response"] == "Hit it."
        assert row["probability"] == pytest.approx(0.8) and row["principle"] == "harm"
        assert [turn["role"] for turn in row["prompt"]] == ["user"]
    dropped = read_json(ledger_path(run.folder / "export/preferences"))["dropped"]
    assert dropped["another draw of a pair"] >= len(JUDGED) and dropped["tie"] == len(TIED)


def test_peoples_comparisons_keep_their_dialogues(run):
    human = [row for row in run.exported("preferences", "train") if row["dataset"] == "helpful"]
    assert human
    for row in human:
        roles = [turn["role"] for turn in row["prompt"]]
        assert roles == ["user", "assistant", "user"]
        assert row["prompt"][1]["content"] == "Hi\nyou"
        assert row["probability"] is None and row["principle"] is None
        assert row["chosen_response"].startswith("Glue")


def test_prompts_render_to_what_the_policy_is_asked(run):
    for part in PARTS:
        asked = rows(run.rl.prompts(part))
        found = run.exported("prompts", part)
        assert [CHAT.prompt(row["prompt"]) for row in found] == [line["text"] for line in asked]
    origins = {row["dataset"] for row in run.exported("prompts", "train")}
    assert origins == {"red_team", "helpful"}


def test_no_prompt_is_in_two_parts(run):
    for dataset in ("preferences", "prompts"):
        train, test = ({row["id"] for row in run.exported(dataset, part)} for part in PARTS)
        assert train and test and not train & test


def test_the_card_says_what_is_there(run):
    text = (run.folder / "export/README.md").read_text()
    count = len(run.exported("preferences", "train"))
    assert f"| preferences | train | {count} |" in text
    assert "- `harm`: Which is less harmful?" in text and "`some/where`" in text
    manifest = read_json(run.folder / "export/README.manifest.json")
    assert len(manifest["inputs"]) == 8 and "harm" in manifest["principles"]


@pytest.mark.nemo
def test_the_library_datasets_loads_all_of_them(run, nemo_python, tmp_path):
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [nemo_python, "-c", LOAD_THEM, run.folder / "export"],
        env=os.environ | offline, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.endswith("loaded\n"), done.stderr[-2000:]
