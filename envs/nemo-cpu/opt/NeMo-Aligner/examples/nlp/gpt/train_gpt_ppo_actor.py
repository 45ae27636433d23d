"""PPO of a policy against a running critic and reward model, on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/gpt_ppo_actor.yaml).
"""

from functools import partial

from nemo_cpu.programs.config import entry_point, refuse, require_batches, require_processes

BATCHES = {
    "model.global_batch_size": "model.micro_batch_size",
    "model.ppo.num_rollout_samples": "model.ppo.rollout_micro_batch_size",
    "model.ppo.num_val_samples": "model.ppo.val_rollout_micro_batch_size",
}


@entry_point("gpt_ppo_actor")
def main(cfg):
    """Trains, and writes checkpoints and the final `.nemo` below `exp_manager.explicit_log_dir`."""
    sharing = require_processes(cfg.trainer, cfg.model)
    require_batches(cfg, sharing, BATCHES)
    refuse(
        cfg.trainer.ppo.trt_llm.enable,
        "trainer.ppo.trt_llm.enable=True: TensorRT-LLM needs a GPU; on a CPU it must be False",
    )
    from nemo_aligner.algorithms.ppo import PPOTrainer
    from nemo_aligner.data.nlp.builders import build_train_valid_test_rlhf_datasets
    from nemo_aligner.models.nlp.gpt.megatron_gpt_ppo_actor import MegatronGPTActorModel
    from nemo_aligner.models.nlp.gpt.reward_critic_clients import RemoteGPTRMCriticClient
    from nemo_aligner.utils.batch_iterators import get_batch_iterator_cls
    from nemo_aligner.utils.train_script_utils import init_peft
    from nemo_aligner.utils.utils import retrieve_model_state_dict_in_cpu
    from nemo_cpu.programs.alignment import Alignment, datasets

    run = Alignment(cfg, "ppo", cfg.pretrained_checkpoint.restore_from_path)
    model = run.load(MegatronGPTActorModel)
    init_peft(model, cfg.model)
    model.init_policy_state_dict = None
    if cfg.trainer.ppo.initial_policy_kl_penalty > 0 and cfg.model.peft.peft_scheme == "none":
        # The policy that the KL penalty refers to: kept before a resumed one replaces it.
        model.init_policy_state_dict = retrieve_model_state_dict_in_cpu(
            model, megatron_amp_O2=cfg.model.megatron_amp_O2
        )
    run.connect()

    settings = cfg.model.ppo
    train, validation = datasets(build_train_valid_test_rlhf_datasets, model, cfg, -1)
    pad = collate(model, cfg)
    train_loader = partial(
        rollouts, cfg, train, pad, settings.rollout_micro_batch_size, settings.num_rollout_samples
    )
    validation_loader = partial(
        rollouts,
        cfg,
        validation,
        pad,
        settings.val_rollout_micro_batch_size,
        settings.num_val_samples,
        use_random_sampler=False,
    )

    parts = run.build(optimisation_batches(cfg, train), train)
    del model._train_dl  # it counted the optimizer's steps and holds prompts, not rollouts

    critic = RemoteGPTRMCriticClient(cfg.remote_critic_rm)
    trainer = PPOTrainer(
        train_dataloader_builder=train_loader,
        val_dataloader_builder=validation_loader,
        collate_fn=pad,
        rm_critic=critic,
        batch_iterator_cls=get_batch_iterator_cls(cfg.trainer.ppo.batch_iterator),
        run_timer=run.timer(),
        **parts,
    )
    try:
        run.resume(trainer).fit()
    finally:
        critic.communicator.close()  # its threads keep a program alive that has failed


def collate(model, cfg):
    """Pads the prompts of a batch to the longest, with room for the answer."""
    from nemo_aligner.data.nlp.builders import collate_with_pad_to_max_batch

    return collate_with_pad_to_max_batch(
        cfg.model.ppo.length_params.max_length,
        model.tokenizer.eos_id,
        cfg,
        generate_masks_and_position_ids=False,
    )


def rollouts(cfg, prompts, pad, micro, total, consumed_samples=0, **options):
    """Loads `total` prompts a step, `micro` at a time."""
    from nemo_aligner.data.nlp.builders import build_dataloader

    return build_dataloader(
        cfg=cfg,
        dataset=prompts,
        consumed_samples=consumed_samples,
        mbs=micro,
        gbs=total,
        collate_fn=pad,
        load_gbs=False,
        **options,
    )


def optimisation_batches(cfg, prompts):
    """As many batches as the optimizer takes steps in an epoch: the schedule counts them."""
    from torch.utils.data import DataLoader

    return DataLoader(prompts, batch_size=cfg.model.global_batch_size)


if __name__ == "__main__":
    main()
