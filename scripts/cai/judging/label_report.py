"""What can be said of a judge without knowing the truth; with it, see ``calibration``."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import sqrt
from statistics import fmean, stdev

from cai.files.lazily import Rows
from cai.files.records import Ledger, Record
from cai.judging.pairs import Preference, preferred
from cai.steps.candidates import Candidates


def judge_report(
    rows: Rows[Preference], ledger: Ledger, candidates: Iterable[Candidates] = ()
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
    found = _Found()
    for row in rows:
        found.add(row)
    asked = len(rows) + sum(failed.values())
    return {
        "kind": found.kind,
        "comparisons": ledger.seen,
        "judged": len(rows),
        "failed": failed,
        "failure_rate": sum(failed.values()) / asked if asked else None,
        "equal": ledger.seen - asked,
        "ties": found.ties,
        "tie_rate": found.ties / len(rows) if len(rows) else None,
        "confidence": _mean(found.confidence),
        "order_agreement": _mean(found.orders_agree),
        "first_preferred": _mean(found.first_preferred),
        "principle_agreement": _mean(found.principles_agree),
        "principles": {name: of.as_dict() for name, of in sorted(found.principles.items())},
        "answers": ledger.notes.get("answers"),
        "usage": ledger.notes.get("usage"),
        "sent_as": ledger.notes.get("sent_as"),
        "temperature": by_temperature(rows, candidates),
    }


class _Principle:
    """How sure one principle is, and how often others prefer what it prefers."""

    def __init__(self) -> None:
        self._confidence = _numbers()
        self._agree = self._others = 0

    def add(self, p_a: float, others: Iterable[float]) -> None:
        """Count a comparison, with what the others say of it."""
        self._confidence.append(abs(p_a - 0.5))
        for other in others:
            self._others += 1
            self._agree += preferred(p_a) == preferred(other)

    def as_dict(self) -> Record:
        return {
            "comparisons": len(self._confidence),
            "confidence": _mean(self._confidence),
            "agreement": self._agree / self._others if self._others else None,
        }


class _Found:
    """What is found in rows that are gone through once: a few numbers each, not their texts."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.ties = 0
        self.confidence, self.orders_agree = _numbers(), _numbers()
        self.first_preferred, self.principles_agree = _numbers(), _numbers()
        self.principles: dict[str, _Principle] = defaultdict(_Principle)

    def add(self, row: Preference) -> None:
        """Count a comparison."""
        judge = row["judge"]
        self.kind = self.kind or judge["kind"]
        self.ties += judge["tie"]
        self.confidence.append(abs(row["p_a"] - 0.5))
        if len(by_order := judge.get("by_order", [])) == 2:
            x, y = by_order
            self.orders_agree.append(preferred(x) == preferred(y))
            self.first_preferred.append((1 + x - y) / 2)
        of = judge.get("by_principle", {})
        if len(of) > 1:
            agree = (preferred(x) == preferred(y) for x, y in combinations(of.values(), 2))
            self.principles_agree.append(fmean(agree))
        for name, p_a in of.items():
            self.principles[name].add(p_a, (other for rest, other in of.items() if rest != name))


def by_temperature(rows: Iterable[Preference], candidates: Iterable[Candidates]) -> Record:
    """How the preference depends on the temperature that an answer was sampled at.

    Of comparisons between different temperatures only: their number, the mean probability that the
    answer of the higher temperature is preferred, its standard error, and by temperature the mean
    probability of being preferred. An answer that was sampled more than once has the temperature
    that it came at first. Rows are in the order of their candidates.
    """
    hotter = _numbers()
    wins: dict[float, array[float]] = defaultdict(_numbers)
    for row, known in _with_temperatures(rows, candidates):
        of_a, of_b = known.get(row["a"]), known.get(row["b"])
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


def _with_temperatures(
    rows: Iterable[Preference], candidates: Iterable[Candidates]
) -> Iterator[tuple[Preference, dict[str, float]]]:
    """Each comparison with the temperatures of its record's texts, as far as they are known."""
    records = iter(candidates)
    record: Candidates | None = None
    for row in rows:
        while record is None or record["id"] != row["id"]:
            if (record := next(records, None)) is None:
                return
        yield (
            row,
            {
                candidate["text"]: candidate["temperature"]
                for candidate in record["candidates"]
                if "temperature" in candidate
            },
        )


def _numbers() -> "array[float]":
    return array("d")


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if len(values) else None
