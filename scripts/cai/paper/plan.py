"""What the rules of the paper's figures need to know before anything runs."""

from collections.abc import Sequence

from cai import nemo
from cai.data.sources import Source
from cai.digests import canonical_json
from cai.preflight import rl_options
from cai.records import uniform
from cai.settings import Settings

STAGES = ("helpful_only", "sl_cai")
FINAL = "rl_cai"


def policies(settings: Settings) -> list[str]:
    """The policies of Fig. 2, 8 and 10, in the order of training; snapshots by their steps."""
    return [*STAGES, *map(str, settings.paper.snapshots.steps), FINAL]


def snapshot_actor(settings: Settings) -> list[str]:
    """PPO's actor as it runs for its snapshots: it also saves, and must validate, at their steps."""
    interval = settings.paper.snapshots.interval
    names = ("trainer.ppo.val_check_interval", "trainer.ppo.save_interval")
    return nemo.actor(settings, dict.fromkeys(names, interval))


def paper_reward_model(settings: Settings) -> list[str]:
    """The training of a reward model of harmlessness or of helpfulness alone."""
    return nemo.reward_model(settings, settings.paper.reward_model)


def harmless_options(settings: Settings) -> str:
    """The RL stage's data without helpfulness, as JSON: what is no comparison is not used."""
    alone = {"helpful_ratio": 0.0, "helpful_prompt_ratio": 0.0}
    return rl_options(settings, alone | {"min_train_prompts": 1, "min_test_prompts": 1})


def numbers(settings: Settings, available: int) -> list[int]:
    """The numbers of principles of Fig. 6 that the constitution has, with all of them at the end."""
    return sorted({n for n in settings.paper.revisions.principles if n < available} | {available})


def chains(settings: Settings, available: int) -> dict[int, list[str]]:
    """The chains of Fig. 6 by their number of principles; with all of them it is the main one."""
    draws = range(settings.paper.revisions.draws)
    named = {n: [f"principles-{n}-{draw}" for draw in draws] for n in numbers(settings, available)}
    return named | {available: ["critiqued"]}


def principles_of(chain: str, principles: Sequence[str], seed: int) -> list[str]:
    """The principles (JSON texts) that a chain draws from.

    Those of a number are the first in the order of a hash, so that of two numbers of one draw the
    larger has the smaller's, too.
    """
    if not chain.startswith("principles-"):
        return list(principles)
    _, number, draw = chain.split("-")
    order = sorted(principles, key=lambda text: uniform("principles", seed, draw, text))
    return order[: int(number)]


def ratings(settings: Settings) -> Source:
    """Where the rated transcripts of Fig. 10 are."""
    return settings.paper.harmfulness.ratings or settings.datasets.red_team


def helpfulness(settings: Settings) -> list[str]:
    """The judge's only principle in matches of helpfulness, as JSON."""
    question = settings.paper.elo.question
    return [canonical_json({"id": "helpfulness", "preference": question})]


def figure_options(settings: Settings, figure: str) -> str:
    """What a figure says of its settings, as JSON: the seed, and its section of the configuration."""
    section = getattr(settings.paper, figure).model_dump(mode="json")
    return canonical_json({"seed": settings.seed, figure: section})
