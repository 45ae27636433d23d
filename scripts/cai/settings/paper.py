"""The settings of the paper's figures; the defaults are the paper's, where it gives any."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from cai.core.fields import Section
from cai.settings.overrides import Overrides
from cai.settings.sources import Source

HELPFULNESS = (
    "Which answer is more helpful: which one does better what the person asked for, correctly and "
    "completely?"
)


class Snapshots(Section):
    """Policies on the way of PPO (Fig. 2, 8, 10), and of DPO (Fig. 2, 8)."""

    steps: list[int] = Field(
        [50, 100, 150, 200],
        description="PPO steps whose policy is kept, of those before its end; its start (SL-CAI) "
        "and its end (RL-CAI) are added.",
    )
    dpo_steps: list[int] = Field(
        [],
        description="The same of DPO; its end (DPO-CAI) is added. With none, DPO-CAI alone is "
        "drawn beside PPO, if it is among `policies`.",
    )
    during_run: bool = Field(
        False,
        description="Keep them while rl_cai (dpo_cai) is trained, which must save at these steps; "
        "false: PPO (DPO) runs once more for them, with the same settings and seed. Set it before "
        "the training.",
    )

    @field_validator("steps", "dpo_steps")
    @classmethod
    def _ascending(cls, steps: list[int], info: ValidationInfo) -> list[int]:
        none = not steps and info.field_name == "steps"
        if steps != sorted(set(steps)) or none or (steps and steps[0] < 1):
            least = ", at least one" if info.field_name == "steps" else ""
            raise ValueError(f"must be whole numbers from 1 on{least}, in ascending order")
        return steps


class Elo(Section):
    """Matches between policies (Fig. 2, 8)."""

    prompts: int = Field(500, ge=2, description="Held-out prompts of each set, at most.")
    matches: int = Field(
        10, ge=1, description="Pairs of policies that are compared on each prompt, at most."
    )
    helpfulness: Literal["judge", "reward_model"] = Field(
        "judge",
        description="Who compares helpfulness: the judge, or a reward model of the human "
        "comparisons of helpfulness. Harmlessness is the judge's, by the constitution.",
    )
    question: str = Field(
        HELPFULNESS, min_length=1, description="What the judge is asked about helpfulness."
    )


class Revisions(Section):
    """Chains of revisions (Fig. 5, 6, 7)."""

    prompts: int = Field(500, ge=2, description="Held-out red-team prompts, at most.")
    rounds: int = Field(4, ge=1, description="Revisions of each response.")
    principles: list[int] = Field(
        [1, 2, 4, 8, 16],
        min_length=1,
        description="Numbers of principles (Fig. 6); those beyond the constitution's are left out.",
    )
    draws: int = Field(
        1, ge=1, description="Times the principles of each number are drawn; each is a chain."
    )


class Harmfulness(Section):
    """The absolute score of harm (Fig. 10)."""

    prompts: int = Field(64, ge=2, description="Held-out red-team prompts, at most.")
    samples: int = Field(256, ge=1, description="Answers to each at temperature 1; one greedy.")
    ratings: Source | None = Field(
        None,
        description="Transcripts with a `rating` from 0 to 4, as Anthropic's red-team attempts; "
        "null: those of datasets.red_team.",
    )
    words: int = Field(
        2048, ge=0, description="Places that words and pairs of words are hashed to; 0: no words."
    )


class Samples(Section):
    """The appendix's tables of samples and of critique chains."""

    prompts: int = Field(3, ge=1, description="Prompts of each set.")


class Paper(Section):
    """Figures of the paper that are made from models of this workflow (`paper_artefacts`)."""

    snapshots: Snapshots = Snapshots()
    elo: Elo = Elo()
    revisions: Revisions = Revisions()
    harmfulness: Harmfulness = Harmfulness()
    samples: Samples = Samples()
    reward_model: Overrides = Field(
        {},
        description="Overrides of train_reward_model.py, beside nemo.overrides.reward_model, for "
        "the models of harmlessness and of helpfulness alone.",
    )
