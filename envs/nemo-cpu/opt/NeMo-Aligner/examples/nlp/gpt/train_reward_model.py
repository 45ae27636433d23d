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
    from nemo_aligner.data.nlp import builders
    from nemo_aligner.models.nlp.gpt.reward_model_classes import (
        REWARD_MODEL_CLASS_DICT,
        RewardModelType,
    )
    from nemo_cpu.programs.alignment import Alignment, datasets, global_batches

    kind = RewardModelType(cfg.model.reward_model_type)
    run = Alignment(cfg, "rm", cfg.pretrained_checkpoint.restore_from_path)
    base_only = not cfg.model.regression.load_rm_head_weights
    model = run.load(REWARD_MODEL_CLASS_DICT[kind], load_base_model_only=base_only)
    run.connect()

    build = {
        RewardModelType.BINARY_RANKING: builders.build_train_valid_test_rm_datasets,
        RewardModelType.REGRESSION: builders.build_train_valid_test_regression_rm_datasets,
    }[kind]
    train, validation = datasets(build, model, cfg, -cfg.model.global_batch_size)
    sampled = {"use_random_sampler": cfg.trainer.rm.train_random_sampler}
    train_loader = global_batches(cfg, train, run.consumed_samples, **sampled)
    sampled = {"use_random_sampler": cfg.trainer.rm.val_random_sampler}
    validation_loader = global_batches(cfg, validation, **sampled)

    trainer = SupervisedTrainer(
        train_dataloader=train_loader,
        val_dataloader=validation_loader,
        test_dataloader=None,
        run_timer=run.timer(),
        **run.build(train_loader, train),
    )
    run.resume(trainer).fit()


if __name__ == "__main__":
    main()
