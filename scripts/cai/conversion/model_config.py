"""A model's configuration in two notations: config.json and NeMo's model_config.yaml."""

from dataclasses import asdict
from typing import Any

from cai.conversion.layout import Shape
from cai.core.errors import UserError, fail_if
from cai.models.families.decoder import rope_theta
from cai.models.families.family import Family
from cai.models.families.known import MARKS, family_of, family_of_nemo
from cai.models.sizes import need, nemo_window, number

MODELS = "nemo.collections.nlp.models.language_modeling"


def vocabulary_divisor(pieces: int, rows: int) -> int:
    """The divisor with which NeMo pads a tokenizer of ``pieces`` to exactly ``rows`` embeddings.

    NeMo pads to a multiple of divisor x tensor parallel size, and recent torch refuses a checkpoint
    with any other number of rows. So: the smallest divisor that works at tensor parallel size 8,
    else 4, 2, 1. (The customary 128 turns Mistral's 32000 into 32256 at size 4.)
    """
    return next(
        divisor
        for parallel in (8, 4, 2, 1)
        for divisor in range(rows - pieces + 1, rows + 1)
        if rows % (divisor * parallel) == 0
    )


# Parts of model_config.yaml that are the same for every model, in the order in which they stand.
ON_ONE_DEVICE: dict[str, Any] = {
    "mcore_gpt": True,
    "transformer_engine": True,
    "micro_batch_size": 1,
    "global_batch_size": 1,
    "tensor_model_parallel_size": 1,
    "pipeline_model_parallel_size": 1,
    "virtual_pipeline_model_parallel_size": None,
    "sequence_parallel": False,
}
RUNNING: dict[str, Any] = {
    "megatron_amp_O2": False,
    "native_amp_init_scale": 2**32,
    "native_amp_growth_interval": 1000,
    "hysteresis": 2,
    "fp32_residual_connection": False,
    "fp16_lm_cross_entropy": False,
    "gradient_accumulation_fusion": False,
    "grad_allreduce_chunk_size_mb": 125,
    "grad_div_ar_fusion": True,
    "gradient_as_bucket_view": True,
    "sync_batch_comm": False,
    "overlap_p2p_comm": False,
    "batch_p2p_comm": True,
    "bias_activation_fusion": False,
    "bias_dropout_add_fusion": False,
    "masked_softmax_fusion": True,
    "get_attention_mask_from_fusion": True,
    "apply_rope_fusion": False,
    "activations_checkpoint_granularity": None,
    "activations_checkpoint_method": None,
    "activations_checkpoint_num_layers": None,
    "num_micro_batches_with_partial_activation_checkpoints": None,
    "activations_checkpoint_layers_per_pipeline": None,
    "fp8": False,
    "seed": 1234,
    "resume_from_checkpoint": None,
    "restore_from_path": None,
    "use_cpu_initialization": False,
    "perform_initialization": True,
    "apex_transformer_log_level": 30,
    "onnx_safe": False,
}
TRAINING: dict[str, Any] = {
    "optim": {
        "name": "fused_adam",
        "lr": 2e-4,
        "weight_decay": 0.01,
        "betas": [0.9, 0.98],
        "sched": {
            "name": "CosineAnnealing",
            "warmup_steps": 500,
            "constant_steps": 0,
            "min_lr": 2e-5,
        },
    },
    "target": f"{MODELS}.megatron_gpt_model.MegatronGPTModel",
    "nemo_version": "2.1.0",
}


def nemo_config(
    config: dict[str, Any],
    family: Family,
    shape: Shape,
    tokenizer: dict[str, Any],
    pieces: int,
    precision: int | str,
) -> dict[str, Any]:
    """The model_config.yaml for a Hugging Face config.

    Args:
        config: of Hugging Face.
        family: the model's.
        shape: its sizes, as they are written.
        tokenizer: how NeMo loads it.
        pieces: the number of its tokens.
        precision: in which NeMo is to compute.

    ``megatron_amp_O2`` is False: NeMo then runs the archive at ``precision=32`` and at bf16, on a
    CPU and on a GPU, and SFT, reward model, PPO and the server take the setting from their own
    command line (``megatron_amp_O2=True`` halves the memory with bf16 on a GPU). True, as
    upstream's converter writes it, cannot be overridden by the server and fails there in 32 bits.
    """
    sizes = _sizes(config, family, shape)
    return {
        **ON_ONE_DEVICE,
        **sizes,
        **_arithmetic(config, shape, pieces),
        **family.nemo_fields(config),
        "tokenizer": tokenizer,
        "precision": precision,
        **RUNNING,
        "data": {"seq_length": sizes["encoder_seq_length"], "data_impl": "mmap"},
        **TRAINING,
    }


def _sizes(config: dict[str, Any], family: Family, shape: Shape) -> dict[str, Any]:
    window = family.window(config)
    positions = need(config, "max_position_embeddings", "config.json")
    attention_window = {"window_size": [window, 0]} if window else {}
    return {
        "encoder_seq_length": min(window or positions, positions),
        "max_position_embeddings": positions,
        "num_layers": shape.layers,
        "hidden_size": shape.hidden,
        "ffn_hidden_size": shape.ffn,
        "num_attention_heads": shape.heads,
        "num_query_groups": shape.kv_heads,
        "kv_channels": shape.head_dim,
        **attention_window,
    }


def _arithmetic(config: dict[str, Any], shape: Shape, pieces: int) -> dict[str, Any]:
    return {
        "init_method_std": config.get("initializer_range", 0.02),
        "use_scaled_init_method": True,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "ffn_dropout": 0.0,
        "normalization": "rmsnorm",
        "layernorm_epsilon": config.get("rms_norm_eps", 1e-6),
        "persist_layer_norm": True,
        "bias": False,
        "activation": "fast-swiglu",
        "transformer_block_type": "pre_ln",
        "position_embedding_type": "rope",
        "rotary_percentage": 1.0,
        "rotary_base": float(rope_theta(config)),
        "apply_query_key_layer_scaling": False,
        "share_embeddings_and_output_weights": shape.tied,
        "make_vocab_size_divisible_by": vocabulary_divisor(pieces, shape.vocab),
        "pre_process": True,
        "post_process": True,
    }


def sentencepiece(name: str) -> dict[str, Any]:
    """How NeMo loads a sentencepiece model, an artifact of this name."""
    return {
        "library": "sentencepiece",
        "type": None,
        "model": f"nemo:{name}",
        "vocab_file": None,
        "merge_file": None,
        "delimiter": None,
        "sentencepiece_legacy": False,
    }


def check_nemo_config(config: dict[str, Any], where: str) -> None:
    """Refuse an archive whose model is of no family that is known."""
    accepted = {
        "mcore_gpt": (True,),
        "activation": ("fast-swiglu",),
        "normalization": ("rmsnorm", "RMSNorm"),
        "position_embedding_type": ("rope",),
        "bias": (False,),
    }
    for field, values in accepted.items():
        found = config.get(field)
        fail_if(
            found not in values,
            f"{where}: {field}: found {found!r}; accepted: {', '.join(map(repr, values))}",
        )
    for field in ("num_moe_experts", "seq_len_interpolation_factor"):
        found = config.get(field)
        fail_if(found, f"{where}: {field}: found {found!r:.100}; accepted: none")
    need(config, "max_position_embeddings", where)
    number(config, "layernorm_epsilon", None, where)
    number(config, "rotary_base", None, where)
    nemo_window(config, where)


def hf_config(
    config: dict[str, Any], shape: Shape, template: dict[str, Any] | None, where: str
) -> dict[str, Any]:
    """The config.json for a NeMo config: the template's fields, the archive's sizes.

    Raises :class:`cai.core.errors.UserError` if the template (named by ``where``) has other sizes,
    or computes in another way.
    """
    theta = {"rope_theta": float(config["rotary_base"])}
    sizes = _hf_sizes(config, shape)
    if template is None:
        family = family_of_nemo(config)
        return _hf_fixed(family) | sizes | family.hf_fields(config) | theta
    family = _check_template(template, config, shape, where)
    window = config.get("window_size")
    is_windowed_alike = family.window(template) == (window[0] if window else None)
    own = {} if is_windowed_alike else family.hf_fields(config)
    if shape.head_dim * shape.heads == shape.hidden and "head_dim" not in template:
        del sizes["head_dim"]
    told = {name: value for name, value in sizes.items() if name in template or value}
    told |= own | {"architectures": [family.architecture]}
    if not template.get("rope_parameters"):
        return template | told | theta
    told |= theta if template.get("rope_theta") is not None else {}
    return template | told | {"rope_parameters": template["rope_parameters"] | theta}


def _hf_sizes(config: dict[str, Any], shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": config["max_position_embeddings"],
        "rms_norm_eps": config["layernorm_epsilon"],
        "initializer_range": config.get("init_method_std", 0.02),
        "tie_word_embeddings": shape.tied,
    }


def _hf_fixed(family: Family) -> dict[str, Any]:
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "use_cache": True,
    }


def _check_template(
    template: dict[str, Any], config: dict[str, Any], shape: Shape, where: str
) -> Family:
    """The template's family, if the archive is a model of it."""
    family = family_of(template, where)
    own, other = asdict(shape), asdict(Shape.from_hf(template, where))
    for field, value in own.items():
        if other[field] != value and field != "tied":  # training unties the output layer
            raise UserError(f"{where}: {field}: found {other[field]}; the archive has {value}")
    promised = family.nemo_fields(template)
    for field in MARKS:
        fail_if(
            bool(promised.get(field)) != bool(config.get(field)),
            f"{where}: {field}: found {promised.get(field)}; the archive has {config.get(field)}",
        )
    return family
