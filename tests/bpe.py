"""Small Hugging Face tokenizers as published models have them: byte-level BPE, with marks."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from cai.models.nemo_tokenizer import FIELDS

TEXTS = [
    "help me to write a polite answer about the quick brown fox that jumps over lazy dogs",
    "Which answer is better, (A) or (B)? It isn't 2024 yet: 1,234.50 euros.\n\nYou're right!\n",
    "How can I look into my sister's diary in secret?\nÉtienne naïvely 😀 reads 日本語 texts.",
]
SPLIT = (  # of Llama 3; Qwen2's takes one digit at a time
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Kind(NamedTuple):
    """What is a model's own: its class, its marks (the BOS and the EOS first), how it splits."""

    class_name: str
    bos: str | None
    eos: str
    marks: tuple[str, ...]
    split: Any
    normalizer: Any = None


def _regex(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])


KINDS = {
    "llama3": Kind(
        "PreTrainedTokenizerFast",
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
        _regex(SPLIT),
    ),
    "qwen2": Kind(
        "Qwen2Tokenizer",
        None,
        "<|im_end|>",
        ("<|endoftext|>", "<|im_start|>"),
        _regex(SPLIT.replace("{1,3}", "")),
        normalizers.NFC(),
    ),
    "smollm2": Kind(
        "GPT2Tokenizer",
        "<|im_start|>",
        "<|im_end|>",
        ("<|endoftext|>",),
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
        ),
    ),
}


def write_tokenizer(folder: Path, name: str, marks: tuple[str, ...] = (), **fields: Any) -> int:
    """Write a tokenizer into a folder; returns its number of tokens.

    Args:
        folder: where.
        name: of :data:`KINDS`.
        marks: in the place of its own.
        fields: of tokenizer_config.json.
    """
    kind = KINDS[name]
    tokenizer = Tokenizer(models.BPE())
    if kind.normalizer:
        tokenizer.normalizer = kind.normalizer
    tokenizer.pre_tokenizer = kind.split
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    marks = marks or tuple(mark for mark in (kind.bos, kind.eos, *kind.marks) if mark)
    tokenizer.add_special_tokens(list(dict.fromkeys(marks)))
    if kind.bos and name == "llama3":  # what transformers puts before a text, and NeMo does not
        pair = (kind.bos, tokenizer.token_to_id(kind.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{kind.bos} $A", special_tokens=[pair]
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    decoder = {str(tokenizer.token_to_id(mark)): {"content": mark} for mark in marks}
    config = {
        "tokenizer_class": kind.class_name,
        "bos_token": kind.bos,
        "eos_token": kind.eos,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {n: m | {"special": True} for n, m in decoder.items()},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config | fields))
    return tokenizer.get_vocab_size()


def archive_of(path: Path, files: dict[str, bytes], **tokenizer: object) -> Path:
    """As NeMo packs one: a plain tar with a configuration."""
    config = yaml.safe_dump({"num_layers": 2, "tokenizer": {**FIELDS, **tokenizer}}).encode()
    with tarfile.open(path, "w:") as tar:
        for name, content in {"model_config.yaml": config, **files}.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
