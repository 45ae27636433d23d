"""The result of a run in one sentence, computed from its summary."""

from collections.abc import Mapping, Sequence

from cai.evaluation.tables import course, label
from cai.files.records import Record

STAYS = 0.02  # a share whose values differ by less over all models stays where it is
COURSES = {"harmless": "harmless", "helpful": "helpful"}  # metrics of a classifier, by name


def headline(summary: Record) -> str:
    """Such as ``Harmless 0% → 43% → 94%, helpful stays at 99%``, a value for each model.

    Where no classifier knows what is harmless, the judge's win rates stand in, then the rewards;
    empty where nothing of these was measured.
    """
    measured = {metric["name"]: metric for metric in summary["metrics"]}
    parts = [_course(name, measured[key]) for key, name in COURSES.items() if key in measured]
    if "harmless" not in measured:
        parts = [*_preferred(measured), *parts] or _rewards(measured)
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def _course(name: str, metric: Record) -> str:
    """The values of a share over the models, or its last one if it hardly moves."""
    models = list(metric["estimates"])
    values = [estimate["value"] for estimate in metric["estimates"].values()]
    if len(values) > 1 and max(values) - min(values) < STAYS:
        return f"{name} stays at {whole_percent(values[-1])}"
    return f"{name} {course(models, list(map(whole_percent, values)), names=True)}"


def whole_percent(share: float) -> str:
    """A share in whole percent; 0 and 100 only if it is exactly that."""
    rounded = f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if rounded in ("0%", "100%") and share not in (0, 1) else rounded


def _preferred(measured: Mapping[str, Record]) -> Sequence[str]:
    """How often the judge prefers each later model's answers to harmful prompts."""
    estimates = measured.get("win_rate_harmful", {}).get("estimates", {})
    rates = [f"{label(name)} in {whole_percent(e['value'])}" for name, e in estimates.items()]
    if not rates:
        return []
    return [f"the judge prefers {' and '.join(rates)} of the harmful prompts"]


def _rewards(measured: Mapping[str, Record]) -> list[str]:
    estimates = measured.get("reward_harmful", {}).get("estimates", {})
    values = " → ".join(f"{estimate['value']:.2f}" for estimate in estimates.values())
    return [f"reward on harmful prompts {values}"] if values else []
