"""Training of a reward model on comparisons, on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/training_rm.yaml).
"""

from nemo_cpu.programs.config import entry_point, refuse, require_batches, require_processes

BRADLEY_TERRY = ("regular_bt", "margin_bt", "scaled_bt")


@entry_point("training_rm")
def main(cfg):
    """Trains, and writes checkpoints and the final `.nemo` below `exp_manager.explicit_log_dir`."""
    sharing = require_processes(cfg.trainer, cfg.model)
    require_batches(cfg, sharing, {"model.global_batch_size": "model.micro_batch_size"})
    refuse(
        cfg.model.reward_model_type == "regression"
        and cfg.model.regression.loss_func in BRADLEY_TERRY
        and cfg.model.micro_batch_size != 2,
        f"model.micro_batch_size={cfg.model.micro_batch_size}: must be 2 with "
        f"model.regression.loss_func={cfg.model.regression.loss_func}",
    )
    from nemo_aligner.algorithms.supervised import SupervisedTrainer
    from nemo_aligner.models.nlp.gpt.reward_model_classes import (
        REWARD_MODEL_CLASS_DICT,
        RewardModelType,
    )
    from nemo_cpu.programs.alignment import Alignment

    kind = RewardModelType(cfg.model.reward_model_type)
    run = Alignment(cfg, "rm", cfg.pretrained_checkpoint.restore_from_path)
    base_only = not cfg.model.regression.load_rm_head_weights
    model = run.load(REWARD_MODEL_CLASS_DICT[kind], load_base_model_only=base_only)
    run.connect()

    train, validation = datasets(model, cfg, kind)
    shuffle = cfg.trainer.rm.train_random_sampler
    train_loader = loader(cfg, train, run.consumed_samples, shuffle)
    validation_loader = loader(cfg, validation, 0, cfg.trainer.rm.val_random_sampler)

    trainer = SupervisedTrainer(
        train_dataloader=train_loader,
        val_dataloader=validation_loader,
        test_dataloader=None,
        run_timer=run.timer(),
        **run.build(train_loader, train),
    )
    run.resume(trainer).fit()


def datasets(model, cfg, kind):
    """All records of `model.data.data_prefix`: comparisons, or texts with attributes."""
    from nemo_aligner.data.nlp import builders
    from nemo_aligner.models.nlp.gpt.reward_model_classes import RewardModelType

    build = {
        RewardModelType.BINARY_RANKING: builders.build_train_valid_test_rm_datasets,
        RewardModelType.REGRESSION: builders.build_train_valid_test_regression_rm_datasets,
    }[kind]
    train, validation, _ = build(
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


def loader(cfg, dataset, consumed_samples, shuffle):
    """Loads the dataset in global batches."""
    from nemo_aligner.data.nlp.builders import build_dataloader

    return build_dataloader(
        cfg=cfg,
        dataset=dataset,
        consumed_samples=consumed_samples,
        mbs=cfg.model.micro_batch_size,
        gbs=cfg.model.global_batch_size,
        load_gbs=True,
        use_random_sampler=shuffle,
    )


if __name__ == "__main__":
    main()
