"""The reward model's comparisons as DPO reads them: a prompt, two responses, the judge's odds."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    HUMAN,
    JUDGED,
    TIED,
    error_line,
    ledger,
    preference_files,
    program,
    rows,
    train_tokenizer,
    write_lines,
)

from cai.data.comparisons import PreferenceFiles, read_comparisons
from cai.data.dpo_dataset import DpoFiles, DpoOptions, build_dpo_dataset
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.rl_dataset import RlOptions, build_comparisons
from cai.data.splits import PARTS, SplitOptions
from cai.models.tokens import Tokenizer
from cai.settings.sources import Source


@dataclass
class Made:
    """What the reward model trains on, what the judge said, and how DPO's data is made of it."""

    comparisons: PreferenceFiles
    preferences: list[Path]

    @property
    def inputs(self) -> DpoFiles:
        return DpoFiles(*map(self.comparisons.comparisons, PARTS))

    def build(self, folder: Path, tokenizer: Tokenizer | None = None, **options) -> DpoFiles:
        outputs = DpoFiles(folder / "train.jsonl", folder / "test.jsonl")
        build_dpo_dataset(
            self.inputs, self.preferences, outputs,
            template=CHAT, tokenizer=tokenizer, options=DpoOptions(**options),
        )  # fmt: skip
        return outputs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    source = Source(source=str(write_lines(folder / "human.jsonl", HUMAN)))
    helpful = preference_files(folder / "helpful")
    (folder / "helpful").mkdir()
    split = SplitOptions(test_fraction=0.2)
    prepare_helpful_preferences([source], helpful, CHAT, ANY_LENGTH, split)
    preferences = [write_lines(folder / "0.jsonl", JUDGED), write_lines(folder / "1.jsonl", TIED)]
    found = Made(preference_files(folder), preferences)
    build_comparisons(
        preferences, helpful, found.comparisons,
        template=CHAT, length=ANY_LENGTH, options=RlOptions(draws=2, test_fraction=0.2),
    )  # fmt: skip
    return found


def probability(row):
    """The probability of the chosen response that RPO takes from the rewards."""
    return 1 / (1 + math.exp(row["rejected_reward"] - row["chosen_reward"]))


def test_it_is_the_reward_models_comparisons_pair_by_pair(made, tmp_path):
    outputs = made.build(tmp_path)
    for part in PARTS:
        pairs = read_comparisons(made.inputs[part])
        expected = [(pair["id"], pair["chosen"], pair["rejected"]) for pair in pairs]
        found = [
            (r["id"], r["prompt"] + r["chosen_response"], r["prompt"] + r["rejected_response"])
            for r in rows(outputs[part])
        ]
        assert found == expected != []
    assert ledger(outputs.train)["notes"]["train"] == len(rows(outputs.train))


def test_the_prompt_ends_where_the_last_answer_begins(made, tmp_path):
    for row in rows(made.build(tmp_path).train):
        assert row["prompt"].endswith("?\n<extra_id_1>Assistant\n")
        for side in ("chosen", "rejected"):
            assert row[f"{side}_response"].endswith(".\n<extra_id_1>")
            assert "Assistant" not in row[f"{side}_response"]
    several = [row for row in rows(made.build(tmp_path).train) if "Hi\nyou" in row["prompt"]]
    assert several and all(row["prompt"].count("Assistant\n") == 2 for row in several)


def test_the_rewards_give_the_judges_probability_back(made, tmp_path):
    found = rows(made.build(tmp_path, certainty=0.9).train)
    chosen = {
        row["chosen_response"].split("\n")[0]: probability(row)
        for row in found
        if "break" in row["prompt"]
    }
    assert chosen == pytest.approx({"Hit it.": 0.2, "Don't.": 0.8, "Yes.": 0.5, "No.": 0.5})
    people = {probability(row) for row in found if "Mend" in row["prompt"]}
    assert list(people) == pytest.approx([0.9])  # no text is chosen for certain


def test_several_judgements_of_the_same_texts_count_with_their_mean(made, tmp_path):
    again = [{**row, "p_a": 0.4, "principle": "another"} for row in JUDGED]
    both = Made(made.comparisons, [*made.preferences, write_lines(tmp_path / "2.jsonl", again)])
    found = rows(both.build(tmp_path / "out").train)
    likely = {probability(r) for r in found if r["chosen_response"].startswith("Don't")}
    assert list(likely) == pytest.approx([0.7])


@pytest.mark.parametrize("ties", ["keep", "drop"])
def test_ties_are_kept_or_dropped_and_counted(made, tmp_path, ties):
    outputs = made.build(tmp_path, ties=ties)
    told = ledger(outputs.train)
    counted = {"keep": told["notes"]["ties"], "drop": told["dropped"].get("tie", 0)}
    other = {"keep": "drop", "drop": "keep"}[ties]
    assert counted[ties] == 2 * len(TIED) and counted[other] == 0
    tied = [row for part in PARTS for row in rows(outputs[part]) if "May I" in row["prompt"]]
    assert len(tied) == (2 * len(TIED) if ties == "keep" else 0)


def test_what_the_tokenizer_joins_over_the_prompts_end_is_dropped(tmp_path):
    """NeMo-Aligner asserts that the prompt's tokens begin those of the whole text."""
    tokenizer = Tokenizer(train_tokenizer(tmp_path))
    template = CHAT.model_copy(update={"assistant": "<extra_id_1>tha{content}\n"})
    text = template.prompt([{"role": "user", "content": "Why?"}])
    (joined,) = [text + "t question\n<extra_id_1>"]
    assert tokenizer.encode(joined)[: len(tokenizer.encode(text))] != tokenizer.encode(text)
    lines = [{"id": "1", "opening": "1", "text": joined}, {"id": "1", "opening": "1", "text": text}]
    fine = [{"id": "2", "opening": "2", "text": f"{text}\n{word}\n<extra_id_1>"} for word in "ab"]
    files = DpoFiles(*(write_lines(tmp_path / f"{p}.jsonl", lines + fine) for p in PARTS))
    outputs = DpoFiles(tmp_path / "out/train.jsonl", tmp_path / "out/test.jsonl")
    build_dpo_dataset(
        files, [], outputs, template=template, tokenizer=tokenizer, options=DpoOptions()
    )
    assert [row["id"] for row in rows(outputs.train)] == ["2"]
    assert ledger(outputs.train)["dropped"] == {"prompt and answer share a token": 2}


def test_too_few_for_a_batch_is_told_in_one_line(made, tmp_path):
    options = ("--options", DpoOptions(min_pairs=500).model_dump_json())
    done = program(
        "build_dpo_dataset",
        *("--train-comparisons", made.inputs.train, "--test-comparisons", made.inputs.test),
        *("--preferences", *made.preferences, "--template", CHAT.model_dump_json(), *options),
        *("--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl"),
    )
    line = error_line(done)
    assert "one batch needs 500" in line and "nemo.overrides.dpo" in line
