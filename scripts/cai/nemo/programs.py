"""Command lines of NeMo's and NeMo-Aligner's programs, as lists of arguments.

The programs are those of NVIDIA's tutorial ("Constitutional AI: Harmlessness from AI Feedback",
NeMo-Aligner documentation). What the workflow itself sets is in :mod:`cai.nemo.own_overrides`; what
depends on the size of the model and of the machine is in the configuration (``nemo.overrides``).
Paths of data and models are added by the rules. FREE_PORT, LOG_DIR, CRITIC_HOST,
STEPS and, by the launcher, NODES, DEVICES and RANKS are filled in when a program starts: a job's
sizes are the resources that its profile gives it, and its steps follow from its data
(:mod:`cai.training.schedule`).
"""

from collections.abc import Mapping
from typing import Any, Literal

from cai.core.errors import fail_if
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.nemo.own_overrides import Program, allowed, own, turn_starts
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


def program(settings: Settings, name: Program) -> list[str]:
    """The Python and the path of one of NeMo's programs."""
    root = settings.nemo.root if name == "server" else settings.nemo.aligner_root
    return [settings.nemo.python, f"{root}/{PROGRAMS[name]}"]


def server(settings: Settings, model: Literal["instruct", "chat"]) -> list[str]:
    """The generation server; ``gpt_model_file`` is left to the caller."""
    extra = settings.nemo.overrides.instruct_server if model == "instruct" else {}
    return _command(settings, "server", settings.nemo.overrides.server | extra)


def reward_server(settings: Settings) -> list[str]:
    """The server that scores texts with the reward model; ``rm_model_file`` is left out."""
    return _command(settings, "reward_server", settings.nemo.overrides.reward_server)


def sft(settings: Settings) -> list[str]:
    """Supervised fine-tuning (the tutorial's step 3)."""
    return _command(settings, "sft", settings.nemo.overrides.sft)


def reward_model(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """Reward model training (step 5); ``extra`` overrides win over all others."""
    site = settings.nemo.overrides.reward_model | (extra or {})
    return _command(settings, "reward_model", site)


def critic(settings: Settings) -> list[str]:
    """The server of the reward model and the critic in PPO (step 6)."""
    return _command(settings, "critic", settings.nemo.overrides.critic)


def actor(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """The policy in PPO (step 6); ``extra`` overrides win over all others."""
    return _command(settings, "actor", settings.nemo.overrides.actor | (extra or {}))


def dpo(settings: Settings, extra: Overrides | None = None) -> list[str]:
    """Direct preference optimisation of the policy, beside a copy of itself as the reference.

    ``extra`` overrides win over all others.
    """
    return _command(settings, "dpo", settings.nemo.overrides.dpo | (extra or {}))


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


def _command(settings: Settings, name: Program, site: Overrides) -> list[str]:
    given = {**own(settings, name), **allowed(settings, name, site)}
    return [*program(settings, name), *overrides(given)]


def check_template(template: Template) -> None:
    """Check that NeMo's chat datasets render what this template renders.

    They write ``<system_turn_start>System\\n...\\n<turn_start>User\\n...`` without a BOS token.
    Source: ``_get_header_conversation_type_mask_role`` of NeMo 2.1.0.

    Raises:
        UserError: naming the field of the configuration and what is accepted.
    """
    system, turn = turn_starts(template)
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
    for mark in turn_starts(template):
        fail_if(
            mark not in tokenizer.marks,
            f"models.base.template: {where}: the mark {mark!r} is not one token of its tokenizer; "
            f"accepted: one that is, such as {', '.join(map(repr, tokenizer.marks[:SHOWN]))}",
        )
