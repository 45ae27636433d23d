"""Supervised fine-tuning of a `.nemo` model, on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/gpt_sft.yaml).
"""

from nemo_cpu.programs.config import entry_point, require_batches, require_processes

BATCHES = {
    f"model.data.{part}.global_batch_size": f"model.data.{part}.micro_batch_size"
    for part in ("train_ds", "validation_ds")
}


@entry_point("gpt_sft")
def main(cfg):
    """Trains, and writes checkpoints and the final `.nemo` below `exp_manager.explicit_log_dir`."""
    sharing = require_processes(cfg.trainer, cfg.model)
    require_batches(cfg, sharing, BATCHES)
    from nemo_aligner.algorithms.supervised import SupervisedTrainer
    from nemo_aligner.models.nlp.gpt.gpt_sft_model import GPTSFTModel
    from nemo_aligner.utils.train_script_utils import init_peft
    from nemo_cpu.programs.alignment import Alignment

    run = Alignment(cfg, "sft", cfg.model.restore_from_path)
    cfg.model.precision = cfg.trainer.precision
    model = run.load(GPTSFTModel)
    init_peft(model, cfg.model)
    run.connect()

    data = cfg.model.data
    train = dataset(model, cfg, data.train_ds, cfg.trainer.sft.max_steps)
    validation = dataset(model, cfg, data.validation_ds, cfg.trainer.sft.limit_val_batches)
    train_loader = loader(cfg, train, data.train_ds, run.consumed_samples)
    validation_loader = loader(cfg, validation, data.validation_ds, use_random_sampler=False)

    trainer = SupervisedTrainer(
        train_dataloader=train_loader,
        val_dataloader=validation_loader,
        test_dataloader=None,
        run_timer=run.timer(),
        **run.build(train_loader, train),
    )
    run.resume(trainer).fit()


def dataset(model, cfg, settings, batches):
    """Chats or prompts with answers; the loss is on the answers only. With `model.data.sample` the
    records are drawn again until they fill `batches` global batches."""
    from nemo_aligner.data.nlp.builders import build_sft_dataset

    sampled = cfg.model.data.get("sample", False) and batches >= 0
    return build_sft_dataset(
        settings,
        model.tokenizer,
        batches * settings.global_batch_size if sampled else None,
        answer_only_loss=True,
        is_chat=cfg.model.data.chat,
        special_tokens=cfg.model.data.chat_prompt_tokens,
        model_cfg=cfg.model,
    )


def loader(cfg, data, settings, consumed_samples=0, **options):
    """Loads the dataset in global batches."""
    from nemo_aligner.data.nlp.builders import build_dataloader

    return build_dataloader(
        cfg=cfg,
        dataset=data,
        consumed_samples=consumed_samples,
        mbs=settings.micro_batch_size,
        gbs=settings.global_batch_size,
        collate_fn=data.collate_fn,
        drop_last=settings.drop_last,
        pad_samples_to_global_batch_size=not settings.drop_last,
        load_gbs=True,
        **options,
    )


if __name__ == "__main__":
    main()
