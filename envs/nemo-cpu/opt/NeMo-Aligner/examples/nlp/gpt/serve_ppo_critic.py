"""The critic of PPO, with the reward model beside it, served and trained on a CPU.

Stands for NeMo-Aligner's program of this name and takes its overrides (conf/gpt_ppo_critic.yaml).
"""

from nemo_cpu.programs.config import entry_point, require_batches, require_processes


@entry_point("gpt_ppo_critic")
def main(cfg):
    """Serves critic_infer, critic_train and critic_save on `trainer.ppo.port` until stopped."""
    sharing = require_processes(cfg.trainer, cfg.model)
    require_batches(cfg, sharing, {"model.global_batch_size": "model.micro_batch_size"})
    from nemo_aligner.algorithms.critic_server_trainer import CriticServerTrainer
    from nemo_aligner.models.nlp.gpt.megatron_gpt_critic import MegatronGPTCriticModel
    from nemo_aligner.utils.utils import copy_model_states_to_cpu, set_autocast_gpu_dtype
    from nemo_cpu.programs.alignment import Alignment, tokenizer_of

    run = Alignment(cfg, "ppo", cfg.pretrained_checkpoint.restore_from_path)
    set_autocast_gpu_dtype(cfg.trainer.precision)
    model = run.load(MegatronGPTCriticModel)
    if cfg.trainer.ppo.combine_rm_and_critic_server:
        # The reward model is the model as it was loaded: kept before a resumed critic replaces it.
        model.rm_state_dict_cpu = copy_model_states_to_cpu(
            model, cpu_dict=None, megatron_amp_O2=cfg.model.megatron_amp_O2, sync=True
        )
    run.connect()

    server = CriticServerTrainer(
        tokenize_func=tokenizer_of(model),
        gbs=cfg.model.global_batch_size,
        model_forward_micro_batch_size=cfg.model.forward_micro_batch_size,
        **run.build(),
    )
    run.resume(server).run_server()


if __name__ == "__main__":
    main()
