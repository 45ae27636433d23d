"""What can be said of a judge without knowing the truth; with it, see ``calibration``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import fmean, stdev

from cai.files.records import Ledger, Record
from cai.judging.pairs import Preference, preferred
from cai.steps.candidates import Candidates


def judge_report(
    rows: Sequence[Preference], ledger: Ledger, candidates: Sequence[Candidates] = ()
) -> Record:
    """Count and measure judged comparisons.

    Args:
        rows: the judged comparisons.
        ledger: of the judging.
        candidates: what was judged, with the temperatures that the answers were sampled at.

    Returns:
        ``comparisons`` = ``judged`` + ``failed`` (by reason) + ``equal`` (answers that do not
        differ); the ``failure_rate`` among all of them but the equal ones; ``ties`` and the
        ``tie_rate`` among the judged;
        ``confidence``: the mean of |p_a - 1/2|;
        ``order_agreement``: the share of comparisons of which both orders prefer the same answer;
        ``first_preferred``: the mean probability given to the answer shown first, 1/2 without a
        bias (both for judges asked in two orders);
        ``principle_agreement``: the mean share of a comparison's pairs of principles that prefer
        the same answer (for judges asked by several); ``principles``: each one's comparisons,
        confidence and agreement with the others;
        ``answers`` asked of the judge, and those that failed, by reason; ``usage``, see
        :class:`cai.asking.usage.Usage`; ``sent_as``, in which form the service took the
        requests, where not in the usual one; ``temperature``, see :func:`by_temperature`.
    """
    failed = dict(sorted(ledger.dropped.items()))
    in_two = [
        row["judge"]["by_order"] for row in rows if len(row["judge"].get("by_order", [])) == 2
    ]
    by_principle = [row["judge"]["by_principle"] for row in rows if "by_principle" in row["judge"]]
    ties = sum(row["judge"]["tie"] for row in rows)
    asked = len(rows) + sum(failed.values())
    return {
        "kind": rows[0]["judge"]["kind"] if rows else None,
        "comparisons": ledger.seen,
        "judged": len(rows),
        "failed": failed,
        "failure_rate": sum(failed.values()) / asked if asked else None,
        "equal": ledger.seen - asked,
        "ties": ties,
        "tie_rate": ties / len(rows) if rows else None,
        "confidence": _confidence(row["p_a"] for row in rows),
        "order_agreement": _mean(preferred(x) == preferred(y) for x, y in in_two),
        "first_preferred": _mean((1 + x - y) / 2 for x, y in in_two),
        "principle_agreement": _mean(
            fmean(preferred(x) == preferred(y) for x, y in combinations(of.values(), 2))
            for of in by_principle
            if len(of) > 1
        ),
        "principles": _principles(by_principle),
        "answers": ledger.notes.get("answers"),
        "usage": ledger.notes.get("usage"),
        "sent_as": ledger.notes.get("sent_as"),
        "temperature": by_temperature(rows, candidates),
    }


def _principles(by_principle: Sequence[Mapping[str, float]]) -> Record:
    """By principle: comparisons, confidence, and how often others prefer what it prefers."""
    probabilities: dict[str, list[float]] = defaultdict(list)
    agree: dict[str, list[bool]] = defaultdict(list)
    for of in by_principle:
        for name, p_a in of.items():
            probabilities[name].append(p_a)
            agree[name] += [
                preferred(p_a) == preferred(other) for rest, other in of.items() if rest != name
            ]
    return {
        name: {
            "comparisons": len(found),
            "confidence": _confidence(found),
            "agreement": _mean(agree[name]),
        }
        for name, found in sorted(probabilities.items())
    }


def by_temperature(rows: Sequence[Preference], candidates: Sequence[Candidates]) -> Record:
    """How the preference depends on the temperature that an answer was sampled at.

    Of comparisons between different temperatures only: their number, the mean probability that the
    answer of the higher temperature is preferred, its standard error, and by temperature the mean
    probability of being preferred. An answer that was sampled more than once has the temperature
    that it came at first.
    """
    known = {
        (record["id"], candidate["text"]): candidate["temperature"]
        for record in candidates
        for candidate in record["candidates"]
        if "temperature" in candidate
    }
    hotter: list[float] = []
    wins: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        of_a, of_b = (known.get((row["id"], row[side])) for side in ("a", "b"))
        if of_a is None or of_b is None or of_a == of_b:
            continue
        wins[of_a].append(row["p_a"])
        wins[of_b].append(1 - row["p_a"])
        hotter.append(row["p_a"] if of_a > of_b else 1 - row["p_a"])
    return {
        "comparisons": len(hotter),
        "hotter_preferred": _mean(hotter),
        "standard_error": stdev(hotter) / sqrt(len(hotter)) if len(hotter) > 1 else None,
        "by_temperature": {
            f"{temperature:g}": {"comparisons": len(won), "preferred": fmean(won)}
            for temperature, won in sorted(wins.items())
        },
    }


def _confidence(probabilities: Iterable[float]) -> float | None:
    return _mean(abs(p_a - 0.5) for p_a in probabilities)


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
