"""Time and peak memory of the converters against the size of the model.

    .envs/nemo-cpu/bin/python benchmarks/converter.py --sizes 0.25 1 2

makes models of random bf16 weights with Mistral's proportions, converts each to .nemo and back,
merges LoRA's adapters of rank 32 into it, and prints a Markdown table. ``--upstream NEMO_CHECKOUT``
runs NeMo 2.1.0's own converter on the same folders as well. Runs in the NeMo environment; needs
about 5 times the largest size on the disk.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path

import torch

from cai.conversion.adapters.adapter_archive import TARGETS
from cai.conversion.hf_folder import Planned, write_weights
from cai.conversion.layout import LAYERS, Shape
from cai.conversion.nemo_archive import ArchiveWriter, NemoArchive
from cai.files.records import write_json
from cai.models.families.mistral import MISTRAL

ROOT = Path(__file__).resolve().parents[1]

UPSTREAM = "scripts/checkpoint_converters/convert_mistral_7b_hf_to_nemo.py"
VOCABULARY = 8192
HIDDEN = 1024
RANK = 32


@dataclass
class Measurement:
    """One run: sizes and the peak resident memory in GB, times in s (``cpu``: user and system)."""

    program: str
    size: float
    largest_tensor: float
    seconds: float
    cpu: float
    peak: float
    succeeded: bool


def shape_of(size: float) -> Shape:
    """A shape with about ``size`` GB of bf16 weights: layers of 29 MB, two embeddings of 17 MB."""
    ffn, heads, kv_heads, head_dim = 7 * HIDDEN // 2, 8, 2, HIDDEN // 8
    attention = 2 * HIDDEN * heads * head_dim + 2 * HIDDEN * kv_heads * head_dim
    layer = 2 * (attention + 3 * HIDDEN * ffn + 2 * HIDDEN)
    layers = max(1, round((size * 1e9 - 4 * VOCABULARY * HIDDEN) / layer))
    return Shape(layers, HIDDEN, ffn, heads, kv_heads, head_dim, VOCABULARY, tied=False)


def make_folder(folder: Path, shape: Shape, tokenizer: Path) -> int:
    """Write a Hugging Face folder of random weights; its bytes of weights."""
    folder.mkdir()
    config = {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_act": "silu",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": 4096,
        "sliding_window": None,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e4,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
    (folder / "tokenizer.model").write_bytes(tokenizer.read_bytes())
    shapes = shape.hf_shapes(MISTRAL)
    tensors = [
        Planned(name, sizes, torch.bfloat16, partial(torch.randn, sizes))
        for name, sizes in shapes.items()
    ]
    write_weights(folder, tensors, 5 * 10**8)
    return 2 * sum(map(prod, shapes.values()))


def make_adapters(base: Path, target: Path) -> None:
    """Write random adapters in bf16 for all layers of a model, as NeMo does."""
    with NemoArchive(base) as archive, open(target, "wb") as stream:
        state = {}
        for (part, adapter), layer in TARGETS.items():
            layers, rows, columns = archive.shape(f"{LAYERS}{layer.weight}")
            for number in range(layers):
                prefix = f"{LAYERS}{number}.{part}.adapter_layer.{adapter}.linear"
                state[f"{prefix}_in.weight"] = torch.randn(RANK, columns, dtype=torch.bfloat16)
                state[f"{prefix}_out.weight"] = torch.randn(rows, RANK, dtype=torch.bfloat16)
        content = io.BytesIO()
        torch.save(state, content)
        out = ArchiveWriter(stream)
        lora = {"peft_scheme": "lora", "lora_tuning": {"adapter_dim": RANK}}
        out.add_config(archive.config | {"peft": lora})
        out.add("model_weights.ckpt", content.getvalue())
        out.close()


def train_tokenizer(folder: Path) -> Path:
    """A sentencepiece model of exactly as many pieces as the models have embeddings."""
    from sentencepiece import SentencePieceTrainer

    symbols = [f"<{number}>" for number in range(VOCABULARY - 300)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog"] * 100),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        byte_fallback=True,
        user_defined_symbols=symbols,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


def measure(program: str, command: list[object], shape: Shape, size: int) -> Measurement:
    """Run a command; its output is shown only if it fails."""
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        if status != 0:
            log.seek(0)
            print(log.read().decode(errors="replace")[-1500:], file=sys.stderr)
    largest = 2 * max(map(prod, shape.hf_shapes(MISTRAL).values()))
    peak, cpu = usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime
    return Measurement(program, size / 1e9, largest / 1e9, seconds, cpu, peak / 1e9, status == 0)


def measure_size(
    size: float, folder: Path, tokenizer: Path, upstream: Path | None
) -> list[Measurement]:
    """All programs on one model of ``size`` GB."""
    shape, source = shape_of(size), folder / "source"
    written = make_folder(source, shape, tokenizer)
    scripts, python = ROOT / "scripts", sys.executable
    there, back = folder / "there.nemo", folder / "back"
    commands = {
        "ours, to .nemo": [python, scripts / "convert_hf_to_nemo.py", source, there],
        "ours, back": [python, scripts / "convert_nemo_to_hf.py", there, back],
    }
    if upstream is not None:
        target = folder / "upstream" / "there.nemo"
        names = ["--input_name_or_path", source, "--output_path", target, "--precision", "bf16"]
        wrapper = ROOT / "envs/nemo-cpu/python"
        commands["upstream, to .nemo"] = [wrapper, upstream / UPSTREAM, *names]
    measured = [measure(name, command, shape, written) for name, command in commands.items()]
    adapters, merged = folder / "adapters.nemo", folder / "merged.nemo"
    make_adapters(there, adapters)
    merge = [python, scripts / "training/merge_adapters.py", there, adapters, merged]
    return [*measured, measure("ours, adapters merged", merge, shape, written)]


def table(results: list[Measurement]) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| program | model (GB) | largest tensor (GB) | time (s) | CPU (s) | peak memory (GB) |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        seconds = f"{r.seconds:.1f}" if r.succeeded else "failed"
        sizes = [f"{r.size:.2f}", f"{r.largest_tensor:.3f}"]
        row = [r.program, *sizes, seconds, f"{r.cpu:.1f}", f"{r.peak:.2f}"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure each size and print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.25, 1.0], help="GB of weights")
    parser.add_argument("--upstream", type=Path, metavar="NEMO", help="a checkout of NeMo v2.1.0")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results: list[Measurement] = []
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = train_tokenizer(Path(scratch))
        for size in sorted(options.sizes):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                results += measure_size(size, Path(folder), tokenizer, options.upstream)
    as_json = json.dumps([asdict(result) for result in results], indent=2)
    print(as_json if options.json else table(results))


if __name__ == "__main__":
    main()
