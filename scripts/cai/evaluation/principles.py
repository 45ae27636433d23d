"""What each principle does: how often it is drawn, how much it edits, how often it decides.

Of the supervised stage: draws, edits (Levenshtein's distance between the text before and after,
over the longer one's length) and, where texts are scored, how the reward moves. Of the RL stage:
comparisons, how often the principle has an opinion and how strong, and where principles disagree.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from cai.files.records import Record, uniform
from cai.judging.pairs import ROUNDING, Judged, Preference, preferred
from cai.statistics import intervals
from cai.steps.critique import Chain

OPINION = 0.1  # distance from one half from which on a probability is an opinion
Scores = Mapping[tuple[str, int], float]  # reward by id and round; 0: the first response


def opinion(probability: float) -> bool:
    """Whether a probability is :data:`OPINION` away from one half, but for a rounding error."""
    return abs(probability - 0.5) > OPINION - ROUNDING


class Edit(NamedTuple):
    """One revision under a principle; ``reward`` is its change, None where there are no scores."""

    principle: str
    round: int
    distance: float
    reward: float | None


def edits(chains: Iterable[Chain], scores: Scores = MappingProxyType({})) -> Iterator[Edit]:
    """Every revision of every chain, {"id", "response", "rounds"}."""
    for chain in chains:
        before = chain["response"]
        for step in chain["rounds"]:
            number = step["round"]
            was, now = scores.get((chain["id"], number - 1)), scores.get((chain["id"], number))
            reward = None if was is None or now is None else now - was
            distance = Levenshtein.normalized_distance(before, step["revision"])
            yield Edit(step["principle"], number, distance, reward)
            before = step["revision"]


def supervised(
    found: Iterable[Edit], seed: int, rewarded: Iterable[Edit] = ()
) -> dict[str, Record]:
    """What each principle does in the supervised stage.

    Args:
        found: the edits of a run.
        seed: of the bootstrap.
        rewarded: edits of chains whose texts are scored, which may be others.

    Returns:
        By principle: ``drawn``, ``by_round``, ``share`` of all draws; estimates of ``edit`` (mean
        distance), ``unchanged`` (share of revisions that change nothing) and ``reward`` (mean
        change; None without scores).
    """
    grouped = _grouped(found)
    rewards = _grouped(rewarded)
    total = sum(map(len, grouped.values()))
    rows = {}
    for name, edits_of in sorted(grouped.items()):
        moved = [edit.reward for edit in rewards.get(name, ()) if edit.reward is not None]
        rows[name] = {
            **_supervised(edits_of, total, seed),
            "reward": intervals.mean(moved, seed)._asdict() if moved else None,
        }
    return rows


def _grouped(found: Iterable[Edit]) -> dict[str, list[Edit]]:
    grouped: dict[str, list[Edit]] = defaultdict(list)
    for edit in found:
        grouped[edit.principle].append(edit)
    return grouped


def _supervised(rows: Sequence[Edit], total: int, seed: int) -> Record:
    rounds = sorted({edit.round for edit in rows})
    return {
        "drawn": len(rows),
        "share": intervals.share_of(len(rows), total)._asdict(),
        "by_round": {str(n): sum(edit.round == n for edit in rows) for n in rounds},
        "edit": intervals.mean([edit.distance for edit in rows], seed)._asdict(),
        "unchanged": intervals.proportion([edit.distance == 0 for edit in rows])._asdict(),
    }


def preference(rows: Iterable[Preference], seed: int) -> dict[str, Record]:
    """By principle: ``comparisons``; estimates of ``opinion`` (share of probabilities that are
    :data:`OPINION` away from one half), ``confidence`` (mean distance), and of those asked with
    others, ``decides`` (share of comparisons that the others alone would have decided otherwise;
    None for a principle that was always asked alone)."""
    grouped: dict[str, list[tuple[float, bool | None]]] = defaultdict(list)
    for row in rows:
        of = row["judge"].get("by_principle", {})
        for name, p_a in of.items():
            grouped[name].append((p_a, _decides(name, of)))
    return {name: _preference(found, seed) for name, found in sorted(grouped.items())}


def _decides(name: str, of: Mapping[str, float]) -> bool | None:
    """Whether the mean prefers another answer without this principle."""
    if len(of) == 1:
        return None
    others = [p for other, p in of.items() if other != name]
    with_it = sum(of.values()) / len(of)
    return preferred(with_it) != preferred(sum(others) / len(others))


def _preference(found: Sequence[tuple[float, bool | None]], seed: int) -> Record:
    strength = [abs(p - 0.5) for p, _ in found]
    decided = [decides for _, decides in found if decides is not None]
    return {
        "comparisons": len(found),
        "opinion": intervals.proportion([opinion(p) for p, _ in found])._asdict(),
        "confidence": intervals.mean(strength, seed)._asdict(),
        "decides": intervals.proportion(decided)._asdict() if decided else None,
    }


def disagreements(rows: Iterable[Judged], examples: int = 3) -> list[Record]:
    """Pairs of principles that were asked about the same comparison: where they disagree.

    Of both with an opinion only: ``comparisons``, and the share that they disagree on; with a few
    of these, drawn by hash. Pairs that disagree most come first.
    """
    grouped: dict[tuple[str, str], list[tuple[bool, str]]] = defaultdict(list)
    for row in rows:
        of = row["judge"].get("by_principle", {})
        opinions = {name: p for name, p in of.items() if opinion(p)}
        for one, other in combinations(sorted(opinions), 2):
            apart = preferred(opinions[one]) != preferred(opinions[other])
            grouped[one, other].append((apart, row["id"]))
    found = [
        {
            "principles": list(pair),
            **intervals.proportion([apart for apart, _ in members])._asdict(),
            "examples": sorted(
                (name for apart, name in members if apart),
                key=lambda name: uniform("disagreement", name),
            )[:examples],
        }
        for pair, members in grouped.items()
    ]
    return sorted(found, key=lambda pair: (-pair["value"], pair["principles"]))
