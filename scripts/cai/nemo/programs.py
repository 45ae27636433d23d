"""Command lines of NeMo's and NeMo-Aligner's programs, as lists of arguments.

Values are the tutorial's where it gives any ("Constitutional AI: Harmlessness from AI Feedback",
NeMo-Aligner documentation); docs/corrections.md lists where they are corrected. What depends on the
size of the model and of the machine is in the configuration (``nemo.overrides``) and comes last, so
that it wins. Paths of data and models are added by the rules. FREE_PORT, LOG_DIR, CRITIC_HOST,
STEPS and, by the launcher, NODES, DEVICES and RANKS are filled in when a program starts: a job's
sizes are the resources that its profile gives it, and its steps follow from its data
(:mod:`cai.training.schedule`).
"""

from collections.abc import Mapping
from typing import Any, Literal

from cai.core.errors import fail_if
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.settings.configuration import Overrides, Settings
from cai.settings.overrides import overrides

PROGRAMS = {
    "server": "examples/nlp/language_modeling/megatron_gpt_eval.py",
    "sft": "examples/nlp/gpt/train_gpt_sft.py",
    "reward_model": "examples/nlp/gpt/train_reward_model.py",
    "critic": "examples/nlp/gpt/serve_ppo_critic.py",
    "actor": "examples/nlp/gpt/train_gpt_ppo_actor.py",
    "dpo": "examples/nlp/gpt/train_gpt_dpo.py",
    "reward_server": "examples/nlp/gpt/serve_reward_model.py",
}
SHOWN = 5  # marks that an error names
STEPS = "STEPS"  # stands for the steps that a training takes
SCHEDULE: Overrides = {  # the learning rate falls over them: its length is Lightning's max_steps
    "trainer.max_steps": STEPS,
    "model.optim.sched.constant_steps": 0,
}
Program = Literal["server", "sft", "reward_model", "critic", "actor", "dpo", "reward_server"]


def program(settings: Settings, name: Program) -> list[str]:
    """The Python and the path of one of NeMo's programs."""
    root = settings.nemo.root if name == "server" else settings.nemo.aligner_root
    return [settings.nemo.python, f"{root}/{PROGRAMS[name]}"]


def server(settings: Settings, model: Literal["instruct", "chat"]) -> list[str]:
    """The generation server; ``gpt_model_file`` is left to the caller."""
    own: Overrides = {
        "server": True,
        "port": "FREE_PORT",
        "web_server": False,
        "tensor_model_parallel_size": "RANKS",
        "pipeline_model_parallel_split_rank": 0,
    }
    extra = settings.nemo.overrides.instruct_server if model == "instruct" else {}
    return _command(settings, "server", own, settings.nemo.overrides.server | extra)


def reward_server(settings: Settings) -> list[str]:
    """The server that scores texts with the reward model; ``rm_model_file`` is left out."""
    own: Overrides = {"inference.port": "FREE_PORT"}
    return _command(settings, "reward_server", own, settings.nemo.overrides.reward_server)


def sft(settings: Settings) -> list[str]:
    """Supervised fine-tuning (the tutorial's step 3)."""
    length = settings.lengths.sft
    own: Overrides = {
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
    return _command(settings, "sft", own, settings.nemo.overrides.sft)


def reward_model(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """Reward model training (step 5); ``extra`` overrides win over all others."""
    length = settings.lengths.rl
    own: Overrides = {
        "model.seed": settings.seed,
        "model.encoder_seq_length": length,
        "model.data.seq_length": length,
        "model.data.data_impl": "json",
        **SCHEDULE,
        **_experiment("megatron_gpt"),
    }
    site = settings.nemo.overrides.reward_model | (extra or {})
    return _command(settings, "reward_model", own, site)


def critic(settings: Settings) -> list[str]:
    """The server of the reward model and the critic in PPO (step 6)."""
    own: Overrides = {
        "trainer.ppo.port": "FREE_PORT",
        "trainer.ppo.combine_rm_and_critic_server": True,
        "model.seed": settings.seed,
        "model.encoder_seq_length": settings.lengths.rl,
        "exp_manager.explicit_log_dir": "LOG_DIR",
    }
    return _command(settings, "critic", own, settings.nemo.overrides.critic)


def actor(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """The policy in PPO (step 6); ``extra`` overrides win over all others."""
    length = settings.lengths.rl
    template = settings.models.base.template
    own: Overrides = {
        "model.seed": settings.seed,
        "model.encoder_seq_length": length,
        "model.data.seq_length": length,
        "model.data.data_impl": "json",
        "model.ppo.length_params.max_length": settings.lengths.answer,
        "model.ppo.sampling_params.end_strings": ["<|endoftext|>", *template.stop],
        "remote_critic_rm.pad_to_length": length,
        "remote_critic_rm.combine_rm_and_critic_server": True,
        "remote_critic_rm.critic.ip": "CRITIC_HOST",
        "remote_critic_rm.critic.port": "FREE_PORT",
        **_experiment("megatron_gpt_ppo_actor"),
    }
    return _command(settings, "actor", own, settings.nemo.overrides.actor | (extra or {}))


def dpo(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """Direct preference optimisation of the policy, beside a copy of itself as the reference.

    ``extra`` overrides win over all others.
    """
    length = settings.lengths.rl
    own: Overrides = {
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
    return _command(settings, "dpo", own, settings.nemo.overrides.dpo | (extra or {}))


def naming(places: Mapping[str, Any], files: Mapping[str, str]) -> list[str]:
    """Overrides that name files, in Hydra's grammar, whatever is in a path.

    Args:
        places: for each key of NeMo's the name of an input, or names in lists and mappings.
        files: the inputs' paths by name.

    >>> naming({"data": {"train": ["x"]}, "model": "m"}, {"x": "a b.jsonl", "m": "m.nemo"})
    ["data={train:['a b.jsonl']}", 'model=m.nemo']
    """

    def named(place: Any) -> Any:
        match place:
            case Mapping():
                return {key: named(item) for key, item in place.items()}
            case list():
                return [named(item) for item in place]
        return files[place]

    return overrides({key: named(place) for key, place in places.items()})


def _command(settings: Settings, name: Program, own: Overrides, site: Overrides) -> list[str]:
    sizes: Overrides = {"trainer.num_nodes": "NODES", "trainer.devices": "DEVICES"}
    return [*program(settings, name), *overrides({**sizes, **own, **site})]


def _experiment(name: str) -> Overrides:
    """One run, one folder, and the ``.nemo`` at its end (off by default in gpt_sft.yaml)."""
    return {
        "exp_manager.explicit_log_dir": "LOG_DIR",
        "exp_manager.name": name,
        "exp_manager.create_wandb_logger": False,
        "exp_manager.resume_if_exists": True,
        "exp_manager.checkpoint_callback_params.save_nemo_on_train_end": True,
    }


def check_template(template: Template) -> None:
    """Check that NeMo's chat datasets render what this template renders.

    They write ``<system_turn_start>System\\n...\\n<turn_start>User\\n...`` without a BOS token.
    Source: ``_get_header_conversation_type_mask_role`` of NeMo 2.1.0.

    Raises:
        UserError: naming the field of the configuration and what is accepted.
    """
    system, turn = _turn_starts(template)
    accepted = {
        "system": f"{system}System\n{{content}}\n",
        "user": f"{turn}User\n{{content}}\n",
        "assistant": f"{turn}Assistant\n{{content}}\n",
        "between": "",
        "close": turn,
        "add_bos": False,
    }
    for field, value in accepted.items():
        found = getattr(template, field)
        fail_if(
            found != value,
            f"models.base.template.{field}: NeMo's SFT trains on {value!r}, found {found!r}",
        )


def check_tokenizer(template: Template, tokenizer: Tokenizer, where: str) -> None:
    """Check that NeMo trains on what a template renders, with a tokenizer of Hugging Face's.

    A byte-level BPE cuts a text in another way where it goes on: NeMo's chat datasets need marks
    that are tokens of their own, or they stop where the header's tokens are not those with which
    the dialogue begins. Source: ``preprocess`` of gpt_sft_chat_dataset in NeMo 2.1.0.

    Args:
        template: of the base model, see :func:`check_template`.
        tokenizer: the base model's.
        where: the model's name in errors.

    Raises:
        UserError: naming the field of the configuration and what is accepted.
    """
    if not tokenizer.is_huggingface:
        return
    for mark in _turn_starts(template):
        fail_if(
            mark not in tokenizer.marks,
            f"models.base.template: {where}: the mark {mark!r} is not one token of its tokenizer; "
            f"accepted: one that is, such as {', '.join(map(repr, tokenizer.marks[:SHOWN]))}",
        )


def _turn_starts(template: Template) -> tuple[str, str]:
    return template.system.split("System")[0], template.user.split("User")[0]


def _chat_tokens(template: Template) -> Overrides:
    """NeMo's names of the texts that begin and end a turn, see :func:`check_template`."""
    system, turn = _turn_starts(template)
    return {
        "model.data.chat_prompt_tokens.system_turn_start": system,
        "model.data.chat_prompt_tokens.turn_start": turn,
        "model.data.chat_prompt_tokens.label_start": "<extra_id_2>",
    }
