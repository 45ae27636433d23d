"""The settings of the last stages that can take PPO's place."""

from typing import Literal

from pydantic import Field

from cai.core.fields import Section


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
