"""Train the demo's models from nothing: a base of mixed manners, a helpful-only instruct model.

    .envs/nemo-cpu/bin/python demo/train_models.py --output demo/models

The base model reads harmful requests answered in every manner, and a glossary of the principles'
words, from easy to hard. The instruct model goes on from it: it learns to help with anything and to
critique, revise and judge under principles. Both are Mistral models of 1.6 million parameters,
saved as Hugging Face folders; their measured quality goes into `quality.json`.
"""

import argparse
import itertools
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lexicon
import principles
import torch
import world
from documents import (
    Document,
    base_documents,
    instruct_documents,
)
from measure_models import measure, write_quality
from tokenizer import BOS, EOS, UNKNOWN, Encoded, Tokenizer, train_tokenizer
from torch.nn.functional import log_softmax
from transformers import LlamaTokenizer, MistralConfig, MistralForCausalLM

VOCABULARY = 2048
CONTEXT_LENGTH = 512
THREADS = 2
ROW = 384  # tokens, into which short documents are packed
ROWS = {"base": 4, "instruct": 10}  # in a batch
RATES = {"base": 2.5e-3, "instruct": 1.5e-3}
CHUNK = 256  # documents, of which rows are packed

LIKENESS = 1.7  # how much larger than others the keys of heads that look for likeness begin
PASSED_ON = 0.5  # how large the values of heads that pass words on begin
EARLY = 3  # the layer after which the glossary has to be known, so that later ones can use it
COIN = 0.5  # the share of a verdict that may as well be the other
# How much a token counts by its role. Only pretraining learns the prompts; a verdict is one token.
WEIGHTS = {"context": 0.05, "answer": 1.0, "verdict": 6.0, "meaning": 2.0}


Row = list[Encoded]
Gradients = tuple[torch.Tensor, ...]


def new_model(vocabulary: int) -> MistralForCausalLM:
    """A Mistral model of 1.6 million parameters with random weights."""
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=6,
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
            attn_implementation="eager",  # faster than the others here, with masks of its own
        )
    )


def batches(documents: list[Encoded], rows: int, rng: random.Random) -> Iterator[list[Row]]:
    """Batches of rows into which documents of all tasks are packed, so that each step sees all."""
    ready: list[Row] = []
    for start in range(0, len(documents), CHUNK):
        found = packed(documents[start : start + CHUNK])
        rng.shuffle(found)
        ready += found
        while len(ready) >= rows:
            yield ready[:rows]
            ready = ready[rows:]
    if ready:
        yield ready


def packed(documents: list[Encoded]) -> list[Row]:
    """Rows of at most ROW tokens, each of one document or more: the first row that has room."""
    found: list[Row] = []
    for document in sorted(documents, key=lambda d: len(d.ids), reverse=True):
        fits = (row for row in found if sum(len(d.ids) for d in row) + len(document.ids) <= ROW)
        row = next(fits, None)
        if row is None:
            found.append([document])
        else:
            row.append(document)
    return found


def padded(rows: list[list[Any]], fill: float) -> torch.Tensor:
    """Rows of different lengths as one tensor [rows, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def joined(row: Row, values: Callable[[Encoded], list[Any]]) -> list[Any]:
    """The values of a row's documents, one after another."""
    return [value for document in row for value in values(document)]


def sources(row: Row) -> list[int]:
    """The places in the row of the tokens that predict its tokens."""
    starts = itertools.accumulate((len(d.ids) for d in row), initial=0)
    return [start + source for start, d in zip(starts, row, strict=False) for source in d.sources]


def numbers(row: Row) -> list[int]:
    """Which of the row's documents each token belongs to."""
    return [number for number, document in enumerate(row) for _ in document.ids]


def branch_mask(documents: torch.Tensor, branches: torch.Tensor) -> torch.Tensor:
    """What may be attended to [rows, 1, tokens, tokens]: in a document, trunk and own branch."""
    tokens = branches.shape[1]
    same = branches[:, :, None] == branches[:, None, :]
    trunk = (branches == 0)[:, None, :]
    one = documents[:, :, None] == documents[:, None, :]
    allowed = torch.ones(tokens, tokens, dtype=torch.bool).tril() & one & (same | trunk)
    mask = torch.zeros(allowed.shape, dtype=torch.bfloat16).masked_fill(~allowed, -1e9)
    return mask[:, None]


def loss_of(
    model: MistralForCausalLM, batch: list[Row], other: torch.Tensor, seed: int
) -> torch.Tensor:
    """Weighted cross entropy per token; a verdict's is against both letters' probabilities.

    `other` gives the other letter of a verdict's id, and any other id itself; `seed` draws the
    tokens of the context that count.
    """
    ids = padded([joined(row, lambda d: d.ids) for row in batch], EOS)
    branches = padded([joined(row, lambda d: d.branches) for row in batch], -1)
    documents = padded([numbers(row) for row in batch], -1)
    weight = thinned(padded([joined(row, weighed) for row in batch], 0.0), seed)
    share = padded([joined(row, lambda d: d.shares) for row in batch], 1.0)
    positions = padded([joined(row, lambda d: d.positions) for row in batch], 0)
    source = padded([sources(row) for row in batch], 0)
    counted = weight > 0
    rows = torch.arange(len(batch))[:, None].expand_as(ids)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # the cache is all threads'
        read = model.model(
            input_ids=ids,
            attention_mask=branch_mask(documents, branches),
            position_ids=positions,
            use_cache=False,
            output_hidden_states=True,
        )
        logits = model.lm_head(read.last_hidden_state[rows[counted], source[counted]])
        early_ids = padded([joined(row, known_early) for row in batch], UNKNOWN)
        means = early_ids != UNKNOWN
        early = read.hidden_states[EARLY][rows[means], source[means]]
        early_logits = model.lm_head(model.model.norm(early))
    scores = log_softmax(logits.float(), dim=-1)
    right, share, weight = ids[counted][:, None], share[counted], weight[counted]
    likelihood = share * scores.gather(1, right)[:, 0]
    likelihood = likelihood + (1 - share) * scores.gather(1, other[right])[:, 0]
    loss = -(likelihood * weight).sum() / weight.sum()
    if not means.any():
        return loss
    return loss + 0.5 * torch.nn.functional.cross_entropy(early_logits.float(), early_ids[means])


def known_early(document: Encoded) -> list[int]:
    """What is to be known halfway: the tokens of a meaning, and the hints of verdicts."""
    return [
        token if role == "meaning" else hint
        for token, hint, role in zip(document.ids, document.hints, document.roles, strict=True)
    ]


def weighed(document: Encoded) -> list[float]:
    """How much each token counts; a verdict that may as well be the other, two thirds."""
    return [
        WEIGHTS[role] * (2 / 3 if share == COIN else 1.0)
        for role, share in zip(document.roles, document.shares, strict=True)
    ]


def thinned(weight: torch.Tensor, seed: int) -> torch.Tensor:
    """The weights with three in four tokens of the context left out, and the fourth for all four.

    Their loss, over all the vocabulary, is the dearest and tells the least.
    """
    drawn = torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < 0.25
    return torch.where(weight == WEIGHTS["context"], 4 * weight * drawn, weight)


def tokenizer_texts(documents: list[Document]) -> Iterator[str]:
    """Texts to learn the pieces from, with every word often enough to be one."""
    texts = [segment.text.replace("</s>", "") for document in documents for segment in document]
    words = {word.strip(".,:;!?") for text in texts for word in text.split()}
    words |= principles.all_words()
    yield from texts
    for _ in range(300):
        yield from (f" {word}" for word in sorted(words))


def teach_words(model: MistralForCausalLM, tokenizer: Tokenizer) -> None:
    """Let the embeddings of words begin with what the lexicon says: their kinds and their sign.

    Words of one kind begin alike, and those for and against something apart; words that only
    requests of one kind have begin like that kind's. What to make of a sentence of them is learnt.
    """
    embeddings = model.model.embed_tokens.weight.data
    random_state = torch.Generator().manual_seed(1)
    size = embeddings.shape[1]
    sign_direction = 0.05 * torch.randn(size, generator=random_state)
    directions = {kind: 0.05 * torch.randn(size, generator=random_state) for kind in lexicon.KINDS}
    features = {
        word: (frozenset([kind]), 0)
        for word, kind in world.own_words().items()
        if kind != "how" and word not in principles.plain_words()
    }
    for word, (kinds, sign) in (features | lexicon.features()).items():
        for form in (word, word.capitalize()):
            ids = tokenizer.encode(f" {form}", bos=False)
            if len(ids) == 1:
                embeddings[ids[0]] += sign * sign_direction
                for kind in sorted(kinds):
                    embeddings[ids[0]] += directions[kind]


def look_for_likeness(model: MistralForCausalLM) -> None:
    """Let the first heads of each layer begin by attending to tokens that are like their own.

    So a principle's words find those of a request of the same kind of harm. As in Trockman and
    Kolter, "Mimetic initialization of self-attention layers", 2023.
    """
    config = model.config
    per_group = config.num_attention_heads // config.num_key_value_heads
    with torch.no_grad():
        for layer in model.model.layers:
            keys = layer.self_attn.k_proj.weight[: config.head_dim]
            keys.mul_(LIKENESS)
            for head in range(per_group):
                first = head * config.head_dim
                layer.self_attn.q_proj.weight[first : first + config.head_dim] = keys


def copy_what_is_read(model: MistralForCausalLM) -> None:
    """Let the other heads begin by passing on the tokens that they attend to, as words to say.

    So names are copied from a request into its answer. Of the same source as `look_for_likeness`.
    """
    size = model.config.head_dim
    with torch.no_grad():
        model.lm_head.weight.copy_(model.model.embed_tokens.weight)
        for layer in model.model.layers:
            attention = layer.self_attn
            values = torch.empty(size, model.config.hidden_size)
            torch.nn.init.orthogonal_(values)
            attention.v_proj.weight[size:] = PASSED_ON * values
            for first in range(2 * size, 4 * size, size):
                attention.o_proj.weight[:, first : first + size] = PASSED_ON * values.T


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


def learn_from(
    model: MistralForCausalLM, batch: list[Row], other: torch.Tensor, step: int, pool: Executor
) -> float:
    """Put the gradients of a batch into the model, a thread for each half; its loss.

    Threads that meet once a step lose less time than threads that share each operation.
    """

    def learn(number: int) -> tuple[float, Gradients]:
        torch.set_num_threads(1)
        loss = loss_of(model, batch[number::THREADS], other, seed=THREADS * step + number)
        return loss.item(), torch.autograd.grad(loss, list(model.parameters()))

    parts = min(THREADS, len(batch))
    losses, gradients = zip(*pool.map(learn, range(parts)), strict=True)
    for parameter, found in zip(model.parameters(), zip(*gradients, strict=True), strict=True):
        parameter.grad = torch.stack(found).mean(0)
    return sum(losses) / parts


def train(
    model: MistralForCausalLM,
    documents: list[Encoded],
    tokenizer: Tokenizer,
    name: str,
) -> None:
    """Train once over the documents, in place."""
    optimizers = optimizers_for(model)
    other = torch.arange(tokenizer.size)
    other[tokenizer.a], other[tokenizer.b] = tokenizer.b, tokenizer.a
    ready = list(batches(documents, ROWS[name], random.Random(0)))
    started, seen, recent = time.monotonic(), 0, []
    model.train()
    pool = ThreadPoolExecutor(THREADS)
    for step, batch in enumerate(ready):
        recent.append(learn_from(model, batch, other, step, pool))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, len(ready), RATES[name])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += sum(len(document.ids) for row in batch for document in row)
        if (step + 1) % 50 == 0 or step + 1 == len(ready):
            seconds = time.monotonic() - started
            left = seconds / (step + 1) * (len(ready) - step - 1)
            print(
                f"{name}: step {step + 1}/{len(ready)}, loss {sum(recent) / len(recent):.4f}, "
                f"{seen / seconds:.0f} tokens/s, {time.process_time():.0f} s of CPU time, "
                f"{left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            recent.clear()
    pool.shutdown()
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
    parser.add_argument("--base", type=int, default=24000, help="documents of the base model")
    parser.add_argument("--instruct", type=int, default=17000, help="those of the instruct model")
    options = parser.parse_args()

    torch.set_num_threads(THREADS)
    torch.manual_seed(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)

    tokenizer_model = options.output / "tokenizer.model"
    documents = [*base_documents(options.seed, 4000), *instruct_documents(options.seed, 1000)]
    train_tokenizer(tokenizer_texts(documents), tokenizer_model, VOCABULARY)
    tokenizer = Tokenizer(tokenizer_model)

    def learn(model: MistralForCausalLM, read: Iterable[Document], name: str) -> None:
        train(model, [tokenizer.encode_document(document) for document in read], tokenizer, name)

    model = new_model(tokenizer.size)
    teach_words(model, tokenizer)
    look_for_likeness(model)
    copy_what_is_read(model)
    learn(model, base_documents(options.seed, options.base), "base")
    save(model, tokenizer_model, options.output / "base")
    learn(model, instruct_documents(options.seed, options.instruct), "instruct")
    save(model, tokenizer_model, options.output / "instruct")

    tokenizer_model.unlink()
    write_quality(measure(options.output, options.seed + 1), options.output / "quality.json")


if __name__ == "__main__":
    main()
