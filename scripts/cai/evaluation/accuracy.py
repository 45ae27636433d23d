"""The accuracy of methods on the same comparisons or questions, by part, with paired tests."""

from collections.abc import Mapping, Sequence

from cai.files.records import Record
from cai.judging.pairs import preferred
from cai.statistics import intervals

ALL = "all"
SIGNIFICANT = 0.05  # p-value below which a difference is called one
Outcomes = Mapping[str, float]  # by id: 1 right, 0 wrong, 1/2 a tie


def by_reward(rows: Sequence[Record]) -> dict[str, float]:
    """Whether the better answer has the higher reward."""
    return {row["id"]: _right(row["chosen"] - row["rejected"]) for row in rows}


def by_probability(rows: Sequence[Record]) -> dict[str, float]:
    """Whether a judge prefers the better answer."""
    return {row["id"]: _right(preferred(row["p_chosen"])) for row in rows}


def _right(lead: float) -> float:
    return 0.5 if lead == 0 else float(lead > 0)


def drawn_alone(rows: Sequence[Record]) -> list[Record]:
    """The verdicts under the principle that is drawn first, of a judge that was asked by several.

    They are those of a judge that draws one principle: see
    :func:`cai.settings.constitution.draw_principles`. Nothing, if it was asked by one at most.
    """
    if not any("+" in (row["principle"] or "") for row in rows):
        return []
    return [_under(row, row["principle"].split("+")[0]) for row in rows]


def _under(row: Record, name: str) -> Record:
    """A verdict under one of its principles."""
    return {**row, "principle": name, "p_chosen": row["judge"]["by_principle"][name]}


def accuracies(methods: Mapping[str, Outcomes], parts: Mapping[str, str]) -> list[Record]:
    """Of each method and part: ``method``, ``set``, and n, value, low and high of its accuracy.

    The interval is Wilson's; a tie counts as half of a success, which makes it wider than it
    need be, never narrower.

    Args:
        methods: outcomes by method.
        parts: the part that each id belongs to.
    """
    names = sorted(set(parts.values()))
    rows = []
    for method, outcomes in methods.items():
        for part in [ALL, *(names if len(names) > 1 else [])]:
            values = [v for key, v in outcomes.items() if part in (ALL, parts[key])]
            if values:
                estimate = intervals.share_of(sum(values), len(values))
                rows.append({"method": method, "set": part, **estimate._asdict()})
    return rows


def differences(methods: Mapping[str, Outcomes], first: str, seed: int) -> list[Record]:
    """Each method against ``first``, on what both were asked: the change, its interval, p, verdict.

    p is the sign test's, over the comparisons of which one is righter than the other; ``differs``
    if it is below :data:`SIGNIFICANT` and the interval leaves out zero.
    """
    rows = []
    for method, outcomes in methods.items():
        common = sorted(outcomes.keys() & methods[first].keys())
        if method == first or not common:
            continue
        after, before = [outcomes[k] for k in common], [methods[first][k] for k in common]
        change = intervals.mean_difference(after, before, seed)
        p = intervals.sign_test(after, before)
        beyond = change.low > 0 or change.high < 0
        test = {"p": p, "differs": bool(beyond and p < SIGNIFICANT)}
        rows.append({"method": method, "against": first, **change._asdict(), **test})
    return rows
