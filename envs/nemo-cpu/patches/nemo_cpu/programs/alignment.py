"""The life of a NeMo-Aligner program: configure, load, connect, build, train or serve."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nemo.utils.exp_manager import exp_manager
from nemo_aligner.utils.distributed import Timer
from nemo_aligner.utils.text_generation_utils import tokenize_batch
from nemo_aligner.utils.train_script_utils import (
    CustomLoggerWrapper,
    add_custom_checkpoint_callback,
    extract_optimizer_scheduler_from_ptl_model,
    init_distributed,
    init_using_ptl,
    resolve_and_create_trainer,
    retrieve_custom_trainer_state_dict,
)
from nemo_aligner.utils.utils import load_and_override_model_config, load_from_nemo
from omegaconf import DictConfig, OmegaConf


class Alignment:
    """One program's trainer, logger and model. The methods are called in the order they stand in.

    `section` is the part of `cfg.trainer` that belongs to the algorithm (sft, rm or ppo),
    `checkpoint` the `.nemo` file whose model is trained. `cfg.model` becomes the checkpoint's
    configuration with the program's on top of it.
    """

    def __init__(self, cfg: DictConfig, section: str, checkpoint: str) -> None:
        cfg.model = load_and_override_model_config(checkpoint, cfg.model)
        self.cfg = cfg
        self.settings = cfg.trainer[section]
        self.checkpoint = checkpoint
        self.trainer = resolve_and_create_trainer(cfg, section)
        exp_manager(self.trainer, cfg.exp_manager)
        self.logger = CustomLoggerWrapper(self.trainer.loggers)
        self.model = None
        self.state = None

    def load(self, model_class: type, **options: Any) -> Any:
        """Restores the model from the checkpoint, every weight of which must fit."""
        self.model = load_from_nemo(
            model_class,
            self.cfg.model,
            self.trainer,
            strict=True,
            restore_path=self.checkpoint,
            **options,
        )
        return self.model

    def connect(self) -> None:
        """Makes the process group, and reads the position of the run that is resumed, if any."""
        self.state = retrieve_custom_trainer_state_dict(self.trainer)
        use_te = self.cfg.model.get("transformer_engine", False)
        init_distributed(self.trainer, self.model, use_te)

    @property
    def consumed_samples(self) -> int:
        """How many samples the run that is resumed had trained on."""
        return self.state["consumed_samples"] if self.state else 0

    def build(self, loader: Any = None, dataset: Any = None) -> dict[str, Any]:
        """Makes optimizer, scheduler and checkpoint callback, restoring those of a resumed run.

        The loader only serves to count the steps of the learning rate's schedule. Returns the
        arguments that every trainer of NeMo-Aligner takes.
        """
        init_using_ptl(self.trainer, self.model, loader, dataset)
        optimizer, scheduler = extract_optimizer_scheduler_from_ptl_model(self.model)
        self.logger.log_hyperparams(OmegaConf.to_container(self.cfg))
        return {
            "cfg": self.settings,
            "model": self.model,
            "optimizer": optimizer,
            "scheduler": scheduler,
            "logger": self.logger,
            "ckpt_callback": add_custom_checkpoint_callback(self.trainer, self.model),
        }

    def timer(self) -> Timer:
        """Ends the run after `exp_manager.max_time_per_run`, if that is set."""
        return Timer(self.cfg.exp_manager.get("max_time_per_run"))

    def resume(self, algorithm: Any) -> Any:
        """Puts the algorithm where the resumed run stopped, and returns it."""
        if self.state is not None:
            algorithm.load_state_dict(self.state)
        return algorithm


def tokenizer_of(model: Any) -> partial:
    """The function with which a server turns sentences into tokens, [sentences, length]."""
    return partial(
        tokenize_batch,
        tokenizer=model.tokenizer,
        max_len=model.cfg.encoder_seq_length,
        add_BOS=False,
        add_EOS=False,
    )


def datasets(build: Callable[..., Any], model: Any, cfg: DictConfig, number: int) -> tuple:
    """The data of `model.data.data_prefix`, for training and for validation.

    `build` is the function of `nemo_aligner.data.nlp.builders` for data of the program's kind. A
    `number` below zero stands for all records, of -N for as many as fill batches of N.
    """
    train, validation, _ = build(
        cfg=cfg.model,
        data_prefix=cfg.model.data.data_prefix,
        data_impl=cfg.model.data.data_impl,
        splits_string=cfg.model.data.splits_string,
        train_valid_test_num_samples=[number] * 3,
        seq_length=cfg.model.data.seq_length,
        seed=cfg.model.seed,
        tokenizer=model.tokenizer,
    )
    return train, validation


def global_batches(cfg: DictConfig, dataset: Any, consumed_samples: int = 0, **options: Any) -> Any:
    """Loads a dataset in the model's global batches; `options` are those of `build_dataloader`."""
    from nemo_aligner.data.nlp.builders import build_dataloader  # servers do without

    return build_dataloader(
        cfg=cfg,
        dataset=dataset,
        consumed_samples=consumed_samples,
        mbs=cfg.model.micro_batch_size,
        gbs=cfg.model.global_batch_size,
        load_gbs=True,
        **options,
    )
