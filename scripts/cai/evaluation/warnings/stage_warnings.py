"""Warnings about a stage: collapse, reward hacking and leakage, as data.

Each check has its numbers, whether or not it is a warning, so that a reader sees what was checked.
A warning says what may be wrong and what to do; it never stops a run. Checks read texts and what is
measured anyway: none asks a model.

Sources of the signs: repetition and lost diversity, Holtzman et al. 2020 (arXiv 1904.09751) and Li
et al. 2016 (distinct n-grams, arXiv 1510.03055); boilerplate, Bai et al. 2022, section 4.3; a
reward that goes with length, Singhal et al. 2023 (arXiv 2310.03716).
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy

from cai.evaluation.accuracy import SIGNIFICANT
from cai.evaluation.tables import label
from cai.evaluation.warnings.result_warnings import WEIGHTS, Weight
from cai.files.records import Record
from cai.settings.evaluations import WarningKind
from cai.statistics import intervals
from cai.statistics.diversity import distinct, is_looping

PHRASE = 5  # words
SAMPLE = 1000  # texts of which diversity and phrases are counted, the same number on both sides
HALVES = 60  # half samples of them
LIMITS = {
    "looping": 0.02,  # share of answers from which on
    "length": 2.0,  # factor of the mean length, up or down
    "diversity": 0.5,  # factor of the distinct word pairs, down
    "phrase": 0.3,  # share of answers that hold one phrase
    "length_reward": 0.5,  # rank correlation of reward and length
    "leakage": 0.01,  # share of held-out prompts
}
Texts = Mapping[str, str]  # by id


@dataclass(frozen=True)
class Check:
    """Something that was checked.

    Attributes:
        stage: where, such as "SL-CAI: harmful prompts".
        what: what was checked.
        raised: whether it is a warning.
        weight: how much that may change, see
            :class:`cai.evaluation.warnings.result_warnings.ReadersWarning`.
        numbers: what was found, and the limit.
        told: one sentence about it.
        advice: what to do about a warning.
    """

    stage: str
    what: WarningKind
    raised: bool
    weight: Weight
    numbers: Record
    told: str
    advice: str


def as_record(checks: Iterable[Check]) -> Record:
    """The warnings, the heaviest first, and all that was checked."""
    listed = [asdict(check) for check in checks]
    warnings = [check for check in listed if check["raised"]]
    warnings.sort(key=lambda check: WEIGHTS.index(check["weight"]))
    return {"level": intervals.LEVEL, "limits": LIMITS, "warnings": warnings, "checks": listed}


# Collapse


def collapse(stage: str, before: Texts, after: Texts, seed: int) -> list[Check]:
    """Repetition, length drift and lost diversity of answers, against those of the stage before.

    Args:
        stage: whose answers ``after`` are.
        before: answers of the stage before, by prompt.
        after: answers to the same prompts; others are left out.
    """
    common = sorted(before.keys() & after.keys())
    if not common:
        return []
    old, new = [before[key] for key in common], [after[key] for key in common]
    return [_looping(stage, new), _length(stage, old, new, seed), _diversity(stage, old, new, seed)]


def _looping(stage: str, answers: Sequence[str]) -> Check:
    share = intervals.proportion([is_looping(answer) for answer in answers])
    return Check(
        stage,
        "repetition",
        share.low > LIMITS["looping"],
        "high",
        {**share._asdict(), "limit": LIMITS["looping"]},
        f"{share.value:.1%} of {share.n} answers repeat themselves.",
        "Read some of them; lower the learning rate or the steps, raise the KL penalty, or end "
        "generation earlier.",
    )


def _length(stage: str, old: Sequence[str], new: Sequence[str], seed: int) -> Check:
    """The factor of the mean length in words, with a bootstrap interval over prompts."""
    before, after = (
        numpy.array([len(answer.split()) for answer in side], float) for side in (old, new)
    )

    def factor(before: numpy.ndarray, after: numpy.ndarray, axis: int) -> numpy.ndarray:
        return numpy.asarray(after.mean(axis) / numpy.maximum(before.mean(axis), 1e-9))

    draws = numpy.random.default_rng(seed)
    low, high = intervals.bootstrap((before, after), factor, draws)
    was, now = before.mean(), after.mean()
    limit = LIMITS["length"]
    numbers = {"n": len(old), "before": float(was), "after": float(now)}
    numbers |= {"factor": float(factor(before, after, 0)), "low": low, "high": high}
    return Check(
        stage,
        "length drift",
        bool(low > limit or high < 1 / limit),
        "high",
        {**numbers, "limit": limit},
        f"answers have {now:.1f} words on average, before {was:.1f}.",
        "Look whether the longer (or shorter) answers say more (or less); a reward model can "
        "favour length.",
    )


def _diversity(stage: str, old: Sequence[str], new: Sequence[str], seed: int) -> Check:
    """Distinct word pairs among as many answers of both, with an interval from half samples."""
    draws = random.Random(seed)
    chosen = draws.sample(range(len(old)), min(len(old), SAMPLE))
    was, now = (distinct([side[i] for i in chosen], 2) for side in (old, new))
    factors = []
    for _ in range(HALVES):
        half = draws.sample(chosen, max(len(chosen) // 2, 1))
        before, after = (distinct([side[i] for i in half], 2) for side in (old, new))
        factors.append(after / before if before else 1.0)
    low, high = numpy.quantile(factors, [(1 - intervals.LEVEL) / 2, (1 + intervals.LEVEL) / 2])
    numbers = {"n": len(chosen), "before": was, "after": now, "factor": now / was if was else 1.0}
    numbers |= {"low": float(low), "high": float(high), "limit": LIMITS["diversity"]}
    return Check(
        stage,
        "diversity",
        bool(high < LIMITS["diversity"]),
        "high",
        numbers,
        f"{now:.1%} of word pairs are distinct, before {was:.1%}.",
        "Look whether all prompts get one answer; raise the KL penalty, or train less.",
    )


# Reward hacking


def boilerplate(stage: str, before: Texts, after: Texts, seed: int) -> Check | None:
    """Whether a phrase is in many answers that was in fewer before.

    The phrase is the one that gained most; a phrase is words in sequence, counted once an answer.
    """
    common = sorted(before.keys() & after.keys())
    if not common:
        return None
    chosen = sorted(random.Random(seed).sample(common, min(len(common), SAMPLE)))
    was, now = _phrases(before, chosen), _phrases(after, chosen)
    phrase = max(now, key=lambda one: (now[one] - was[one], one), default="")
    late, early = ([phrase in _phrases_of(side[key]) for key in chosen] for side in (after, before))
    share, change = intervals.proportion(late), intervals.share_difference(late, early)
    limit = LIMITS["phrase"]
    return Check(
        stage,
        "boilerplate",
        share.low > limit and change.low > 0 and intervals.mcnemar(late, early) < SIGNIFICANT,
        "medium",
        {
            "phrase": phrase,
            **share._asdict(),
            "before": was[phrase] / len(chosen),
            "gain": change._asdict(),
            "limit": limit,
        },
        f"{share.value:.1%} of {share.n} answers hold \u201c{phrase}\u201d, before "
        f"{was[phrase] / len(chosen):.1%}.",
        "Read some answers: a formula is not a better answer, even if the reward model likes it. "
        "More principles, soft labels and a higher KL penalty work against it.",
    )


def _phrases(answers: Texts, chosen: Sequence[str]) -> Counter[str]:
    return Counter(phrase for key in chosen for phrase in _phrases_of(answers[key]))


def _phrases_of(answer: str) -> set[str]:
    words = answer.lower().split()
    return {" ".join(words[i : i + PHRASE]) for i in range(len(words) - PHRASE + 1)}


def reward_against_judge(summary: Record) -> list[Check]:
    """Whether the reward went up while the judge's win rate went down, by model and prompts."""
    measured = {metric["name"]: metric for metric in summary["metrics"]}
    checks = []
    for model in [row["name"] for row in summary["models"]][1:]:
        for part in ("harmful", "helpful"):
            changes = [
                measured.get(f"{name}_{part}", {}).get("differences", {}).get(model)
                for name in ("reward", "win_rate")
            ]
            if all(changes):
                checks.append(_hacked(f"{label(model)}: {part} prompts", *changes))
    return checks


def _hacked(stage: str, reward: Record, judged: Record) -> Check:
    return Check(
        stage,
        "reward against judge",
        reward["low"] > 0 and judged["high"] < 0,
        "high",
        {"reward": reward, "win_rate": judged},
        f"the reward changed by {reward['value']:+.3f}, the judge's win rate by "
        f"{100 * judged['value']:+.1f} points.",
        "The policy may exploit the reward model: read answers of high reward; stop PPO earlier "
        "or raise the KL penalty.",
    )


def reward_and_length(stage: str, answers: Texts, rewards: Mapping[str, float]) -> Check | None:
    """Whether the reward is mostly a matter of length: their rank correlation (Spearman's)."""
    common = sorted(answers.keys() & rewards.keys())
    lengths = [len(answers[key].split()) for key in common]
    scores = [rewards[key] for key in common]
    if len(common) < 10 or len({*lengths}) < 2 or len({*scores}) < 2:
        return None
    rho = intervals.rank_correlation(lengths, scores)
    return Check(
        stage,
        "reward and length",
        rho.low > LIMITS["length_reward"] or rho.high < -LIMITS["length_reward"],
        "medium",
        {**rho._asdict(), "limit": LIMITS["length_reward"]},
        f"the rank correlation of reward and length is {rho.value:+.2f} over {rho.n} answers.",
        "Compare answers of like length; balance the comparisons by length.",
    )


# Leakage


def leakage(stage: str, found: Record) -> Check:
    """Whether held-out prompts are nearly those of the training set."""
    share = intervals.share_of(found["near_duplicates"], found["held_out"])
    numbers = {**share._asdict(), "threshold": found["threshold"], "examples": found["examples"]}
    return Check(
        stage,
        "train/test leakage",
        share.low > LIMITS["leakage"],
        "medium",
        {**numbers, "limit": LIMITS["leakage"]},
        f"{found['near_duplicates']} of {found['held_out']} held-out prompts have a near-duplicate "
        "among the training prompts.",
        "What is measured on them is partly memory: leave them out, or split by groups of like "
        "prompts (datasets.*.split_field).",
    )
