"""Imports that a program does without.

Importing NeMo imports everything that NeMo has: speech and image models, BERT, metrics, plots. That
took two thirds of the time that a process needs to start. Whatever is left out here is still there:
it is imported when a program asks for it.
"""

import importlib
import logging
import os
import types

from nemo_cpu.import_hooks import after_import, deferred, lazy_package, placeholder

NLP = "nemo.collections.nlp"
COMMON = "nemo.collections.common"
MULTIMODAL = "nemo.collections.multimodal"

# text_generation_strategy imports these for `isinstance` alone; they need torchvision, Mamba, or
# (prompt learning, a third of a server's start) NLTK and transformers.
placeholder(f"{MULTIMODAL}.models.multimodal_llm.neva.neva_model", "MegatronNevaModel")
placeholder(f"{NLP}.models.language_modeling.megatron_griffin_model", "MegatronGriffinModel")
placeholder(f"{NLP}.models.language_modeling.megatron_mamba_model", "MegatronMambaModel")
placeholder(
    f"{NLP}.models.language_modeling.megatron_gpt_prompt_learning_model",
    "MegatronGPTPromptLearningModel",
)

# Only used with trainer.ppo.trt_llm.enable=True, which needs a GPU.
placeholder("nemo_aligner.utils.trt_llm", "GPTGenerateTRTLLM")

# Packages that import all of their models to give their classes a shorter name.
for package in (
    NLP,
    f"{NLP}.data",
    f"{NLP}.data.language_modeling",
    f"{NLP}.data.language_modeling.megatron",
    f"{NLP}.losses",
    f"{NLP}.metrics",
    f"{NLP}.models",
    f"{NLP}.models.language_modeling",
    f"{NLP}.modules.common",
    f"{NLP}.modules.common.huggingface",
    f"{NLP}.modules.common.megatron",
    COMMON,
    f"{COMMON}.callbacks",
    f"{COMMON}.data",
    f"{COMMON}.losses",
    f"{COMMON}.metrics",
    f"{COMMON}.parts",
    f"{COMMON}.prompts",
    f"{COMMON}.tokenizers",
    f"{MULTIMODAL}.data",
    f"{MULTIMODAL}.data.neva",
):
    lazy_package(package)
lazy_package(f"{NLP}.modules", BertModule="common.bert_module")

# Encoders of the BERT family; the dictionary names their vocabulary files.
deferred(
    f"{NLP}.modules.common.huggingface.huggingface_utils",
    "get_huggingface_lm_model",
    "get_huggingface_pretrained_lm_models_list",
    VOCAB_FILE_NAME={},
)

# What utils_funcs, column_coder and the loggers use for plots, reports and tables.
deferred("matplotlib", pyplot=deferred("matplotlib.pyplot"))
deferred("pandas")
deferred("sklearn.metrics", "classification_report", "confusion_matrix", "roc_curve")
deferred("sklearn.preprocessing", "PowerTransformer", "QuantileTransformer", "RobustScaler")

# Only used for model.data.train_ds.hf_dataset=True; `builder` is there to be patched by NeMo.
deferred("datasets", "load_dataset", builder=types.SimpleNamespace())

# Lightning looks for these two classes; the package brings every metric, and SciPy for some.
lazy_package(
    "torchmetrics",
    Metric="utilities.checks",
    MetricCollection="collections",
    _logger=logging.getLogger("torchmetrics"),
)
deferred(
    "torchmetrics.utilities.plot",
    "plot_single_or_multi_val",
    _AX_TYPE=object,
    _PLOT_OUT_TYPE=object,
)


class _NeverMade:
    """Nothing is compiled, so nothing is of this type."""


def _not_compiled(function=None, *args, **kwargs):
    return function if function is not None else _not_compiled


# torch's compiler: Lightning imports it for `isinstance`, optimizers call `disable` and
# `graph_break`, torch.distributed empties its cache and asks for its mode.
lazy_package(
    "torch._dynamo",
    OptimizedModule=_NeverMade,
    disable=_not_compiled,
    graph_break=lambda: None,
    trace_rules=types.SimpleNamespace(clear_lru_cache=lambda: None),
    utils=types.SimpleNamespace(get_optimize_ddp_mode=lambda: "no_optimization"),
)

# torch.distributed.tensor takes these from a module that needs SymPy; they serve traced tensors.
deferred(
    "torch.fx.experimental.symbolic_shapes",
    "guard_or_false",
    "statically_known_true",
    GuardOnDataDependentSymNode=type("GuardOnDataDependentSymNode", (Exception,), {}),
)


class _ImportedWhenUsed(type):
    """A class of transformers whose class methods import it."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        package = importlib.import_module("transformers")  # which may be the one that waits
        package = package._real() if hasattr(type(package), "_real") else package
        return getattr(getattr(package, cls.__name__), name)


# What NeMo's tokenizers import; a sentencepiece model needs none of it.
deferred(
    "transformers",
    TRANSFORMERS_CACHE=os.path.expanduser("~/.cache/huggingface/hub"),  # for BERT's vocabularies
    **{
        name: _ImportedWhenUsed(name, (), {})
        for name in (
            *("AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoTokenizer"),
            "CLIPImageProcessor",
        )
    },
)


@after_import("nemo_aligner.utils.utils")
def _skip_lightning(module):
    """Whether a checkpoint is one of NeMo 2.0 is found out by importing all of NeMo 2.0. Those are
    folders with a folder `context`; a `.nemo` file is none, and unpacked it has none."""
    read_config = module.load_2_0_checkpoint_model_config

    def read_config_of_folder(restore_path):
        has_context = os.path.isdir(os.path.join(restore_path, "context"))
        return read_config(restore_path) if has_context else None

    module.load_2_0_checkpoint_model_config = read_config_of_folder
