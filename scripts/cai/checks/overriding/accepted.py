"""Which values NeMo's programs can work with, key by key, where a wrong one fails late or silently.

One table. A key's kind (a number, a text ...) is checked by :mod:`cai.nemo.composition` already;
what depends on other values is in :mod:`cai.checks.arithmetic`. The comments name the place
upstream, in NeMo 2.1.0, NeMo-Aligner 0.7.0, Lightning 2.4 and torch.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cai.nemo.composition import Problem, flat

NULL = "null"  # Hydra's, as a text
NUMBER = (int, float)


class Accepted(NamedTuple):
    """What some keys take.

    Attributes:
        keys: a pattern of whole keys.
        takes: whether a value is accepted.
        words: the same for people.
    """

    keys: str
    takes: Callable[[Any], bool]
    words: str


def problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    """The overrides of one program whose values it cannot work with."""
    for key, value in flat(given):
        bare = key.lstrip("+")
        if value in (None, NULL) or key.startswith("~") or _refers(value):
            continue
        rule = next((rule for rule in TABLE if re.fullmatch(rule.keys, bare)), None)
        if rule and not rule.takes(value):
            yield Problem(key, f"found {value!r}; accepted: {rule.words}")


def _refers(value: Any) -> bool:
    """Whether a value is another key's, or worked out from others."""
    return isinstance(value, str) and "${" in value


def _number(value: Any) -> bool:
    return isinstance(value, NUMBER) and not isinstance(value, bool)


def _whole(least: int, most: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: _number(value) and isinstance(value, int) and least <= value <= most


def _from(least: float, most: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: _number(value) and least <= value <= most


def _above(least: float) -> Callable[[Any], bool]:
    return lambda value: _number(value) and value > least


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, ", ".join(names)


def _share(value: Any) -> bool:
    return _whole(1)(value) or (isinstance(value, float) and 0 < value <= 1)


def _sizes(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(map(_whole(1), values))


def _betas(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_number(b) and 0 <= b < 1 for b in value)
    )


COUNT, NOT_NEGATIVE = "a whole number from 0 on", "a number from 0 on"
POSITIVE, WHOLE = "more than 0", "a whole number above 0"
TABLE = (
    # AcceleratorConnector: what is registered
    Accepted(r"trainer\.accelerator", *_one_of("gpu", "cuda", "cpu", "auto")),
    # SupervisedTrainer.fit and PPOTrainer.fit: range(epoch, max_epochs); no step, no model
    Accepted(r"trainer\.(sft|rm|ppo|dpo)\.max_epochs", _whole(1), "1 or more, a whole number"),
    Accepted(
        r"trainer\.(sft|rm|ppo|dpo)\.max_steps",
        lambda value: _whole(1)(value) or (_number(value) and value == -1),
        "1 or more, a whole number, or -1",
    ),
    # compute_num_steps_per_epoch: a number is of steps, 1.0 all of them
    Accepted(r"trainer\.\w+\.limit_train_batches", _share, "1 or more, or a share up to 1.0"),
    Accepted(r"trainer\.\w+\.limit_val_batches", _from(0), NOT_NEGATIVE),
    # check_progress: 0 switches it off, and what is saved has the validation's result in its name
    Accepted(r"trainer\.(sft|rm|dpo)\.val_check_interval", _above(0), POSITIVE),
    # PPOTrainer takes it as it is, and saves where it divides the step
    Accepted(r"trainer\.ppo\.val_check_interval", _whole(1), WHOLE),
    Accepted(r"trainer\.\w+\.save_interval", _whole(1), WHOLE),
    # clip_gradients does nothing at 0 or less, and does not say so
    Accepted(r"trainer\.(\w+\.)?gradient_clip_val", _from(0), "a number from 0 on, 0 for none"),
    # PPOTrainer.compute_init_policy_kl: at 0 or less it is not worked out
    Accepted(r"trainer\.ppo\.initial_policy_kl_penalty", _from(0), NOT_NEGATIVE),
    # calculate_advantages_and_returns sums up with their powers
    Accepted(r"trainer\.ppo\.(gae_lambda|discount_factor)", _from(0, 1), "a number from 0 to 1"),
    Accepted(r"trainer\.ppo\.critic_warmup_steps", _whole(0), COUNT),
    # critic_server_trainer, reward_server: the batches that PyTriton prefers
    Accepted(
        r"(trainer\.ppo|inference)\.inference_micro_batch_size",
        _sizes,
        f"{WHOLE}, or a list of them",
    ),
    Accepted(r"(trainer\.ppo|inference)\.max_queue_delay_microseconds", _whole(0), COUNT),
    # MegatronGPTActorModel: ratios.clamp(1 - eps, 1 + eps); an entropy bonus below 0 is left out
    Accepted(r"model\.ppo\.ratio_eps", _above(0), POSITIVE),
    Accepted(r"model\.ppo\.entropy_bonus", _from(0), NOT_NEGATIVE),
    Accepted(r"model\.loss_clip_val", _above(0), POSITIVE),
    # text_generation_utils: logits are divided by it; top_k_logits
    Accepted(r"(model\.ppo\.sampling_params|inference)\.temperature", _above(0), POSITIVE),
    Accepted(r"(model\.ppo\.sampling_params|inference)\.top_k", _whole(0), COUNT),
    Accepted(
        r"(model\.ppo\.sampling_params|inference)\.top_p", _from(0, 1), "a number from 0 to 1"
    ),
    Accepted(r"(model\.ppo\.sampling_params|inference)\.repetition_penalty", _above(0), POSITIVE),
    Accepted(r"model\.ppo\.length_params\.min_length", _whole(0), COUNT),
    # nemo.core.optim.optimizers, and the base model's own
    Accepted(
        r"model\.optim\.name",
        *_one_of(
            *("distributed_fused_adam", "mcore_distributed_optim", "megatron_fused_adam"),
            *("fused_adam", "adam", "adamw", "adamax", "adan", "adafactor", "novograd", "lamb"),
            *("sgd", "rmsprop", "rprop", "adagrad", "adadelta"),
        ),
    ),
    # torch.optim.AdamW
    Accepted(r"model\.optim\.(lr|eps)", _above(0), POSITIVE),
    Accepted(r"model\.optim\.weight_decay", _from(0), NOT_NEGATIVE),
    Accepted(r"model\.optim\.betas", _betas, "a list of two numbers from 0 to less than 1"),
    # nemo.core.optim.lr_scheduler: of all that it has, one alone takes constant_steps
    Accepted(
        r"model\.optim\.sched\.name",
        lambda value: value == "CosineAnnealing",
        "CosineAnnealing, the only one that takes constant_steps",
    ),
    Accepted(r"model\.optim\.sched\.(warmup|constant)_steps", _whole(0), COUNT),
    Accepted(r"model\.optim\.sched\.(warmup|constant)_ratio", _from(0, 1), "a number from 0 to 1"),
    Accepted(r"model\.optim\.sched\.min_lr", _from(0), NOT_NEGATIVE),
    # train_reward_model.py: others are made of other data than comparisons
    Accepted(r"model\.reward_model_type", *_one_of("binary_ranking")),
    Accepted(r"model\.dpo\.(preference|sft)_loss_weight", _from(0), NOT_NEGATIVE),
    # lightning.pytorch.callbacks.ModelCheckpoint
    Accepted(
        r"exp_manager\.checkpoint_callback_params\.save_top_k", _whole(-1), "-1 (all), or 0 or more"
    ),
    Accepted(r"exp_manager\.checkpoint_callback_params\.mode", *_one_of("min", "max")),
    Accepted(r"model\.(\w+\.)*\w+_dropout", _from(0, 1), "a number from 0 to 1"),
    Accepted(r"model\.data\.num_workers", _whole(0), COUNT),
    Accepted(r"model\.seed", _whole(0, 2**32 - 1), "a whole number from 0 to 4294967295"),
    Accepted(r"(.*\.)?(web_)?port", _whole(1, 65535), "a whole number from 1 to 65535"),
)
