"""The values that NeMo's programs run with: what their command lines say, else upstream's defaults.

Defaults are those of the YAML files of NeMo 2.1.0 and NeMo-Aligner 0.7.0, kept in
``envs/nemo-cpu/keys.json``. What neither gives, a program takes from the checkpoint that it starts
from, and so from the program that wrote it.
"""

import copy
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import yaml

from cai.core.project import ROOT
from cai.nemo import programs
from cai.running.launch import Launch
from cai.running.launcher import Launcher
from cai.settings.configuration import Settings
from cai.settings.overrides import typed

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # thousands of values are read in a dry run
KEYS = ROOT / "envs/nemo-cpu/keys.json"
REFERENCE = re.compile(r"\$\{(?P<up>\.*)(?P<key>[\w.]+)\}")
Program = Literal[
    "sft", "reward_model", "critic", "actor", "dpo", "server", "instruct_server", "reward_server"
]
COMMANDS: dict[Program, Callable[[Settings], list[str]]] = {
    "sft": programs.sft,
    "reward_model": programs.reward_model,
    "critic": programs.critic,
    "actor": programs.actor,
    "dpo": programs.dpo,
    "server": lambda settings: programs.server(settings, "chat"),
    "instruct_server": lambda settings: programs.server(settings, "instruct"),
    "reward_server": programs.reward_server,
}
UPSTREAM: dict[Program, str] = {
    "sft": "gpt_sft",
    "reward_model": "training_rm",
    "critic": "gpt_ppo_critic",
    "actor": "gpt_ppo_actor",
    "dpo": "gpt_dpo",
    "server": "megatron_gpt_inference",
    "instruct_server": "megatron_gpt_inference",
    "reward_server": "inference_rm",
}
CHECKPOINT_OF: dict[Program, Program] = {  # which program wrote what a program starts from
    "reward_model": "sft",
    "actor": "sft",
    "dpo": "sft",
    "critic": "reward_model",
    "reward_server": "reward_model",
}


class Values:
    """The values of one program, by their dotted keys.

    Args:
        settings: of the run.
        program: which of NeMo's programs.
        launch: fills in the words NODES, DEVICES and RANKS; without it they stay.
    """

    def __init__(self, settings: Settings, program: Program, launch: Launch | None = None) -> None:
        arguments = COMMANDS[program](settings)[2:]
        self._read(program, Launcher(launch).sized(arguments) if launch else arguments)
        before = CHECKPOINT_OF.get(program)
        self._checkpoint = Values(settings, before) if before else None

    @classmethod
    def of(cls, program: Program, overrides: Sequence[str]) -> "Values":
        """Those of a command line; what a checkpoint would give is unknown."""
        values = cls.__new__(cls)
        values._read(program, overrides)
        values._checkpoint = None
        return values

    def _read(self, program: Program, words: Sequence[str]) -> None:
        pairs = [word.partition("=") for word in words]
        self.given = {key.lstrip("+"): _read(text) for key, equals, text in pairs if equals}
        deleted = {key[1:] for key, _, _ in pairs if key.startswith("~")}
        defaults = _defaults()[UPSTREAM[program]]
        self._defaults = {key: value for key, value in defaults.items() if key not in deleted}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a dotted key; ``default`` if nothing gives one."""
        if key in self.given:
            return self.given[key]
        if key in self._defaults:
            return self._resolved(key)
        if self._checkpoint and key.startswith("model."):
            return self._checkpoint.get(key, default)
        return default

    def settable(self, key: str) -> str:
        """How an override names a key: one that is not upstream's has to be added."""
        return key if key in self._defaults else f"++{key}"

    def with_value(self, key: str, value: Any) -> "Values":
        """These, but for one value."""
        changed = copy.copy(self)
        changed.given = self.given | {key: value}
        return changed

    def whole(self, key: str, default: int | None = None) -> int | None:
        """The value of a key if it is a whole number above 0, else None."""
        value = self.get(key, default)
        accepted = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return value if accepted else None

    def _resolved(self, key: str) -> Any:
        """A default in which one reference to another key is followed: ``${a.b}`` or ``${.b}``."""
        value = self._defaults[key]
        match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if not match:
            return value
        above = key.split(".")[: -len(match["up"])] if match["up"] else []
        return self.get(".".join([*above, match["key"]]))


@cache
def _defaults() -> dict[str, dict[str, Any]]:
    defaults: dict[str, dict[str, Any]] = json.loads(KEYS.read_text("utf-8"))
    return defaults


def _read(text: str) -> Any:
    """A value of a command line; Hydra's grammar is near enough to YAML's for numbers and lists."""
    try:
        return typed(yaml.load(text, Loader=LOADER))
    except (yaml.YAMLError, UnicodeError):
        return text
