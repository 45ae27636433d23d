"""Restore an archive with NeMo, continue prompts greedily, save it again: run by a test.

Usage: nemo_restore.py IN.nemo OUT.nemo CONTINUATIONS.json PROMPT...
"""

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from nemo.collections.nlp.models.language_modeling.megatron_gpt_model import MegatronGPTModel
from nemo.collections.nlp.parts.nlp_overrides import NLPDDPStrategy, NLPSaveRestoreConnector

LENGTH = {"max_length": 8, "min_length": 0}
GREEDY = {
    "use_greedy": True,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "add_BOS": False,
    "all_probs": False,
    "compute_logprob": False,
    "end_strings": ["<|endoftext|>"],
}


def main() -> None:
    source, target, continuations, *prompts = sys.argv[1:]
    trainer = Trainer(
        devices=1, accelerator="cpu", precision=32, strategy=NLPDDPStrategy(), logger=False
    )
    model = MegatronGPTModel.restore_from(
        source,
        trainer=trainer,
        save_restore_connector=NLPSaveRestoreConnector(),
        map_location=torch.device("cpu"),
    )
    answer = model.generate(prompts, LENGTH, sampling_params=GREEDY)
    Path(continuations).write_text(json.dumps(answer["token_ids"]))
    model.save_to(target)


if __name__ == "__main__":
    main()
