"""What the rules of the paper's figures need before anything runs."""

import json
from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

from cai.checks import contract
from cai.checks.lora import trains_adapters
from cai.checks.overriding import accepted, reserved
from cai.checks.preflight import rl_options
from cai.core.digests import canonical_json
from cai.core.errors import fail_if
from cai.files.records import uniform
from cai.nemo import programs
from cai.nemo.keys import LORA_SCHEME
from cai.nemo.values import Program, Values
from cai.settings.configuration import Overrides, Settings
from cai.settings.last_stages import Policy
from cai.settings.sources import Source


class Way(NamedTuple):
    """A training whose policies on the way are drawn.

    Attributes:
        program: that trains.
        loop: the part of ``trainer`` that has its steps.
        field: of ``paper.snapshots``.
    """

    program: Program
    loop: str
    field: str


WAYS: dict[Policy, Way] = {
    "rl_cai": Way("actor", "ppo", "steps"),
    "dpo_cai": Way("dpo", "dpo", "dpo_steps"),
}


def check(settings: Settings) -> None:
    """Check the section ``paper`` against the rest of the configuration, before anything runs.

    Raises:
        UserError: naming the field and what is accepted.
    """
    check_snapshots(settings)
    own = settings.paper.reward_model
    overrides = [*paper_reward_model(settings)[2:], *contract.ADDED["reward_model"]]
    kept = next(reserved.of(settings, "reward_model", own, "paper.reward_model"), "")
    fail_if(kept, f"configuration: {kept}")
    problems = contract.refused("reward_model", overrides) if own else []
    mine = [problem for problem in problems if problem.key in own] or [*accepted.problems(own)]
    fail_if(mine, f"configuration: paper.reward_model: {mine and mine[0]}")


def check_snapshots(settings: Settings) -> None:
    """Check what would only be found out after a training: whether it saves at each step.

    Raises:
        UserError: naming the field and what is accepted.
    """
    for policy, way in WAYS.items():
        if kept_steps(settings, policy):
            check_whole_checkpoints(settings, policy)
        key = f"trainer.{way.loop}.save_interval"
        saved = Values(settings, way.program).whole(key) or 1
        between = [step for step in kept_steps(settings, policy) if step % saved]
        fail_if(
            between,
            f"configuration: paper.snapshots.{way.field}: with paper.snapshots.during_run they "
            f"must be multiples of {key} ({saved}), found {between and between[0]}",
        )


def check_whole_checkpoints(settings: Settings, policy: Policy) -> None:
    """Check that a training's checkpoints are whole models, as its snapshots must be.

    Raises:
        UserError: it trains adapters alone, naming the override.
    """
    way = WAYS[policy]
    fail_if(
        trains_adapters(Values(settings, way.program)),
        f"configuration: nemo.overrides.{way.program}: {LORA_SCHEME}: found lora; accepted: none "
        f"with snapshots (paper.snapshots.{way.field}), whose checkpoints would be adapters alone",
    )


def steps(settings: Settings, policy: Policy = "rl_cai") -> list[int]:
    """The steps of the snapshots: those before a training's last, whose policy is the final one."""
    way = WAYS[policy]
    last = Values(settings, way.program).whole(f"trainer.{way.loop}.max_steps")
    given = getattr(settings.paper.snapshots, way.field)
    return [step for step in given if last is None or step < last]


def has_dpo(settings: Settings) -> bool:
    """Whether Fig. 2 and 8 have DPO beside PPO."""
    return "dpo_cai" in settings.policies or bool(steps(settings, "dpo_cai"))


def run_keeps_them(settings: Settings, policy: Policy = "rl_cai") -> bool:
    """Whether the policies are those of the run's own training, not of a second one."""
    return settings.paper.snapshots.during_run or not steps(settings, policy)


def kept_steps(settings: Settings, policy: Policy) -> list[int]:
    """The steps whose checkpoints the run itself keeps: none, or those of the snapshots."""
    return steps(settings, policy) if settings.paper.snapshots.during_run else []


def snapshot_actor(settings: Settings) -> list[str]:
    """PPO's actor as it runs for snapshots: it also saves, so must validate, at their steps."""
    return programs.actor(settings, _saving(settings, "rl_cai"))


def snapshot_dpo(settings: Settings) -> list[str]:
    """The same of DPO; what it learns does not depend on where it saves."""
    return programs.dpo(settings, _saving(settings, "dpo_cai"))


def _saving(settings: Settings, policy: Policy) -> Overrides:
    names = (
        f"trainer.{WAYS[policy].loop}.{key}" for key in ("val_check_interval", "save_interval")
    )
    at = steps(settings, policy)
    return dict.fromkeys(names, gcd(*at)) if at else {}


def paper_reward_model(settings: Settings) -> list[str]:
    """The training of a reward model of harmlessness or of helpfulness alone."""
    return programs.reward_model(settings, settings.paper.reward_model)


def harmless_options(settings: Settings) -> str:
    """The RL stage's data without helpfulness, as JSON: what is no comparison is not used."""
    alone = {"helpful_ratio": 0.0, "helpful_prompt_ratio": 0.0}
    return rl_options(settings, alone | {"min_train_prompts": 1, "min_test_prompts": 1})


def numbers(settings: Settings, available: int) -> list[int]:
    """The numbers of principles of Fig. 6: those that the constitution has, and all of them."""
    return sorted({n for n in settings.paper.revisions.principles if n < available} | {available})


def chains(settings: Settings, available: int) -> dict[int, list[str]]:
    """The chains of Fig. 6 by their number of principles; with all of them it is the main one."""
    draws = range(settings.paper.revisions.draws)
    named = {n: [f"principles-{n}-{draw}" for draw in draws] for n in numbers(settings, available)}
    return named | {available: ["critiqued"]}


def principles_of(chain: str, principles: Sequence[str], seed: int) -> list[str]:
    """The principles (JSON texts) that a chain draws from.

    Those of a number are the first in the order of a hash of their ids, so that of two numbers of
    one draw the larger has the smaller's, too.
    """
    if not chain.startswith("principles-"):
        return list(principles)
    _, number, draw = chain.split("-")
    ids = {text: json.loads(text)["id"] for text in principles}
    order = sorted(principles, key=lambda text: uniform("principles", seed, draw, ids[text]))
    return order[: int(number)]


def ratings(settings: Settings) -> Source:
    """Where the rated transcripts of Fig. 10 are."""
    return settings.paper.harmfulness.ratings or settings.datasets.red_team


def harmfulness_temperatures(settings: Settings) -> list[str]:
    """The temperatures at which the answers of Fig. 10 are sampled: at 1, and one greedy."""
    return [*["1"] * settings.paper.harmfulness.samples, "0"]


def helpfulness(settings: Settings) -> list[str]:
    """The judge's only principle in matches of helpfulness, as JSON."""
    question = settings.paper.elo.question
    return [canonical_json({"id": "helpfulness", "preference": question})]


def figure_options(settings: Settings, section: str) -> str:
    """What a figure is given of the run, as JSON: the seed, the section of its settings, PPO's."""
    paper = settings.paper
    return canonical_json(
        {
            "seed": settings.seed,
            section: getattr(paper, section).model_dump(mode="json"),
            "snapshots": steps(settings),
            "during_run": run_keeps_them(settings),
        }
    )
