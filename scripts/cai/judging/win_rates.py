"""Two models' answers to the same prompts: whose are better, by set of prompts."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev

from cai.files.records import Ledger, Record


def paired(first: Sequence[Record], second: Sequence[Record], ledger: Ledger) -> list[Record]:
    """Records with both models' answers as ``first`` and ``second``.

    Prompts that the second model did not answer are dropped.
    """
    answers = {row["id"]: row["answer"] for row in second}
    pairs = []
    for row in first:
        pair = {"id": row["id"], "prompt": row["prompt"], "set": row["set"]}
        pair |= {"first": row["answer"], "second": answers.get(row["id"])}
        if pair["second"] is None:
            ledger.count_in()
            ledger.drop("not answered by the second model", record=pair)
        else:
            pairs.append(pair)
    return pairs


def to_judge(pairs: Sequence[Record]) -> list[Record]:
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


def scored(pairs: Sequence[Record], judged: Sequence[Record], ledger: Ledger) -> list[Record]:
    """The pairs that were judged or are equal, with ``p_first``: the first model's win."""
    verdicts = {row["id"]: row for row in judged}
    rows = []
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


def win_rates(rows: Sequence[Record]) -> dict[str, Record]:
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
