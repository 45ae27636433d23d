"""Direct preference optimisation of a `.nemo` model (DPO, IPO, RPO), on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/gpt_dpo.yaml).
"""

from functools import partial

from nemo_cpu.programs.config import entry_point, refuse, require_batches, require_processes

PARTS = ("model.micro_batch_size", "model.dpo.log_prob_forward_micro_batch_size")


@entry_point("gpt_dpo")
def main(cfg):
    """Trains, and writes checkpoints and the final `.nemo` below `exp_manager.explicit_log_dir`."""
    sharing = require_processes(cfg.trainer, cfg.model)
    for part in PARTS:
        require_batches(cfg, sharing, {"model.global_batch_size": part})
    packed = cfg.model.data.data_impl == "packed_jsonl"
    refuse(packed, "model.data.data_impl=packed_jsonl: on a CPU it must be jsonl")
    from nemo_aligner.algorithms.dpo import DPOTrainer, dpo_custom_collate
    from nemo_aligner.data.nlp.builders import (
        build_train_valid_test_dpo_datasets,
        identity_collate,
    )
    from nemo_aligner.models.nlp.gpt.megatron_gpt_dpo_model import MegatronGPTDPOModel
    from nemo_aligner.utils.train_script_utils import init_peft
    from nemo_aligner.utils.utils import retrieve_model_state_dict_in_cpu
    from nemo_cpu.programs.alignment import Alignment, datasets, global_batches

    run = Alignment(cfg, "dpo", cfg.pretrained_checkpoint.restore_from_path)
    model = run.load(MegatronGPTDPOModel, load_base_model_only=False)
    init_peft(model, cfg.model)
    if cfg.model.peft.peft_scheme == "none":  # else the model without adapters is the reference
        model.ref_policy_state_dict = retrieve_model_state_dict_in_cpu(
            model, megatron_amp_O2=cfg.model.get("megatron_amp_O2", False)
        )
    run.connect()

    number = -cfg.model.global_batch_size
    train, validation = datasets(build_train_valid_test_dpo_datasets, model, cfg, number)
    whole = {"collate_fn": identity_collate}  # the trainer itself puts batches together
    train_loader = global_batches(cfg, train, run.consumed_samples, **whole)
    validation_loader = global_batches(cfg, validation, use_random_sampler=False, **whole)
    data = cfg.model.data
    masks = ("reset_position_ids", "reset_attention_mask", "eod_mask_loss")

    trainer = DPOTrainer(
        train_dataloader=train_loader,
        val_dataloader=validation_loader,
        test_dataloader=None,
        collate_fn=partial(
            dpo_custom_collate,
            eos_id=model.tokenizer.eos_id,
            **{name: data.get(name, False) for name in masks},
        ),
        run_timer=run.timer(),
        pad_length_to_multiple_of=data.get("pad_length_to_multiple_of"),
        **run.build(train_loader, train),
    )
    run.resume(trainer).fit()


if __name__ == "__main__":
    main()
