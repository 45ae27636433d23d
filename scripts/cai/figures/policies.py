"""The policies that figures compare: their names, and how far their training had come."""

import itertools
from collections.abc import Mapping, Sequence

from cai.core.errors import fail_if
from cai.evaluation.tables import label
from cai.figures.drawing import Metrics

HELPFUL_ONLY, START, FINAL, DPO_FINAL = "helpful_only", "sl_cai", "rl_cai", "dpo_cai"
DPO_STEP = "dpo_"  # begins the name of a snapshot of DPO
ROLLOUTS = "train_rollouts/rollout_size"  # NeMo-Aligner's, with steps counted from 0
PAIRS = "train/consumed_samples"  # of DPO, in all, with steps counted from 0


def policy_label(policy: str) -> str:
    """How a policy is called; a snapshot is known by its step."""
    if policy.isdecimal():
        return f"PPO step {policy}"
    return f"DPO step {_dpo_step(policy)}" if _dpo_step(policy) else label(policy)


def _dpo_step(policy: str) -> int:
    """The step of a snapshot of DPO; 0 of all other policies."""
    step = policy.removeprefix(DPO_STEP)
    return int(step) if step != policy and step.isdecimal() else 0


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


def dpo_sequences(policies: Sequence[str], metrics: Metrics) -> dict[str, int]:
    """The training sequences behind each policy on the way from SL-CAI to DPO-CAI: two a pair.

    Raises:
        UserError: if it is not in the metrics.
    """
    fail_if(PAIRS not in metrics, f"DPO's metrics hold no {PAIRS}")
    known = {step + 1: 2 * round(pairs) for step, pairs in metrics[PAIRS]}
    steps = {policy: step for policy in policies if (step := _dpo_step(policy))}
    missing = [step for step in steps.values() if step not in known]
    fail_if(missing, f"DPO's metrics hold no step {missing and missing[0]}")
    return {policy: known[step] for policy, step in steps.items()} | {
        DPO_FINAL: max(known.values())
    }


def on_the_way(consumed: Mapping[str, int]) -> list[str]:
    """The policies of PPO with training sequences, in the order of training."""
    return sorted((p for p in consumed if not _is_dpo(p)), key=consumed.__getitem__)


def on_the_way_of_dpo(consumed: Mapping[str, int]) -> list[str]:
    """The policies of DPO with training sequences, from SL-CAI on; none without DPO."""
    own = sorted(filter(_is_dpo, consumed), key=consumed.__getitem__)
    return [START, *own] if own else []


def _is_dpo(policy: str) -> bool:
    return policy == DPO_FINAL or _dpo_step(policy) > 0
