"""Two models' answers to the same prompts: whose are better, by set of prompts."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev

from cai.files.records import Ledger, Record
from cai.judging.pairs import Judgement, Preference
from cai.steps.answers import Answered, EvaluationPrompt
from cai.steps.candidates import Candidates


class Pair(EvaluationPrompt):
    """Two models' answers to a prompt."""

    first: str
    second: str


class JudgedPair(Pair):
    """Two answers, the probability that the first is better, and what the judge said, if asked."""

    p_first: float
    judge: Judgement | None


def paired(first: Sequence[Answered], second: Sequence[Answered], ledger: Ledger) -> list[Pair]:
    """Records with both models' answers as ``first`` and ``second``.

    Prompts that the second model did not answer are dropped.
    """
    answers = {row["id"]: row["answer"] for row in second}
    pairs: list[Pair] = []
    for row in first:
        asked: EvaluationPrompt = {"id": row["id"], "prompt": row["prompt"], "set": row["set"]}
        other = answers.get(row["id"])
        if other is None:
            ledger.count_in()
            alone = {**asked, "first": row["answer"], "second": None}
            ledger.drop("not answered by the second model", record=alone)
        else:
            pairs.append({**asked, "first": row["answer"], "second": other})
    return pairs


def to_judge(pairs: Sequence[Pair]) -> list[Candidates]:
    """The pairs that differ, as candidates for a judge."""
    return [
        {
            "id": pair["id"],
            "prompt": pair["prompt"],
            "candidates": [{"text": pair["first"]}, {"text": pair["second"]}],
        }
        for pair in pairs
        if pair["first"] != pair["second"]
    ]


def scored(pairs: Sequence[Pair], judged: Sequence[Preference], ledger: Ledger) -> list[JudgedPair]:
    """The pairs that were judged or are equal, with ``p_first``: the first model's win."""
    verdicts = {row["id"]: row for row in judged}
    rows: list[JudgedPair] = []
    for pair in pairs:
        verdict = verdicts.get(pair["id"])
        if pair["first"] == pair["second"]:
            ledger.count_in()
            rows.append({**pair, "p_first": 0.5, "judge": None})
        elif verdict is not None:
            p_a = verdict["p_a"]
            p_first = p_a if verdict["a"] == pair["first"] else 1 - p_a
            rows.append({**pair, "p_first": p_first, "judge": verdict["judge"]})
    return rows


def win_rates(rows: Sequence[JudgedPair]) -> dict[str, Record]:
    """By set: the number of pairs, the first model's win rate and its standard error."""
    sets: dict[str, list[float]] = {}
    for row in rows:
        sets.setdefault(row["set"], []).append(row["p_first"])
    return {
        name: {
            "pairs": len(shares),
            "equal_or_tied": sum(share == 0.5 for share in shares),
            "win_rate": fmean(shares),
            "standard_error": pstdev(shares) / sqrt(len(shares)),
        }
        for name, shares in sorted(sets.items())
    }
