"""What NeMo and NeMo-Aligner make of our lines is what our template makes of the dialogues."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.bpe import write_tokenizer
from tests.data.samples import (
    ANY_LENGTH,
    CHAT,
    comparison,
    dialogue,
    preference_files,
    revision,
    rows,
    train_tokenizer,
    write_lines,
)

from cai.core.errors import UserError
from cai.data.dpo_dataset import DpoFiles, DpoOptions, build_dpo_dataset
from cai.data.helpful_preferences import PreferenceFiles, prepare_helpful_preferences
from cai.data.sl_dataset import SlOptions, build_sl_dataset
from cai.data.splits import SplitOptions
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.nemo.programs import check_tokenizer
from cai.settings.sources import Source

READ_WITH_NEMO = """
import json, sys
import numpy as np
from omegaconf import OmegaConf
from nemo.collections.common.tokenizers.huggingface.auto_tokenizer import AutoTokenizer
from nemo.collections.common.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from nemo.collections.nlp.data.language_modeling.megatron import gpt_sft_chat_dataset as chat
from nemo_aligner.data.nlp.builders import build_dataset_generic
from nemo_aligner.data.nlp.datasets import DPOModelDataset, RewardModelDataset, RLHFDataset

def read(sft, comparisons, prompts, dpo, model, system, turn):
    tokens = {"system_turn_start": system, "turn_start": turn,
              "label_start": "<extra_id_2>", "end_of_turn": "\\n", "end_of_name": "\\n"}
    rendered = [chat._get_header_conversation_type_mask_role(json.loads(line), tokens)[1]
                for line in open(sft)]
    is_plain = model.endswith(".model")
    tokenizer = SentencePieceTokenizer(model) if is_plain else AutoTokenizer(model, use_fast=True)
    ids = lambda text: tokenizer.text_to_ids("\\x00" + text)[len(tokenizer.text_to_ids("\\x00")):]
    known = (ids("\\n"), ids("<extra_id_2>"), tokens, len(ids(turn)))
    examples = [chat.preprocess(json.loads(line), tokenizer, *known)
                for line in open(sft)]
    trained = [example["input_ids"][example["mask"]].tolist() for example in examples]
    found = {"trained": trained}
    found |= {"sft": rendered, "tokens": [len(tokenizer.text_to_ids(text)) for text in rendered]}
    kinds = (("pairs", RewardModelDataset, comparisons), ("prompts", RLHFDataset, prompts))
    for name, cls, path in kinds:
        for form in ("json", "jsonl"):
            cfg = OmegaConf.create({"data": {"data_impl": form}})
            data = build_dataset_generic(cls, cfg, [path], form, None, 512, 1, tokenizer, "train")
            keys = ("chosen_length", "rejected_length") if name == "pairs" else ("length",)
            found[name + form] = [[int(data[i][key]) for key in keys] for i in range(len(data))]
    cfg = OmegaConf.create({"data": {"data_impl": "jsonl"}})
    kind = DPOModelDataset
    data = build_dataset_generic(kind, cfg, [dpo], "jsonl", None, 512, 1, tokenizer, "train")

    def side(row, name):
        answer = [token for token in row[f"{name}_labels"].tolist() if token >= 0]
        whole = {} if is_plain else {"remove_special_tokens": False}
        text = tokenizer.ids_to_text(answer, **whole)
        return [row[f"{name}_length"], text, row[f"{name}_reward"]]

    pairs = (data[i] for i in range(len(data)))
    found["dpo"] = [[side(row, name) for name in ("chosen", "rejected")] for row in pairs]
    return found

found = {name: read(*paths) for name, paths in json.loads(sys.argv[1]).items()}
print("FOUND", json.dumps(found))
"""


KINDS = ["sentencepiece", "smollm2", "qwen2", "llama3"]


class Written(NamedTuple):
    """Datasets of one kind of tokenizer, and what they were written with."""

    model: Path
    tokenizer: Tokenizer
    form: Template
    mark: str
    train: Path
    human: PreferenceFiles
    dpo: Path

    def arguments(self) -> list[str]:
        """Those of READ_WITH_NEMO's function."""
        files = (self.train, self.human.train_comparisons, self.human.train_prompts, self.dpo)
        system = self.form.system.split("System")[0]
        return [*map(str, (*files, self.model)), system, self.mark]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """The same records in the form of each kind."""
    return {kind: write(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def read(nemo_python: str, written: dict[str, Written]) -> dict[str, dict[str, Any]]:
    """What NeMo and NeMo-Aligner have read, by the kind of tokenizer."""
    arguments = json.dumps({kind: one.arguments() for kind, one in written.items()})
    command = [nemo_python, "-c", READ_WITH_NEMO, arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("FOUND "))
    return json.loads(line.removeprefix("FOUND "))


def tokenizer_model(kind: str, folder: Path) -> Path:
    """A sentencepiece model, or the folder of a Hugging Face tokenizer."""
    if kind == "sentencepiece":
        return Path(train_tokenizer(folder))
    write_tokenizer(folder / kind, kind)
    return folder / kind


def template_with(mark: str) -> Template:
    """NeMo's form of chats with one mark for all turns."""
    forms = {name: getattr(CHAT, name) for name in ("system", "user", "assistant", "close")}
    changed = {name: re.sub("<extra_id_[01]>", mark, form) for name, form in forms.items()}
    return CHAT.model_copy(update={**changed, "stop": [mark]})


def write(folder: Path, kind: str) -> Written:
    """Write all datasets for a kind of tokenizer."""
    model = tokenizer_model(kind, folder)
    tokenizer = Tokenizer(model)
    mark = tokenizer.marks[-1] if tokenizer.is_huggingface else "<extra_id_1>"
    form = template_with(mark) if tokenizer.is_huggingface else CHAT
    check_tokenizer(form, tokenizer, "the model")
    deep = dialogue("Mend it?", "Glue.", "Be brief.")
    deep["messages"] += [
        {"role": "user", "content": "And\nthen?"},
        {"role": "assistant", "content": "Wait."},
    ]
    helpful = [deep, *(dialogue(f"How do I mend {i}?", f"Glue {i}.") for i in range(5))]
    revised = [revision(f"How do I break {i}?", "Rather not.") for i in range(6)]
    train = folder / "train.jsonl"
    build_sl_dataset(
        [write_lines(folder / "revisions.jsonl", revised)],
        write_lines(folder / "helpful.jsonl", helpful),
        train,
        folder / "validation.jsonl",
        template=form,
        length=ANY_LENGTH,
        options=SlOptions(validation_size=1),
    )
    human = [comparison(f"Mend {i}?", "Glue " * i, "No.", "Hello", "Hi") for i in range(1, 30)]
    human += [comparison(f"Mend {i}?", f"Glue {i}", "No.") for i in range(30)]
    files = preference_files(folder)
    source = Source(source=str(write_lines(folder / "human.jsonl", human)))
    prepare_helpful_preferences([source], files, form, ANY_LENGTH, SplitOptions(test_fraction=0.3))

    inputs = DpoFiles(files.train_comparisons, files.test_comparisons)
    dpo = DpoFiles(folder / "dpo.jsonl", folder / "dpo_test.jsonl")
    build_dpo_dataset(inputs, [], dpo, template=form, tokenizer=tokenizer, options=DpoOptions())
    return Written(model, tokenizer, form, mark, train, files, dpo.train)


@pytest.mark.parametrize("kind", KINDS)
def test_nemo_reads_our_lines_as_we_do(read, written, kind):
    _, tokenizer, form, mark, train, files, dpo = written[kind]
    found = read[kind]
    messages = [_messages(row) for row in rows(train)]
    assert found["sft"] == [form.closed(turns) for turns in messages]
    assert found["tokens"] == [tokenizer.count(form.closed(turns)) for turns in messages]
    for turns, tokens in zip(messages, found["trained"], strict=True):
        said = [turn["content"] for turn in turns if turn["role"] == "assistant"]
        assert _plain(tokenizer.decode(tokens)) == _plain("".join(f"{a}\n{mark}" for a in said))
    lines = [tokenizer.count(row["text"]) for row in rows(files.train_comparisons)]
    pairs = [list(pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
    assert found["pairsjson"] == found["pairsjsonl"] == pairs
    responses = [
        [
            [tokenizer.count(row["prompt"] + text) - 1, text, row[f"{side}_reward"]]
            for side in ("chosen", "rejected")
            for text in [row[f"{side}_response"]]
        ]
        for row in rows(dpo)
    ]
    assert found["dpo"] == responses and len(responses) == len(pairs)
    prompts = [[tokenizer.count(row["text"])] for row in rows(files.train_prompts)]
    assert found["promptsjson"] == found["promptsjsonl"] == prompts


def _plain(text: str) -> str:
    """Sentencepiece leaves a space before an answer out, or adds one."""
    return "".join(text.split())


def test_marks_that_are_no_tokens_are_refused(tmp_path):
    """NeMo's datasets stop then: a BPE cuts the end of the header as it goes on."""
    write_tokenizer(tmp_path / "smollm2", "smollm2")
    tokenizer = Tokenizer(tmp_path / "smollm2")
    with pytest.raises(UserError, match=r"models\.base\.template: .*<extra_id_0>.*<\|im_start\|>"):
        check_tokenizer(CHAT, tokenizer, "the model")
    check_tokenizer(template_with("<|im_start|>"), tokenizer, "the model")


def _messages(row: dict) -> list[dict]:
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    turns = [{"role": t["from"].lower(), "content": t["value"]} for t in row["conversations"]]
    return system + turns
