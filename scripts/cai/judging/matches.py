"""Matches between policies: which answers are compared, and who won."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from math import exp

from cai.core.errors import fail_if
from cai.files.records import Record, uniform
from cai.statistics.elo import Match

Answers = Mapping[str, Mapping[str, Record]]  # by policy, by the prompt's id


def draw_matches(answers: Answers, part: str, count: int, seed: int) -> list[tuple[Record, Record]]:
    """Pairs of answers to one prompt, from two policies each, as records for judge_answers.py.

    On each prompt of the set up to ``count`` pairs of policies are drawn; who is first is
    drawn, too. Their common id is that of the prompt and the number of the pair.
    """
    matches = []
    for prompt in _common(answers, part):
        pairs = list(itertools.combinations(answers, 2))
        pairs.sort(key=lambda pair: uniform("match", seed, prompt, *pair))
        for pair in pairs[:count]:
            turned = uniform("side", seed, prompt, *pair) < 0.5
            name = f"{prompt}.{'.'.join(pair)}"
            one, other = pair[::-1] if turned else pair
            first, second = answers[one][prompt], answers[other][prompt]
            matches.append((_side(first, name, one), _side(second, name, other)))
    return matches


def _common(answers: Answers, part: str) -> list[str]:
    """The prompts of a set that all policies have answered."""
    by_policy = [
        {name for name, row in rows.items() if row["set"] == part} for rows in answers.values()
    ]
    common = sorted(set.intersection(*by_policy))
    fail_if(not common, f"no prompt of the {part} set was answered by all of {', '.join(answers)}")
    return common


def _side(row: Record, name: str, policy: str) -> Record:
    kept = {key: row[key] for key in ("prompt", "set", "answer")}
    return {"id": name, **kept, "prompt_id": row["id"], "policy": policy}


def judged_matches(
    first: Iterable[Record], second: Iterable[Record], judged: Iterable[Record]
) -> list[Match]:
    """Matches with the scores that a judge gave; those that it could not judge are missing."""
    sides = [{row["id"]: row for row in rows} for rows in (first, second)]
    found = []
    for row in judged:
        one, other = (rows[row["id"]] for rows in sides)
        found.append(Match(one["prompt_id"], one["policy"], other["policy"], row["p_first"]))
    return found


def scored_matches(scores: Mapping[str, Mapping[str, float]]) -> list[Match]:
    """All pairs of policies on all prompts that both have a reward for.

    The score is the probability that a reward model of Bradley and Terry's form gives: the logistic
    function of the difference of the rewards.
    """
    return _all_pairs(scores, lambda one, other: 1 / (1 + exp(other - one)))


def true_matches(outcomes: Mapping[str, Mapping[str, bool]]) -> list[Match]:
    """All pairs of policies by a known outcome: the good one wins, two of a kind tie."""
    return _all_pairs(outcomes, lambda one, other: 0.5 + (one - other) / 2)


def _all_pairs(
    values: Mapping[str, Mapping[str, float]], score: Callable[[float, float], float]
) -> list[Match]:
    return [
        Match(prompt, first, second, score(values[first][prompt], values[second][prompt]))
        for first, second in itertools.combinations(values, 2)
        for prompt in sorted(values[first].keys() & values[second].keys())
    ]
