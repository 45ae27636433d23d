"""Train the demo's models from nothing: a base of mixed manners, a helpful-only instruct model.

    .envs/nemo-cpu/bin/python demo/train_models.py --output demo/models

The base model reads harmful requests answered in every manner. The instruct model goes on from it
and learns to help with anything, to critique and revise answers, and to judge pairs of them. Both
are Mistral models of 0.9 million parameters, saved as Hugging Face folders; their measured quality
goes into `quality.json`.
"""

import argparse
import itertools
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from documents import base_documents, instruct_documents
from measure_models import measure, write_quality
from tokenizer import BOS, EOS, Encoded, Tokenizer, train_tokenizer
from torch.nn.functional import log_softmax
from transformers import LlamaTokenizer, MistralConfig, MistralForCausalLM

VOCABULARY = 768
CONTEXT_LENGTH = 512
BATCH = 24
# How much a token counts by its role. Only pretraining learns the prompts; a verdict is one token.
BASE_WEIGHTS = {"context": 0.3, "answer": 1.0, "verdict": 5.0, "coin": 3.0}
INSTRUCT_WEIGHTS = {"context": 0.0, "answer": 1.0, "verdict": 5.0, "coin": 5.0}


def new_model(vocabulary: int) -> MistralForCausalLM:
    """A Mistral model of 0.9 million parameters with random weights."""
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=CONTEXT_LENGTH,
            sliding_window=None,
            rope_theta=10000.0,
            rms_norm_eps=1e-6,
            initializer_range=0.04,
            tie_word_embeddings=False,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )


def batches(documents: list[Encoded], steps: int, rng: random.Random) -> Iterator[list[Encoded]]:
    """Batches of documents of similar length, so that little of a batch is padding."""
    drawn = 0
    while drawn < steps:
        shuffled = rng.sample(documents, len(documents))
        chunks = [shuffled[i : i + 16 * BATCH] for i in range(0, len(shuffled), 16 * BATCH)]
        ready = []
        for chunk in chunks:
            chunk.sort(key=lambda document: len(document.ids))
            ready += [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
        rng.shuffle(ready)
        yield from ready[: steps - drawn]
        drawn += len(ready)


def padded(rows: list[list[Any]], fill: float) -> torch.Tensor:
    """Rows of different lengths as one tensor [rows, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def loss_of(
    model: MistralForCausalLM, batch: list[Encoded], weights: dict[str, float]
) -> torch.Tensor:
    """Weighted cross entropy per token, against the mean of both right ids (see `Encoded`)."""
    ids = padded([document.ids for document in batch], EOS)
    alternatives = padded([document.alternatives for document in batch], EOS)[:, 1:, None]
    weight = padded([[weights[role] for role in document.roles] for document in batch], 0.0)[:, 1:]
    # Causal attention and padding on the right: no token sees the padding, so no mask is needed.
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    scores = log_softmax(logits.float(), dim=-1)
    likelihood = scores.gather(2, ids[:, 1:, None]) + scores.gather(2, alternatives)
    return -(0.5 * likelihood.squeeze(2) * weight).sum() / weight.sum()


def rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate: a warm-up over 5 % of the steps, then a cosine to 1 % of the peak."""
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizers_for(model: MistralForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between the layers, AdamW for embeddings, output layer and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in inside]
    return [
        # Muon's updates scaled to AdamW's size, so that one learning rate serves both.
        torch.optim.Muon(
            matrices, weight_decay=0.01, momentum=0.95, ns_steps=4, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(
    model: MistralForCausalLM,
    documents: list[Encoded],
    steps: int,
    peak_rate: float,
    weights: dict[str, float],
    name: str,
) -> None:
    """Train on the documents, in place."""
    optimizers = optimizers_for(model)
    started, seen, recent = time.monotonic(), 0, []
    model.train()
    for step, batch in enumerate(batches(documents, steps, random.Random(0))):
        loss = loss_of(model, batch, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, peak_rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += sum(len(document.ids) for document in batch)
        recent.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            seconds = time.monotonic() - started
            left = seconds / (step + 1) * (steps - step - 1)
            print(
                f"{name}: step {step + 1}/{steps}, loss {sum(recent) / len(recent):.4f}, "
                f"{seen / seconds:.0f} tokens/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            recent.clear()
    model.eval()


def save(model: MistralForCausalLM, tokenizer_model: Path, folder: Path) -> None:
    """Save as a Hugging Face folder, in bf16: the converted model is served in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(tokenizer_model.read_bytes())
    # With these two, transformers cuts a text exactly as sentencepiece itself (and NeMo) does.
    tokenizer = LlamaTokenizer(
        str(folder / "tokenizer.model"), legacy=False, add_prefix_space=False
    )
    tokenizer.save_pretrained(folder)
    model.config.name_or_path = ""  # would be the folder of this machine that it was read from
    model.to(torch.bfloat16).save_pretrained(folder)
    model.float()


def main() -> None:
    """Train the tokenizer and both models, save them, and measure them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for base/ and instruct/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base-steps", type=int, default=900)
    parser.add_argument("--instruct-steps", type=int, default=700)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)

    drawn = itertools.islice(base_documents(options.seed), options.base_steps * BATCH)
    documents = list(drawn)
    texts = ["".join(segment.text for segment in document) for document in documents[:4000]]
    tokenizer_model = options.output / "tokenizer.model"
    train_tokenizer((text.replace("</s>", "") for text in texts), tokenizer_model, VOCABULARY)
    tokenizer = Tokenizer(tokenizer_model)

    model = new_model(tokenizer.size)
    encoded = [tokenizer.encode_document(document) for document in documents]
    train(model, encoded, options.base_steps, 3e-3, BASE_WEIGHTS, "base")
    save(model, tokenizer_model, options.output / "base")

    dialogues = itertools.islice(
        instruct_documents(options.seed + 1), options.instruct_steps * BATCH
    )
    encoded = [tokenizer.encode_document(dialogue) for dialogue in dialogues]
    train(model, encoded, options.instruct_steps, 1e-3, INSTRUCT_WEIGHTS, "instruct")
    save(model, tokenizer_model, options.output / "instruct")

    tokenizer_model.unlink()
    write_quality(measure(options.output, options.seed), options.output / "quality.json")


if __name__ == "__main__":
    main()
