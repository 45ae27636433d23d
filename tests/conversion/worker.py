"""A process of the NeMo environment that converts and compares models for the tests.

Reads one JSON list a line, ``[function, argument...]``, and answers ``{"value"}`` or
``{"user_error"}``; the tests themselves run in the controller's environment, without torch.
"""

import gc
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from cai.conversion import convert, layout, reward_head
from cai.conversion.adapters.merging import merge
from cai.conversion.nemo_archive import ArchiveWriter, CheckpointWriter, NemoArchive
from cai.conversion.training_checkpoints import checkpoint_to_nemo
from cai.core.digests import canonical_json
from cai.core.errors import UserError


def make_hf(
    folder: str, fields: dict, dtype: str, shard_size: str = "5GB", noise: float = 0.25
) -> None:
    """A model with random weights, saved by transformers; ``noise`` is added to all of them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**fields)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    with torch.no_grad():
        for parameter in model.parameters():  # also the norms, which begin as ones
            parameter.add_(torch.randn_like(parameter) * noise)
    model.save_pretrained(folder, max_shard_size=shard_size)


def weights(folder: str) -> dict[str, torch.Tensor]:
    files = Path(folder).glob("*.safetensors")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def differing(first: str, second: str) -> list[str]:
    """The tensors of two folders that are not the same bit for bit."""
    one, two = weights(first), weights(second)
    shared = one.keys() & two.keys()
    different = {name for name in shared if not same_bits(one[name], two[name])}
    return sorted(different | (one.keys() ^ two.keys()))


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    alike = one.dtype == two.dtype and one.shape == two.shape
    return alike and torch.equal(one.view(torch.uint8), two.view(torch.uint8))


def logits(folder: str, tokens: list[int]) -> list[list[float]]:
    return load(folder)(torch.tensor([tokens])).logits[0].float().tolist()


def log_probabilities(folder: str, tokens: list[int]) -> list[float]:
    """Of each token but the first."""
    scores = torch.log_softmax(load(folder)(torch.tensor([tokens])).logits[0].float(), -1)
    return scores[:-1].gather(1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()


def continuations(folder: str, prompts: list[list[int]], count: int) -> list[list[int]]:
    model = load(folder)
    answers = []
    for prompt in prompts:
        tokens = torch.tensor([prompt])
        for _ in range(count):
            tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], dim=1)
        answers.append(tokens[0].tolist())
    return answers


def load(folder: str) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    torch.set_grad_enabled(False)
    gc.freeze()  # transformers collects garbage after each shard: not among all that was imported
    return AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto").eval()


def tokens_of(folder: str, text: str) -> list[int]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)(text)["input_ids"]


def config_of(archive: str) -> dict:
    with NemoArchive(archive) as opened:
        return opened.config


def layout_of(archive: str) -> dict[str, list[int]]:
    with NemoArchive(archive) as opened:
        return {name: list(opened.shape(name)) for name in opened.names()}


def reshard(
    source: str, target: str, padding: int, extra: str | None = None, trained: bool = False
) -> None:
    """Write an archive as two tensor-parallel ranks would: every tensor in two parts, two files.

    ``padding`` rows of zeros are added to the vocabulary; ``extra`` names one more tensor.
    ``trained``: the output layer has changed.
    """
    with NemoArchive(source) as archive, open(target, "wb") as stream:
        out = ArchiveWriter(stream)
        tokenizer = archive.config["tokenizer"]["model"]
        out.add(tokenizer.removeprefix("nemo:"), archive.artifact(tokenizer))
        writer = CheckpointWriter(out)
        tensors = {name: padded(name, archive.read(name), padding) for name in archive.names()}
        if trained:
            tensors[layout.OUTPUT] += 1
        if extra:
            tensors[extra] = torch.zeros(1, 4)
        for rank in (1, 0):
            with writer.file(f"__{rank}_0.distcp"):
                for name, tensor in tensors.items():
                    axis = tensor.dim() - 1
                    middle = tensor.shape[axis] // 2
                    start = middle if rank else 0
                    part = tensor.tensor_split([middle], dim=axis)[rank].clone()
                    writer.add(name, tuple(tensor.shape), (*[0] * axis, start), part)
        writer.finish()
        out.add_config(archive.config)
        out.close()


def as_views(source: str, target: str) -> None:
    """Write an archive as trainers do: a tensor's storage may hold more, or in another order."""
    with NemoArchive(source) as archive, open(target, "wb") as stream:
        out = ArchiveWriter(stream)
        for name in archive.others():
            out.add(name, archive.artifact(name))
        writer = CheckpointWriter(out)
        with writer.file():
            for number, name in enumerate(archive.names()):
                tensor = archive.read(name)
                turned = tensor.transpose(0, -1).contiguous().transpose(0, -1)
                within = torch.cat([tensor, tensor])[len(tensor) :]
                view = turned if number % 2 else within
                writer.add(name, tuple(tensor.shape), (0,) * tensor.dim(), view)
        writer.finish()
        out.close()


def add_head(source: str, target: str, bias: float, fields: dict | None = None) -> list[float]:
    """Make an archive one of a reward model, with a random head in fp32; returns its weights."""
    with NemoArchive(source) as archive, open(target, "wb") as stream:
        torch.manual_seed(1)
        weight = torch.randn(1, archive.config["hidden_size"])
        out = ArchiveWriter(stream)
        for name in archive.others():
            if name != "model_config.yaml":
                out.add(name, archive.artifact(name))
        writer = CheckpointWriter(out)
        tensors = {name: archive.read(name) for name in archive.names()}
        tensors |= {reward_head.WEIGHT: weight, reward_head.BIAS: torch.tensor([bias])}
        with writer.file():
            for name, tensor in tensors.items():
                writer.add(name, tuple(tensor.shape), (0,) * tensor.dim(), tensor)
        writer.finish()
        out.add_config(archive.config | (fields or {}))
        out.close()
        return weight[0].tolist()


DIM = 4
PEFT = {"peft_scheme": "lora", "lora_tuning": {"adapter_dim": DIM, "alpha": 6}}
LINEAR = {  # the adapter of each layer, and whether tensor parallel ranks share its input out
    "self_attention.linear_qkv": ("self_attention", "lora_kqv_adapter", False),
    "self_attention.linear_proj": ("self_attention", "lora_dense_attention_adapter", True),
    "mlp.linear_fc1": ("mlp", "lora_hto4h_adapter", False),
    "mlp.linear_fc2": ("mlp", "lora_4htoh_adapter", True),
}


def make_adapters(source: str, target: str, tensor: int, stages: int, peft: dict) -> None:
    """Write random adapters of a model as so many ranks do, the same for any number of them."""
    torch.manual_seed(2)
    ranks: dict[str, dict] = {}
    with NemoArchive(source) as archive, open(target, "wb") as stream:
        config = archive.config
        for layer, name in product(range(config["num_layers"]), LINEAR):
            _, rows, columns = archive.shape(f"{layout.LAYERS}{name}.weight")
            down, up = torch.randn(DIM, columns), torch.randn(rows, DIM)
            stage, own = divmod(layer, config["num_layers"] // stages)
            for rank in range(tensor):
                state = ranks.setdefault(place_of(rank, stage, tensor, stages), {})
                state |= shares(name, own, down, up, rank, tensor)
        sizes = {"tensor_model_parallel_size": tensor, "pipeline_model_parallel_size": stages}
        out = ArchiveWriter(stream)
        out.add_config(config | sizes | {"peft": PEFT | peft})
        for place, state in ranks.items():
            content = io.BytesIO()
            torch.save(state, content)
            out.add(f"{place}model_weights.ckpt", content.getvalue())
        out.close()


def place_of(rank: int, stage: int, tensor: int, stages: int) -> str:
    if stages > 1:
        return f"tp_rank_{rank:02d}_pp_rank_{stage:03d}/"
    return f"mp_rank_{rank:02d}/" if tensor > 1 else ""


def shares(
    name: str, layer: int, down: torch.Tensor, up: torch.Tensor, rank: int, tensor: int
) -> dict[str, torch.Tensor]:
    """What a rank has of an adapter: of B the rows of its layer, so its part of gate and of up."""
    part, adapter, shared = LINEAR[name]
    halves = up.chunk(2) if name == "mlp.linear_fc1" else [up]
    prefix = f"{layout.LAYERS}{layer}.{part}.adapter_layer.{adapter}.linear_"
    return {
        f"{prefix}in.weight": down.chunk(tensor, dim=1 if shared else 0)[rank].clone(),
        f"{prefix}out.weight": torch.cat([half.chunk(tensor)[rank] for half in halves]),
    }


def tensors_digest(path: str) -> str:
    """Of an archive's tensors alone."""
    with NemoArchive(path) as archive:
        read = {key: archive.read(key).contiguous() for key in archive.names()}
        total = hashlib.sha256()
        for key, tensor in read.items():
            total.update(key.encode() + tensor.view(-1).view(torch.uint8).numpy().tobytes())
        return total.hexdigest()


def merge_adapters(base: str, adapters: str, target: str) -> int:
    return len(merge(base, adapters, target).pairs)


def rewards(folder: str, texts: list[list[int]], pad: int) -> list[float]:
    """Of texts as tokens, filled up to one length, as transformers' classifier has them."""
    from transformers import AutoModelForSequenceClassification

    torch.set_grad_enabled(False)
    model = AutoModelForSequenceClassification.from_pretrained(folder, torch_dtype=torch.float32)
    longest = max(map(len, texts))
    rows = torch.tensor([[*text, *[pad] * (longest - len(text))] for text in texts])
    scores = model.eval()(rows, attention_mask=(rows != pad).long()).logits[:, 0]
    return (scores + model.config.score_bias).tolist()


def last_states(folder: str, texts: list[list[int]]) -> list[list[float]]:
    """The state of each text's last token, after the final norm."""
    model = load(folder).float().model
    return [model(torch.tensor([text])).last_hidden_state[0, -1].tolist() for text in texts]


def padded(name: str, tensor: torch.Tensor, rows: int) -> torch.Tensor:
    if name not in (layout.EMBEDDING, layout.OUTPUT):
        return tensor
    return torch.cat([tensor, tensor.new_zeros(rows, tensor.shape[1])])


def weights_digest(path: Path | str) -> str:
    """SHA-256 (hex) of what a ``.nemo`` means: config, artifacts, tensors.

    It does not depend on the order, times and names of the tar's members nor on how many files
    and chunks the tensors were cut into. Artifact names count by their content, since NeMo names
    them at random.
    """
    with NemoArchive(path) as archive:
        total = hashlib.sha256(canonical_json(_named_by_content(archive, archive.config)).encode())
        for key in archive.names():
            shape, dtype = archive.shape(key), archive.dtype(key)
            total.update(canonical_json([key, list(shape), str(dtype)]).encode())
            for part in _parts(archive, key):
                total.update(part.contiguous().view(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _parts(archive: NemoArchive, key: str) -> Iterator[torch.Tensor]:
    stacked = ".layers." in key
    if not stacked:
        yield archive.read(key)
        return
    for layer in range(archive.shape(key)[0]):
        yield archive.read_layer(key, layer)


def _named_by_content(archive: NemoArchive, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _named_by_content(archive, item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_named_by_content(archive, item) for item in value]
    if isinstance(value, str) and value.startswith("nemo:"):
        return hashlib.sha256(archive.artifact(value)).hexdigest()
    return value


FUNCTIONS = {
    function.__name__: function
    for function in (
        make_hf,
        differing,
        logits,
        log_probabilities,
        continuations,
        tokens_of,
        config_of,
        layout_of,
        reshard,
        add_head,
        rewards,
        last_states,
        as_views,
        convert.hf_to_nemo,
        convert.nemo_to_hf,
        checkpoint_to_nemo,
        make_adapters,
        merge_adapters,
        tensors_digest,
        weights_digest,
    )
}


def main() -> None:
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": FUNCTIONS[name](*arguments)}
        except UserError as error:
            answer = {"user_error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
