"""A reward model served over HTTP, on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/inference_rm.yaml).
"""

from nemo_cpu.programs.config import entry_point, require_processes


@entry_point("inference_rm")
def main(cfg):
    """Serves `inference.model_name` on `inference.port` until it is stopped."""
    require_processes(cfg.trainer, cfg.get("model"))
    import torch
    from lightning.pytorch.trainer.trainer import Trainer
    from nemo.collections.nlp.parts.nlp_overrides import NLPDDPStrategy
    from nemo_aligner.algorithms.reward_server import RewardModelServer
    from nemo_aligner.models.nlp.gpt.reward_model_classes import (
        REWARD_MODEL_CLASS_DICT,
        RewardModelType,
    )
    from nemo_aligner.utils.train_script_utils import init_distributed
    from nemo_aligner.utils.utils import (
        load_and_override_model_config,
        load_from_nemo,
        set_autocast_gpu_dtype,
    )
    from nemo_cpu.programs.alignment import tokenizer_of

    cfg.model = load_and_override_model_config(cfg.rm_model_file, cfg.model)
    trainer = Trainer(strategy=NLPDDPStrategy(), **cfg.trainer)
    set_autocast_gpu_dtype(cfg.trainer.precision)
    kind = RewardModelType(cfg.model.get("reward_model_type", "binary_ranking"))
    with torch.no_grad():
        model = load_from_nemo(
            REWARD_MODEL_CLASS_DICT[kind],
            cfg.model,
            trainer,
            strict=True,
            restore_path=cfg.rm_model_file,
        )
        model.freeze()
        init_distributed(trainer, model, cfg.model.get("transformer_engine", False))
        model.prepare_for_inference()
        RewardModelServer(
            infer_fn=model.infer,
            tokenize_func=tokenizer_of(model),
            model_name=cfg.inference.model_name,
            port=cfg.inference.port,
            inference_micro_batch_size=cfg.inference.inference_micro_batch_size,
            model_forward_micro_batch_size=cfg.model.forward_micro_batch_size,
            strip_sequence_length_to_multiple=cfg.inference.strip_sequence_length_to_multiple,
            max_queue_delay_microseconds=cfg.inference.max_queue_delay_microseconds,
        ).run_server()


if __name__ == "__main__":
    main()
