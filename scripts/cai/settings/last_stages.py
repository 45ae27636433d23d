"""The last stages: PPO, and what can take its place; all go on from SL-CAI."""

from typing import Literal, get_args

from pydantic import Field

from cai.core.fields import Section

Policy = Literal["rl_cai", "dpo_cai", "best_of_n"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
START = "sl_cai"  # the model that all of them start from
REWARDED = {"rl_cai", "best_of_n"}  # those that learn from a reward model


class Dpo(Section):
    """Direct preference optimisation on the comparisons that the reward model gets.

    Learning rate and batches are in ``nemo.overrides.dpo``.
    """

    preference_loss: Literal["dpo", "ipo", "rpo_sq", "rpo_bwd_kl", "rpo_fwd_kl"] = Field(
        "dpo",
        description="dpo and ipo learn from drawn orders; rpo_* from the judge's probability: "
        "rpo_bwd_kl is the loss of DPO with soft labels.",
    )
    beta: float = Field(
        0.1,
        gt=0,
        description="How strongly the policy is held to SL-CAI (model.dpo.ref_policy_kl_penalty).",
    )
    ties: Literal["keep", "drop"] = Field(
        "keep", description="Comparisons in which the judge prefers neither answer."
    )
    certainty: float = Field(
        0.99,
        gt=0.5,
        lt=1,
        description="For rpo_*: the highest probability of an answer that counts; what people "
        "have chosen has it.",
    )
