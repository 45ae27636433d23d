"""The batches that NeMo-Aligner fills from a dataset; a smaller dataset fails in training."""

from typing import NamedTuple

from cai.nemo.values import Values
from cai.settings.configuration import Settings


class Batches(NamedTuple):
    """Records of one batch: what each part of a dataset must have at least."""

    sft_train: int
    sft_validation: int
    comparisons: int
    rollouts: int
    validation_rollouts: int
    pairs: int


def batches(settings: Settings) -> Batches:
    """The batch sizes of a configuration; 1 where it gives no whole number (see ``sizing``)."""
    sft, actor = Values(settings, "sft"), Values(settings, "actor")
    reward_model, dpo = Values(settings, "reward_model"), Values(settings, "dpo")
    return Batches(
        sft.whole("model.data.train_ds.global_batch_size") or 1,
        sft.whole("model.data.validation_ds.global_batch_size") or 1,
        reward_model.whole("model.global_batch_size") or 1,
        actor.whole("model.ppo.num_rollout_samples") or 1,
        actor.whole("model.ppo.num_val_samples") or 1,
        dpo.whole("model.global_batch_size") or 1,
    )
