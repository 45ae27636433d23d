"""The policies that figures compare: their names, and how far RL had come."""

import itertools
from collections.abc import Mapping, Sequence

from cai.core.errors import fail_if
from cai.evaluation.tables import label
from cai.figures.drawing import Metrics

HELPFUL_ONLY, START, FINAL = "helpful_only", "sl_cai", "rl_cai"
ROLLOUTS = "train_rollouts/rollout_size"  # NeMo-Aligner's, with steps counted from 0


def policy_label(policy: str) -> str:
    """How a policy is called; a snapshot is known by its step."""
    return f"PPO step {policy}" if policy.isdecimal() else label(policy)


def sequences(policies: Sequence[str], metrics: Metrics) -> dict[str, int]:
    """The RL training sequences behind each policy on the way from SL-CAI to RL-CAI.

    Helpful-only is not on that way and has none. What the critic alone was warmed up with does not
    count: NeMo-Aligner rolls that out again for the policy.

    Raises:
        UserError: if it is not in the metrics.
    """
    fail_if(ROLLOUTS not in metrics, f"PPO's metrics hold no {ROLLOUTS}")
    sizes = dict(metrics[ROLLOUTS])
    behind = itertools.accumulate(round(sizes[step]) for step in sorted(sizes))
    known = {step + 1: total for step, total in zip(sorted(sizes), behind, strict=True)}
    missing = [p for p in policies if p.isdecimal() and int(p) not in known]
    fail_if(missing, f"PPO's metrics hold no step {missing and missing[0]}")
    found = {p: known[int(p)] for p in policies if p.isdecimal()}
    return {START: 0, **found, FINAL: known[max(known)]}


def on_the_way(consumed: Mapping[str, int]) -> list[str]:
    """The policies with RL sequences, in the order of training."""
    return sorted(consumed, key=consumed.__getitem__)
