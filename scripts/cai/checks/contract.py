"""The contract with upstream: every override is of a key that NeMo's own configuration has.

The keys are those of NeMo 2.1.0 and NeMo-Aligner 0.7.0 (``envs/nemo-cpu/list_keys.py`` lists them).
A mistyped key in ``nemo.overrides`` is reported before anything starts, not by a job that has
waited for its GPUs.
"""

import functools
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cai.checks.overriding import accepted, reserved
from cai.checks.rule_kinds import RULES
from cai.core.project import ROOT
from cai.nemo import programs
from cai.nemo.composition import Problem, check, filled, nested
from cai.nemo.own_overrides import Program, allowed
from cai.settings.configuration import Overrides, Settings
from cai.settings.overrides import value

KEYS = ROOT / "envs/nemo-cpu/keys.json"
CONFIGURATIONS: dict[Program, str] = {
    "server": "megatron_gpt_inference",
    "reward_server": "inference_rm",
    "sft": "gpt_sft",
    "reward_model": "training_rm",
    "critic": "gpt_ppo_critic",
    "actor": "gpt_ppo_actor",
    "dpo": "gpt_dpo",
}
TIME_LIMIT = "++exp_manager.max_time_per_run=00:00:30:00"
DATA = "model.data.data_prefix={train: [1.jsonl], validation: [2.jsonl], test: [2.jsonl]}"
ADDED: dict[Program, list[str]] = {  # by the rules and by train.py, with other values
    "server": ["gpt_model_file=model.nemo"],
    "reward_server": ["rm_model_file=model.nemo"],
    "sft": [
        "model.restore_from_path=model.nemo",
        "model.data.train_ds.file_path=1.jsonl",
        "model.data.validation_ds.file_path=2.jsonl",
        TIME_LIMIT,
    ],
    "reward_model": ["pretrained_checkpoint.restore_from_path=model.nemo", DATA, TIME_LIMIT],
    "critic": ["pretrained_checkpoint.restore_from_path=model.nemo"],
    "actor": ["pretrained_checkpoint.restore_from_path=model.nemo", DATA, TIME_LIMIT],
    "dpo": ["pretrained_checkpoint.restore_from_path=model.nemo", DATA, TIME_LIMIT],
}


class _Use(NamedTuple):
    """One use of a program: how its command is made, and the sections of nemo.overrides in it."""

    program: Program
    command: Callable[[Settings], list[str]]
    sections: tuple[str, ...]


USES = (
    _Use("server", functools.partial(programs.server, model="chat"), ("server",)),
    _Use(
        "server",
        functools.partial(programs.server, model="instruct"),
        ("instruct_server", "server"),
    ),
    _Use("sft", programs.sft, ("sft",)),
    _Use("reward_model", programs.reward_model, ("reward_model",)),
    _Use("critic", programs.critic, ("critic",)),
    _Use("actor", programs.actor, ("actor",)),
    _Use("dpo", programs.dpo, ("dpo",)),
    _Use("reward_server", programs.reward_server, ("reward_server",)),
)


def commands(settings: Settings, asked: Collection[str] = ()) -> list[list[str]]:
    """Every command of NeMo that a run gives, with all its overrides; for ``check_nemo.py``.

    Paths are stand-ins, and words such as FREE_PORT are not filled in.

    Args:
        settings: of the run.
        asked: rules of last stages that the run makes, beside its ``policies``.
    """
    made = {*asked, *settings.policies}
    left = {rule for rule, kind in RULES.items() if kind.is_choice and rule not in made}
    kinds = [kind for rule, kind in RULES.items() if not left & {rule, kind.like}]
    run = {program for kind in kinds for program in kind.programs}
    return [_whole(use, settings) for use in _uses(settings) if use.program in run]


def _whole(use: _Use, settings: Settings) -> list[str]:
    return [*use.command(settings), *ADDED[use.program]]


def _uses(settings: Settings) -> list[_Use]:
    """The programs of a run; NeMo's server is left out if another one serves."""
    served = settings.server.kind == "nemo"
    return [use for use in USES if served or use.program != "server"]


def refused(program: Program, overrides: Sequence[str]) -> list[Problem]:
    """The overrides that upstream's configuration of a program would not take, and why."""
    return list(_refused(CONFIGURATIONS[program], tuple(overrides)))


@functools.lru_cache(maxsize=64)
def _refused(name: str, overrides: tuple[str, ...]) -> tuple[Problem, ...]:
    return tuple(check(nested(upstream()[name]), filled(overrides), f"{name}.yaml"))


def problems(settings: Settings) -> list[str]:
    """What is wrong with the overrides of a configuration, a line each.

    A line names ``nemo.overrides``, the program and the key.
    """
    unwritable = list(_unwritable(settings))
    if unwritable:
        return unwritable
    keys = list(_refused_keys(settings))
    told = [*keys, *(one for one in _refused_values(settings) if not _same(one, keys))]
    lines = [*reserved.problems(settings), *(f"{where}: {problem}" for where, problem in told)]
    return list(dict.fromkeys(lines))


def _refused_keys(settings: Settings) -> Iterator[tuple[str, Problem]]:
    """What Hydra and upstream's configurations do not take, and where it is."""
    for use in _uses(settings):
        _, _, *overrides = _whole(use, settings)
        for problem in refused(use.program, overrides):
            yield _origin(settings, use, problem), problem


def _refused_values(settings: Settings) -> Iterator[tuple[str, Problem]]:
    """What they take, and no program can work with; a reserved key is told of as such alone."""
    for use in _uses(settings):
        for section in use.sections:
            given: Overrides = getattr(settings.nemo.overrides, section)
            for problem in accepted.problems(allowed(settings, use.program, given)):
                yield f"nemo.overrides.{section}", problem


def _same(one: tuple[str, Problem], others: Sequence[tuple[str, Problem]]) -> bool:
    return any((one[0], one[1].key) == (where, problem.key) for where, problem in others)


@functools.cache
def upstream() -> Mapping[str, Mapping[str, Any]]:
    """``{configuration: {dotted key: default}}`` of NeMo 2.1.0 and NeMo-Aligner 0.7.0."""
    keys: dict[str, dict[str, Any]] = json.loads(KEYS.read_text("utf-8"))
    return keys


def _unwritable(settings: Settings) -> Iterator[str]:
    for section, overrides in settings.nemo.overrides:
        for key, item in overrides.items():
            try:
                value(item)
            except TypeError as error:
                yield f"nemo.overrides.{section}: {key}: {error}"
            if isinstance(item, float) and not math.isfinite(item):
                yield f"nemo.overrides.{section}: {key}: found {item}; accepted: a finite number"


def _origin(settings: Settings, use: _Use, problem: Problem) -> str:
    """The section of the configuration that has a key; the program, if the key is not a user's."""
    for section in use.sections:
        overrides: Overrides = getattr(settings.nemo.overrides, section)
        if problem.key.lstrip("+~") in {key.lstrip("+~") for key in overrides}:
            return f"nemo.overrides.{section}"
    return programs.PROGRAMS[use.program].rpartition("/")[2]
