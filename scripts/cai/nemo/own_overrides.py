"""The overrides that the workflow itself gives NeMo's programs, and which of them are no user's.

Values are the tutorial's where it gives any; docs/corrections.md lists where they are corrected.
A key that is given here is reserved unless it is among those that ``nemo.overrides`` may replace.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from cai.models.templates import Template
from cai.settings.configuration import Overrides, Settings

Program = Literal["server", "sft", "reward_model", "critic", "actor", "dpo", "reward_server"]
STEPS = "STEPS"  # stands for the steps that a training takes
SCHEDULE: Overrides = {  # the learning rate falls over them: its length is Lightning's max_steps
    "trainer.max_steps": STEPS,
    "model.optim.sched.constant_steps": 0,
}
SIZES: Overrides = {"trainer.num_nodes": "NODES", "trainer.devices": "DEVICES"}
REPLACEABLE = {  # of those below, keys whose value may be a user's
    "exp_manager.create_wandb_logger",  # docs/cluster.md: loggers
    "model.data.seq_length",  # cai.checks.lengths holds this one and the next three to `lengths`
    "model.data.train_ds.max_seq_length",
    "model.encoder_seq_length",
    "remote_critic_rm.pad_to_length",
    "model.optim.sched.constant_steps",  # docs/corrections.md: the tutorial's schedule
    "trainer.max_steps",
    "model.precision",
    "model.seed",  # of one training alone
    "tensor_model_parallel_size",  # heads of keys and values that all of a job cannot share
}
CHECKPOINTS = "exp_manager.checkpoint_callback_params"
RELIED_ON = (  # keys and sections that the rules fill, or whose default a program of ours needs
    "gpt_model_file",
    "rm_model_file",
    "model.restore_from_path",
    "pretrained_checkpoint.restore_from_path",
    "model.data.data_prefix",
    "model.data.train_ds.file_path",
    "model.data.validation_ds.file_path",
    "exp_manager.max_time_per_run",
    "exp_manager.create_checkpoint_callback",
    "exp_manager.resume_ignore_no_checkpoint",  # else the first start, which has none, is an error
    "exp_manager.resume_from_checkpoint",
    *(f"{CHECKPOINTS}.{key}" for key in ("dirpath", "filename", "prefix", "postfix")),
    "inference.model_name",
    "model.data.chat_prompt_tokens",
    "remote_critic_rm.critic.name",
)
FROM_A_PROFILE = "the profile (resources nodes, and gres or processes)"
SAID_BY = {  # which setting of ours says what a key or a section is
    "trainer.devices": FROM_A_PROFILE,
    "trainer.num_nodes": FROM_A_PROFILE,
    "exp_manager.max_time_per_run": "the profile (resource runtime)",
    "model.data.chat_prompt_tokens": "models.base.template",
    "model.ppo.length_params.max_length": "lengths.answer",
    "model.ppo.sampling_params.end_strings": "models.base.template.stop",
    "model.dpo.preference_loss": "dpo.preference_loss",
    "model.dpo.ref_policy_kl_penalty": "dpo.beta",
}


def own(settings: Settings, name: Program) -> Overrides:
    """What the workflow gives a program, by key; files are named by the rules."""
    return {**SIZES, **OWN[name](settings)}


def allowed(settings: Settings, name: Program, site: Mapping[str, Any]) -> Overrides:
    """A user's overrides without those that would take the workflow's place.

    A dry run refuses these (:mod:`cai.checks.overriding.reserved`).
    """
    given = own(settings, name)
    return {key: value for key, value in site.items() if not reserved(given, key)}


def reserved(given: Overrides, key: str) -> str:
    """The key or section of the workflow's that an override takes, empty if it may have it.

    Args:
        given: what the workflow gives the program, see :func:`own`.
        key: of an override; one that begins with ``~`` deletes.
    """
    bare = key.lstrip("+~")
    kept = [*(each for each in given if each.lstrip("+") not in REPLACEABLE), *RELIED_ON]
    for each in kept:
        inside = f"{bare}.".startswith(f"{each}.")
        around = key.startswith("~") and each.startswith(f"{bare}.")
        if inside or around:
            return each
    return ""


def said_by(key: str) -> str:
    """Where a reserved value comes from, for a message."""
    fields = [field for start, field in SAID_BY.items() if f"{key}.".startswith(f"{start}.")]
    return f"it comes from {fields[0]}" if fields else "the workflow sets it"


def _server(settings: Settings) -> Overrides:
    return {
        "server": True,
        "port": "FREE_PORT",
        "web_server": False,
        "tensor_model_parallel_size": "RANKS",
        "pipeline_model_parallel_split_rank": 0,
    }


def _reward_server(settings: Settings) -> Overrides:
    return {"inference.port": "FREE_PORT"}


def _sft(settings: Settings) -> Overrides:
    length = settings.lengths.sft
    return {
        "model.seed": settings.seed,
        "model.encoder_seq_length": length,
        "model.data.train_ds.max_seq_length": length,
        "model.data.chat": True,
        # by default NeMo keeps its index beside the data and trusts an outdated one
        "model.data.train_ds.index_mapping_dir": "LOG_DIR/index",
        "model.data.validation_ds.index_mapping_dir": "LOG_DIR/index",
        **SCHEDULE,
        **_chat_tokens(settings.models.base.template),
        **_experiment("megatron_gpt_sft"),
    }


def _json_data(settings: Settings) -> Overrides:
    """Of the reward model and of the actor, which read texts of one JSON object a line."""
    length = settings.lengths.rl
    return {
        "model.seed": settings.seed,
        "model.encoder_seq_length": length,
        "model.data.seq_length": length,
        "model.data.data_impl": "json",
    }


def _reward_model(settings: Settings) -> Overrides:
    return {
        **_json_data(settings),
        **SCHEDULE,
        **_experiment("megatron_gpt"),
    }


def _critic(settings: Settings) -> Overrides:
    return {
        "trainer.ppo.port": "FREE_PORT",
        "trainer.ppo.combine_rm_and_critic_server": True,
        "model.seed": settings.seed,
        "model.encoder_seq_length": settings.lengths.rl,
        "exp_manager.explicit_log_dir": "LOG_DIR",
    }


def _actor(settings: Settings) -> Overrides:
    template = settings.models.base.template
    return {
        **_json_data(settings),
        "model.ppo.length_params.max_length": settings.lengths.answer,
        "model.ppo.sampling_params.end_strings": ["<|endoftext|>", *template.stop],
        "remote_critic_rm.pad_to_length": settings.lengths.rl,
        "remote_critic_rm.combine_rm_and_critic_server": True,
        "remote_critic_rm.critic.ip": "CRITIC_HOST",
        "remote_critic_rm.critic.port": "FREE_PORT",
        **_experiment("megatron_gpt_ppo_actor"),
    }


def _dpo(settings: Settings) -> Overrides:
    length = settings.lengths.rl
    return {
        "model.seed": settings.seed,
        "++model.encoder_seq_length": length,
        # else that of the checkpoint counts: gpt_dpo.yaml has this outside of the model's section
        "++model.precision": "${trainer.precision}",
        "model.data.seq_length": length,
        "model.data.data_impl": "jsonl",
        "model.dpo.preference_loss": settings.dpo.preference_loss,
        "model.dpo.ref_policy_kl_penalty": settings.dpo.beta,
        **SCHEDULE,
        **_experiment("megatron_gpt_dpo"),
    }


def _experiment(name: str) -> Overrides:
    """One run, one folder, and the ``.nemo`` at its end (off by default in gpt_sft.yaml)."""
    return {
        "exp_manager.explicit_log_dir": "LOG_DIR",
        "exp_manager.name": name,
        "exp_manager.create_wandb_logger": False,
        "exp_manager.resume_if_exists": True,
        f"{CHECKPOINTS}.save_nemo_on_train_end": True,
    }


def turn_starts(template: Template) -> tuple[str, str]:
    """The marks with which the system's turn and the others begin."""
    return template.system.split("System")[0], template.user.split("User")[0]


def _chat_tokens(template: Template) -> Overrides:
    """NeMo's names of the texts that begin and end a turn, see ``programs.check_template``."""
    system, turn = turn_starts(template)
    return {
        "model.data.chat_prompt_tokens.system_turn_start": system,
        "model.data.chat_prompt_tokens.turn_start": turn,
        "model.data.chat_prompt_tokens.label_start": "<extra_id_2>",
    }


OWN: dict[Program, Callable[[Settings], Overrides]] = {
    "server": _server,
    "reward_server": _reward_server,
    "sft": _sft,
    "reward_model": _reward_model,
    "critic": _critic,
    "actor": _actor,
    "dpo": _dpo,
}
