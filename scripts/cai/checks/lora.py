"""LoRA: which adapters NeMo 2.1.0 and NeMo-Aligner 0.7.0 train, and which can be merged afterwards.

What is published is a whole model, with the adapters merged into it
(:mod:`cai.training.adapter_training`). Comments name the place in the upstream code.
"""

from collections.abc import Iterator
from typing import Any

from cai.checks.stage_sizes import Sizing
from cai.nemo.keys import LORA_SCHEME, TRT_LLM
from cai.nemo.values import Program, Values

PEFT = "model.peft"
FROM, LORA = f"{PEFT}.restore_from_path", f"{PEFT}.lora_tuning"
WITH_ADAPTERS: tuple[Program, ...] = ("sft", "dpo", "actor")
LAYERS = ("attention_qkv", "attention_dense", "mlp_fc1", "mlp_fc2")
MODULES = (*LAYERS, "attention", "mlp", "all")  # PEFT_MODULE_MAP
NOT_FOR_IT = ("bucket_cap_mb", "overlap_grad_sync", "overlap_param_sync", "contiguous_grad_buffer")
UNEVEN = ("model.first_pipeline_num_layers", "model.last_pipeline_num_layers")


def trains_adapters(values: Values) -> bool:
    """Whether a training trains adapters alone; that its model was trained so does not count."""
    return values.given.get(LORA_SCHEME) not in (None, "none")


def problems(sizing: Sizing) -> Iterator[str]:
    """A line for each setting with which adapters cannot be trained, or not be merged."""
    found = sizing.values.given.get(FROM)
    if found is not None:  # init_peft; the model that a stage starts from is whole
        yield sizing.line(FROM, repr(found), "null; adapters begin anew at each stage")
    if not trains_adapters(sizing.values):
        return
    scheme = sizing.values.given[LORA_SCHEME]
    if sizing.program not in WITH_ADAPTERS:
        yield sizing.line(LORA_SCHEME, scheme, "none; NeMo-Aligner trains it without adapters only")
    elif scheme != "lora":  # init_peft has sdlora, too, which is for images
        yield sizing.line(LORA_SCHEME, scheme, "lora, none")
    else:
        yield from _adapters(sizing)
        yield from _training(sizing)


def _adapters(sizing: Sizing) -> Iterator[str]:
    def tuning(name: str, default: Any = None) -> tuple[str, Any]:
        key = f"{LORA}.{name}"
        return key, sizing.values.get(key, default)

    key, modules = tuning("target_modules")
    named = modules if isinstance(modules, list) else []
    if not named or not all(name in MODULES for name in named):  # get_target_modules
        yield sizing.line(key, modules, f"a list of {', '.join(MODULES)}")
    key, dim = tuning("adapter_dim")  # A is a ColumnParallelLinear, whose rows are shared out
    if type(dim) is not int or dim < 1 or dim % sizing.tensor:
        yield sizing.line(key, dim, f"multiples of tensor parallel size {sizing.tensor}")
    key, alpha = tuning("alpha", dim)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float | None) or alpha == 0:
        yield sizing.line(key, repr(alpha), "a number other than 0")
    key, layers = tuning("layer_selection")
    if layers is not None and not (_are_numbers(layers) and layers):
        yield sizing.line(key, layers, "null or a list of layers, counted from 1")
    for name, wanted in (("weight_tying", False), ("variant", "nemo")):
        key, value = tuning(name, wanted)
        if value != wanted:
            told = str(wanted).lower()
            yield sizing.line(key, value, f"{told}; others cannot be merged into a model")


def _training(sizing: Sizing) -> Iterator[str]:
    values = sizing.values
    yield from _optimizer(sizing)
    key = "model.activations_checkpoint_granularity"
    if values.get(key) == "full":
        # The frozen embedding asks for no gradient, and a recomputed layer then has none.
        yield sizing.line(key, "full", "selective or null; recomputed adapters would not learn")
    key = f"{TRT_LLM}.enable"
    if values.get(key) is True:  # TensorRTLLM.refit takes the weights that are no adapters
        yield sizing.line(key, "true", "false; with LoRA it would answer without the adapters")
    for key in UNEVEN:
        if (uneven := values.get(key)) is not None:
            yield sizing.line(key, uneven, "null, with LoRA")


def _optimizer(sizing: Sizing) -> Iterator[str]:
    name = sizing.values.get("model.optim.name")
    if name == "distributed_fused_adam":  # NLPAdapterModelMixin.add_adapter
        yield sizing.line(
            "model.optim.name", name, "fused_adam or mcore_distributed_optim, with LoRA"
        )
    elif name != "mcore_distributed_optim":  # its class takes no such arguments
        keys = [f"model.optim.{key}" for key in NOT_FOR_IT]
        left = [key for key in keys if sizing.values.get(key) is not None]
        if left:
            found = sizing.values.get(left[0])
            yield sizing.line(
                left[0], found, f"none with {name}: {', '.join(f'~{key}: true' for key in left)}"
            )


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item > 0 for item in value)
