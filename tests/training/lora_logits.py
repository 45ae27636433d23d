"""Logits of a base with its adapters, as NeMo loads both, of the base alone and of what is merged.

Run by a test: lora_logits.py BASE.nemo ADAPTERS.nemo MERGED.nemo. Prints the largest differences.
"""

import json
import sys
from typing import Any

import torch
from lightning.pytorch import Trainer
from nemo.collections.nlp.parts.nlp_overrides import NLPDDPStrategy
from nemo_aligner.models.nlp.gpt.gpt_sft_model import GPTSFTModel
from nemo_aligner.utils.utils import load_checkpoint_model_config, load_from_nemo
from omegaconf import open_dict

TOKENS = torch.arange(3, 3 + 4 * 48).reshape(4, 48)


def loaded(archive: str, config: Any, trainer: Trainer) -> Any:
    with open_dict(config):
        config.precision = 32
    return load_from_nemo(GPTSFTModel, config, trainer, restore_path=archive).eval()


def logits(model: Any) -> torch.Tensor:
    positions = torch.arange(TOKENS.shape[1])[None].expand_as(TOKENS)
    mask = torch.ones(TOKENS.shape[1], TOKENS.shape[1]).triu(1).bool()[None, None]
    with torch.no_grad():
        return model.model(TOKENS, positions, mask)


def main() -> None:
    base, adapters, merged = sys.argv[1:]
    trainer = Trainer(
        devices=1, accelerator="cpu", precision=32, strategy=NLPDDPStrategy(), logger=False
    )
    trained = loaded(base, load_checkpoint_model_config(adapters), trainer)
    alone = logits(trained)
    trained.load_adapters(adapters)
    expected = logits(trained)
    whole = logits(loaded(merged, load_checkpoint_model_config(merged), trainer))
    difference = {"merged": expected - whole, "base": expected - alone}
    print(json.dumps({name: each.abs().max().item() for name, each in difference.items()}))


if __name__ == "__main__":
    main()
