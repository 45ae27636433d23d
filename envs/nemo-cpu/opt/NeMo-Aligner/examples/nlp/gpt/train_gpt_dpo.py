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
    from nemo_aligner.models.nlp.gpt.megatron_gpt_dpo_model import MegatronGPTDPOModel
    from nemo_aligner.utils.train_script_utils import init_peft
    from nemo_aligner.utils.utils import retrieve_model_state_dict_in_cpu
    from nemo_cpu.programs.alignment import Alignment

    run = Alignment(cfg, "dpo", cfg.pretrained_checkpoint.restore_from_path)
    model = run.load(MegatronGPTDPOModel, load_base_model_only=False)
    init_peft(model, cfg.model)
    if cfg.model.peft.peft_scheme == "none":  # else the model without adapters is the reference
        model.ref_policy_state_dict = retrieve_model_state_dict_in_cpu(
            model, megatron_amp_O2=cfg.model.get("megatron_amp_O2", False)
        )
    run.connect()

    train, validation = datasets(model, cfg)
    train_loader = loader(cfg, train, run.consumed_samples)
    validation_loader = loader(cfg, validation, use_random_sampler=False)
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


def datasets(model, cfg):
    """All comparisons of `model.data.data_prefix`: a prompt, a chosen and a rejected response."""
    from nemo_aligner.data.nlp.builders import build_train_valid_test_dpo_datasets

    train, validation, _ = build_train_valid_test_dpo_datasets(
        cfg=cfg.model,
        data_prefix=cfg.model.data.data_prefix,
        data_impl=cfg.model.data.data_impl,
        splits_string=cfg.model.data.splits_string,
        train_valid_test_num_samples=[-cfg.model.global_batch_size] * 3,
        seq_length=cfg.model.data.seq_length,
        seed=cfg.model.seed,
        tokenizer=model.tokenizer,
    )
    return train, validation


def loader(cfg, dataset, consumed_samples=0, **options):
    """Loads the dataset in global batches, which the trainer puts together itself."""
    from nemo_aligner.data.nlp.builders import build_dataloader, identity_collate

    return build_dataloader(
        cfg=cfg,
        dataset=dataset,
        consumed_samples=consumed_samples,
        mbs=cfg.model.micro_batch_size,
        gbs=cfg.model.global_batch_size,
        load_gbs=True,
        pad_samples_to_global_batch_size=False,
        collate_fn=identity_collate,
        **options,
    )


if __name__ == "__main__":
    main()
