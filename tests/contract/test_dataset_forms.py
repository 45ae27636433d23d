"""What NeMo and NeMo-Aligner make of our lines is what our template makes of the dialogues."""

import json
import re
import subprocess
from pathlib import Path

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
from cai.data.helpful_preferences import prepare_helpful_preferences
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

sft, comparisons, prompts, dpo, model, system, turn = sys.argv[1:]
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
print("FOUND", json.dumps(found))
"""


@pytest.fixture(params=["sentencepiece", "smollm2", "qwen2", "llama3"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def tokenizer_model(kind, tmp_path) -> Path:
    """A sentencepiece model, or the folder of a Hugging Face tokenizer."""
    if kind == "sentencepiece":
        return Path(train_tokenizer(tmp_path))
    write_tokenizer(tmp_path / kind, kind)
    return tmp_path / kind


def template_with(mark: str) -> Template:
    """NeMo's form of chats with one mark for all turns."""
    forms = {name: getattr(CHAT, name) for name in ("system", "user", "assistant", "close")}
    changed = {name: re.sub("<extra_id_[01]>", mark, form) for name, form in forms.items()}
    return CHAT.model_copy(update={**changed, "stop": [mark]})


def test_nemo_reads_our_lines_as_we_do(tmp_path, nemo_python, kind, tokenizer_model):
    tokenizer = Tokenizer(tokenizer_model)
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
    train = tmp_path / "train.jsonl"
    build_sl_dataset(
        [write_lines(tmp_path / "revisions.jsonl", revised)],
        write_lines(tmp_path / "helpful.jsonl", helpful),
        train,
        tmp_path / "validation.jsonl",
        template=form,
        length=ANY_LENGTH,
        options=SlOptions(validation_size=1),
    )
    human = [comparison(f"Mend {i}?", "Glue " * i, "No.", "Hello", "Hi") for i in range(1, 30)]
    human += [comparison(f"Mend {i}?", f"Glue {i}", "No.") for i in range(30)]
    files = preference_files(tmp_path)
    source = Source(source=str(write_lines(tmp_path / "human.jsonl", human)))
    prepare_helpful_preferences([source], files, form, ANY_LENGTH, SplitOptions(test_fraction=0.3))

    inputs = DpoFiles(files.train_comparisons, files.test_comparisons)
    dpo = DpoFiles(tmp_path / "dpo.jsonl", tmp_path / "dpo_test.jsonl")
    build_dpo_dataset(inputs, [], dpo, template=form, tokenizer=tokenizer, options=DpoOptions())

    written = (train, files.train_comparisons, files.train_prompts, dpo.train)
    paths = (*written, tokenizer_model, form.system.split("System")[0], mark)
    command = [nemo_python, "-c", READ_WITH_NEMO, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("FOUND "))
    found = json.loads(line.removeprefix("FOUND "))

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
        for row in rows(dpo.train)
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
