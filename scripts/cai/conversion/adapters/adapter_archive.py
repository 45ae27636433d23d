"""A ``.nemo`` that holds LoRA's adapters alone, as NeMo 2.1.0 writes it.

Its weights are no distributed checkpoint but one ``torch.save`` a rank of the model:
``model_weights.ckpt``; with tensor parallelism ``mp_rank_00/model_weights.ckpt``, with pipeline
parallelism ``tp_rank_00_pp_rank_000/model_weights.ckpt``. Each adapter is two matrices,
``linear_in`` A [dim, in] and ``linear_out`` B [out, dim], and adds alpha/dim x B A x to what its
layer makes of x.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cai.conversion.layout import LAYERS
from cai.conversion.nemo_archive import load_stored
from cai.conversion.pickles import BadPickle
from cai.conversion.stored import check_config
from cai.conversion.torch_files import opened, stored_tensors
from cai.core.errors import UserError, fail_if
from cai.files.members import Members
from cai.models.sizes import need

WEIGHTS = "model_weights.ckpt"
KEY = re.compile(
    re.escape(LAYERS) + r"(?P<layer>\d+)\.(?P<part>\w+)\.adapter_layer\.(?P<adapter>\w+)"
    r"\.linear_(?P<side>in|out)\.weight"
)


@dataclass(frozen=True)
class Target:
    """A layer that has an adapter.

    Attributes:
        weight: its weights, in Megatron core's names.
        shared: whether tensor parallel ranks share its input out, so that each has columns of A;
            else each has rows.
        halves: parts of which each rank's rows of B are made: gate and up of the MLP.
    """

    weight: str
    shared: bool = False
    halves: int = 1


TARGETS = {  # by the part of the layer and NeMo's name of the adapter
    ("self_attention", "lora_kqv_adapter"): Target("self_attention.linear_qkv.weight"),
    ("self_attention", "lora_dense_attention_adapter"): Target(
        "self_attention.linear_proj.weight", shared=True
    ),
    ("mlp", "lora_hto4h_adapter"): Target("mlp.linear_fc1.weight", halves=2),
    ("mlp", "lora_4htoh_adapter"): Target("mlp.linear_fc2.weight", shared=True),
}
Rank = Mapping[str, torch.Tensor]  # the tensors of one tensor parallel rank
Pair = tuple[tuple[str, int], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Adapters:
    """What a training with LoRA has learnt.

    Attributes:
        config: of the model as it was trained.
        scale: alpha/dim.
        dtype: in which the training held its weights.
        pairs: the matrices (B, A) of each adapter, by the name of the stacked weights that they
            belong to and the layer, counted from 0.
    """

    config: dict[str, Any]
    scale: float
    dtype: torch.dtype
    pairs: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]]

    def added(self, key: str, layer: int) -> torch.Tensor | None:
        """What is added to a layer's weights, in 32 bits; None where there is no adapter."""
        pair = self.pairs.get((key, layer))
        return None if pair is None else self.scale * (pair[0].float() @ pair[1].float())


def read_adapters(path: Path | str) -> Adapters:
    """Read the adapters of a ``.nemo``, whichever ranks wrote them.

    Raises:
        UserError: it holds none, or of a kind that cannot be added to weights.
    """
    with Members(path) as members:
        config = members.config()
        check_config(members.path, config)
        scale = _scale(config, str(path))
        pairs: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}
        stages = need(config, "pipeline_model_parallel_size", str(path))
        for stage in range(stages):
            ranks = [_load(members, name) for name in _files(config, stage, str(path))]
            first = stage * (need(config, "num_layers", str(path)) // stages)
            pairs |= dict(_pairs(ranks, first, str(path)))
    fail_if(not pairs, f"{path}: holds no adapters")
    dtype = next(iter(pairs.values()))[0].dtype
    return Adapters(config, scale, dtype, pairs)


def _scale(config: dict[str, Any], where: str) -> float:
    peft = config.get("peft") or {}
    lora = peft.get("lora_tuning") or {}
    accepted: dict[str, tuple[Any, Any]] = {
        "peft_scheme": (peft.get("peft_scheme"), "lora"),
        "lora_tuning.weight_tying": (lora.get("weight_tying", False), False),
        "lora_tuning.variant": (lora.get("variant", "nemo"), "nemo"),
    }
    for field, (found, wanted) in accepted.items():
        fail_if(
            found != wanted, f"{where}: peft.{field}: found {found!r:.100}; accepted: {wanted!r}"
        )
    dim = need(lora, "adapter_dim", where)
    alpha = lora.get("alpha")
    return float(dim if alpha is None else alpha) / dim


def _files(config: dict[str, Any], stage: int, where: str) -> list[str]:
    ranks = range(need(config, "tensor_model_parallel_size", where))
    if need(config, "pipeline_model_parallel_size", where) > 1:
        return [f"tp_rank_{rank:02d}_pp_rank_{stage:03d}/{WEIGHTS}" for rank in ranks]
    return [f"mp_rank_{rank:02d}/{WEIGHTS}" for rank in ranks] if len(ranks) > 1 else [WEIGHTS]


def _load(members: Members, name: str) -> Rank:
    try:
        with opened(members.window(name)) as archive:
            return {
                key: load_stored(archive, stored) for key, stored in stored_tensors(archive).items()
            }
    except BadPickle as error:
        raise UserError(f"{members.path}: {name}: {error}") from None


def _pairs(ranks: list[Rank], first: int, where: str) -> Iterator[Pair]:
    """Each adapter's place and matrices; ``first`` is the first layer of these ranks' stage."""
    for key in ranks[0]:
        match = KEY.fullmatch(key)
        target = TARGETS.get((match["part"], match["adapter"])) if match else None
        if match is None or target is None:
            raise UserError(f"{where}: {key}: accepted: adapters of {', '.join(_layers())}")
        if match["side"] == "in":
            continue
        own = [rank[key.replace("linear_out", "linear_in")] for rank in ranks]
        place = LAYERS + target.weight, first + int(match["layer"])
        yield (
            place,
            (
                _rows([rank[key] for rank in ranks], target.halves),
                torch.cat(own, dim=1 if target.shared else 0),
            ),
        )


def _rows(parts: list[torch.Tensor], halves: int) -> torch.Tensor:
    """B, from the rows that each rank has: first all gates, then all ups."""
    split = [part.chunk(halves) for part in parts]
    return torch.cat([part[half] for half in range(halves) for part in split])


def _layers() -> list[str]:
    return [target.weight.removesuffix(".weight") for target in TARGETS.values()]
