"""What NeMo and NeMo-Aligner make of our lines is what our template makes of the dialogues."""

import json
import subprocess

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

from cai.data.dpo_dataset import DpoFiles, DpoOptions, build_dpo_dataset
from cai.data.helpful_preferences import prepare_helpful_preferences
from cai.data.sl_dataset import SlOptions, build_sl_dataset
from cai.data.splits import SplitOptions
from cai.models.tokens import Tokenizer
from cai.settings.sources import Source

READ_WITH_NEMO = """
import json, sys
import numpy as np
from omegaconf import OmegaConf
from nemo.collections.common.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from nemo.collections.nlp.data.language_modeling.megatron import gpt_sft_chat_dataset as chat
from nemo_aligner.data.nlp.builders import build_dataset_generic
from nemo_aligner.data.nlp.datasets import DPOModelDataset, RewardModelDataset, RLHFDataset

tokens = {"system_turn_start": "<extra_id_0>", "turn_start": "<extra_id_1>",
          "label_start": "<extra_id_2>", "end_of_turn": "\\n", "end_of_name": "\\n"}
sft, comparisons, prompts, dpo, model = sys.argv[1:]
rendered = [chat._get_header_conversation_type_mask_role(json.loads(line), tokens)[1]
            for line in open(sft)]
tokenizer = SentencePieceTokenizer(model)
found = {"sft": rendered, "tokens": [len(tokenizer.text_to_ids(text)) for text in rendered]}
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
    return [row[f"{name}_length"], tokenizer.ids_to_text(answer), row[f"{name}_reward"]]

pairs = (data[i] for i in range(len(data)))
found["dpo"] = [[side(row, name) for name in ("chosen", "rejected")] for row in pairs]
print("FOUND", json.dumps(found))
"""


def test_nemo_reads_our_lines_as_we_do(tmp_path, nemo_python):
    tokenizer_model = train_tokenizer(tmp_path)
    tokenizer = Tokenizer(tokenizer_model)
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
        template=CHAT,
        length=ANY_LENGTH,
        options=SlOptions(validation_size=1),
    )
    human = [comparison(f"Mend {i}?", "Glue " * i, "No.", "Hello", "Hi") for i in range(1, 30)]
    human += [comparison(f"Mend {i}?", f"Glue {i}", "No.") for i in range(30)]
    files = preference_files(tmp_path)
    source = Source(source=str(write_lines(tmp_path / "human.jsonl", human)))
    prepare_helpful_preferences([source], files, CHAT, ANY_LENGTH, SplitOptions(test_fraction=0.3))

    inputs = DpoFiles(files.train_comparisons, files.test_comparisons)
    dpo = DpoFiles(tmp_path / "dpo.jsonl", tmp_path / "dpo_test.jsonl")
    build_dpo_dataset(inputs, [], dpo, template=CHAT, tokenizer=tokenizer, options=DpoOptions())

    paths = (train, files.train_comparisons, files.train_prompts, dpo.train, tokenizer_model)
    command = [nemo_python, "-c", READ_WITH_NEMO, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("FOUND "))
    found = json.loads(line.removeprefix("FOUND "))

    messages = [_messages(row) for row in rows(train)]
    assert found["sft"] == [CHAT.closed(turns) for turns in messages]
    assert found["tokens"] == [tokenizer.count(CHAT.closed(turns)) for turns in messages]
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


def _messages(row: dict) -> list[dict]:
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    turns = [{"role": t["from"].lower(), "content": t["value"]} for t in row["conversations"]]
    return system + turns
