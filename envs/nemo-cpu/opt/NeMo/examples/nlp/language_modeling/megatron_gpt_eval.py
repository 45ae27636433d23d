"""Generates text with a `.nemo` model, or serves it over HTTP, on a CPU.

Stands for NeMo's program of this name and takes its overrides (conf/megatron_gpt_inference.yaml).
NeMo's answers the prompts of its configuration twice before it serves; this one serves at once.
"""

import json

from nemo_cpu.programs.config import entry_point, refuse, require_processes

GENERATE = 0  # what NeMo's server broadcasts with each request
IDLE_HOURS = 5  # after which the other processes give up waiting for one; NeMo's value


@entry_point("megatron_gpt_inference")
def main(cfg):
    """With `server=True` serves on `port` until it is stopped; otherwise answers `prompts`."""
    sharing = require_processes(cfg.trainer, cfg)
    refuse(
        sharing != 1,
        f"tensor_model_parallel_size={cfg.tensor_model_parallel_size}: must be the number of "
        f"processes, {cfg.trainer.devices * cfg.trainer.num_nodes}",
    )
    for option in ("web_server", "share", "chat"):
        refuse(cfg[option], f"{option}=True: not on a CPU; it must be False")
    refuse(cfg.gpt_model_file is None, "gpt_model_file: missing; a .nemo file is needed")
    refuse(cfg.checkpoint_dir is not None, "checkpoint_dir: not on a CPU; use gpt_model_file")

    model = load(cfg)
    if not cfg.server:
        print(json.dumps(answer(model, cfg), indent=2, default=str))
        return
    serve(model, cfg.port)


def serve(model, port):
    """The first process serves; any others compute their part of what it is asked for."""
    import torch
    from nemo.collections.nlp.modules.common.text_generation_server import MegatronServer
    from nemo.collections.nlp.modules.common.text_generation_utils import generate

    if torch.distributed.get_rank() == 0:
        MegatronServer(model).run("0.0.0.0", port=port)  # the patch layer keeps it on loopback
        return
    request = torch.zeros(1, dtype=torch.int64)
    while True:
        torch.distributed.broadcast(request, 0)
        if request.item() == GENERATE:
            generate(model)


def load(cfg):
    """Restores the model for inference in the precision of the trainer."""
    import datetime
    import os

    from lightning.pytorch.trainer.trainer import Trainer
    from nemo.collections.nlp.models.language_modeling.megatron_gpt_model import MegatronGPTModel
    from nemo.collections.nlp.parts.nlp_overrides import NLPDDPStrategy, NLPSaveRestoreConnector
    from nemo_aligner.utils.train_script_utils import init_distributed
    from omegaconf import open_dict

    idle = datetime.timedelta(hours=IDLE_HOURS)
    trainer = Trainer(strategy=NLPDDPStrategy(timeout=idle), **cfg.trainer)
    connector = NLPSaveRestoreConnector()
    if os.path.isdir(cfg.gpt_model_file):
        connector.model_extracted_dir = cfg.gpt_model_file
    source = {
        "restore_path": cfg.gpt_model_file,
        "trainer": trainer,
        "save_restore_connector": connector,
    }
    settings = MegatronGPTModel.restore_from(return_config=True, **source)
    with open_dict(settings):
        settings.update(
            precision=trainer.precision,
            tensor_model_parallel_size=trainer.world_size,
            pipeline_model_parallel_size=1,
            expert_model_parallel_size=1,
            micro_batch_size=1,
            sequence_parallel=False,
            activations_checkpoint_granularity=None,
            activations_checkpoint_method=None,
            use_flash_attention=cfg.inference.get("use_flash_attention", False),
            apply_rope_fusion=False,
        )
        if cfg.megatron_amp_O2 and trainer.precision in ("bf16", "bf16-mixed"):
            settings.megatron_amp_O2 = True
    model = MegatronGPTModel.restore_from(override_config_path=settings, **source)
    model.freeze()
    init_distributed(trainer, model)
    return model


def answer(model, cfg):
    """The completions of `prompts` and `prompts_jsonl`, with the sampling of `inference`."""
    from omegaconf import OmegaConf

    prompts = OmegaConf.to_container(cfg.prompts) if cfg.prompts else []
    if cfg.prompts_jsonl is not None:
        with open(cfg.prompts_jsonl, encoding="utf-8") as lines:
            prompts += [json.loads(line) for line in lines]
    refuse(not prompts, "prompts: empty; at least one is needed")
    sampling = OmegaConf.to_container(cfg.inference)
    sampling["use_greedy"] = sampling.pop("greedy")
    lengths = {
        "max_length": sampling.pop("tokens_to_generate"),
        "min_length": sampling.pop("min_tokens_to_generate"),
    }
    return model.generate(inputs=prompts, length_params=lengths, sampling_params=sampling)


if __name__ == "__main__":
    main()
