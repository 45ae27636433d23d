"""Elo of policies (Fig. 2, 8): the fit to all their matches, and the two drawings of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cai.core.errors import UserError
from cai.figures.artefact import Artefact, curve, frame, legend_below, level_line
from cai.figures.drawing import BLUE, GREY, SETTINGS, VERMILION, WIDTH, Drawing, Metrics, reach
from cai.figures.policies import (
    DPO_STEP,
    HELPFUL_ONLY,
    START,
    dpo_sequences,
    on_the_way,
    on_the_way_of_dpo,
    policy_label,
    sequences,
)
from cai.files.records import Record
from cai.statistics.elo import PRIOR, Match, elo_ratings
from cai.statistics.elo import RESAMPLES as ELO_RESAMPLES
from cai.statistics.intervals import LEVEL, Estimate

ANCHOR = START
INTERVALS = (
    f"{LEVEL:.0%} percentile bootstrap over prompts, {ELO_RESAMPLES} draws; it has no width where "
    "two policies did not differ on any prompt"
)
MEASURES = {  # name, title
    "harmlessness": "Harmlessness Elo",
    "helpfulness": "Helpfulness Elo",
}
METHOD = [
    "Policies answer held-out prompts: red-team prompts for harmlessness, harmless ones for "
    "helpfulness. Answers of two policies to one prompt are compared.",
    "Elo is the Bradley-Terry maximum likelihood on the scale of 400 / ln 10 points for one unit "
    f"of log-odds, with SL-CAI at 0 and {PRIOR} drawn matches added to each pair of policies. A "
    "tie, and equal answers, are half a win; a probability counts as that share of a win.",
]
BY = {
    "judge": "compared by the judge ({kind}), in its settings' orders; for harmlessness under the "
    "constitution's principles",
    "reward_model": "compared by a reward model of human comparisons of helpfulness alone: the "
    "probability of a win is the logistic function of the difference of two rewards",
    "classifier": "compared by the classifier that knows the truth: the answer with the good "
    "outcome wins, two of a kind tie",
}
DEPARTURES = [
    "The paper's comparisons are crowdworkers'. There, too, SL-CAI is at 0, and among harmless "
    "answers the less evasive one is to be preferred.",
    "One model size, and no RLHF models with human feedback on harmlessness.",
]
OF_DPO = "A sequence of DPO is one of the two answers of a pair that it has learnt from."
OWN_RUN = (
    "Snapshots are of a PPO run of their own, with rl_cai's settings and seed: it validates at "
    "other steps, so its samples differ from rl_cai's."
)


def fit(
    policies: Sequence[str],
    matches: Mapping[str, Mapping[str, Sequence[Match]]],
    metrics: Metrics,
    kind: str,
    options: Record,
    dpo: Metrics | None = None,
) -> Record:
    """The ratings of all policies, by measure and by who compared.

    Args:
        policies: in the order of training.
        matches: by measure (harmlessness, helpfulness) and by who compared (a key of BY).
        metrics: of the PPO run.
        kind: of the judge.
        options: the seed and the settings.
        dpo: metrics of DPO, if it is among the policies.

    Raises:
        UserError: if there are too few matches to rate every policy.
    """
    seed = options["seed"]
    series = {
        measure: {
            by: {
                "by": BY[by].format(kind=kind),
                "prompts": len({match.prompt for match in listed}),
                "matches": len(listed),
                "ratings": _rated(measure, listed, policies, seed),
            }
            for by, listed in of_measure.items()
        }
        for measure, of_measure in matches.items()
    }
    return {
        "policies": list(policies),
        "sequences": {
            **sequences(policies, metrics),
            **(dpo_sequences(policies, dpo) if dpo else {}),
        },
        "anchor": ANCHOR,
        **options,
        "series": series,
    }


def _rated(measure: str, matches: Sequence[Match], policies: Sequence[str], seed: int) -> Record:
    try:
        rated = elo_ratings(matches, policies, ANCHOR, seed)
    except ValueError as error:
        raise UserError(
            f"{measure}: {error}; more are played with a larger paper.elo.prompts or "
            "paper.elo.matches"
        ) from None
    return {policy: estimate._asdict() for policy, estimate in rated.items()}


def draw_training(elo: Record) -> Artefact:
    """Figure 8: both ratings against the training sequences of PPO and, if it is there, of DPO."""
    consumed = elo["sequences"]
    ways = _ways(elo)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True)
        for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
            for (by, series), style in zip(elo["series"][measure].items(), STYLES, strict=False):
                rated = _ratings(series)
                seen = "in truth" if by == "classifier" else "as compared"
                for name, way in ways.items():
                    xs = [consumed[policy] for policy in way]
                    told = f"{name} {seen}" if len(ways) > 1 else seen
                    line = {**style, **LINES[name]}
                    curve(axes, xs, [rated[p] for p in way], label=told, **line)
                level_line(axes, rated[HELPFUL_ONLY], f"helpful-only {seen}", style["color"])
            compared = next(by for by in elo["series"][measure] if by != "classifier")
            axes.set_title(f"{title} (by {_who(compared)})")
        legend_below(panels[0], columns=2)
        panels[-1].set_xlabel(f"{' or '.join(ways)} training sequences (SL-CAI at 0)")
        title = "Helpfulness and harmlessness over training"
        frame(figure, title, _note(elo))
    return _artefact("Figure 8", title, figure, elo)


def draw_frontier(elo: Record) -> Artefact:
    """Figure 2: harmlessness against helpfulness, a point a policy."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        for found, style in zip(_frontiers(elo), STYLES, strict=False):
            by, helpful, harmless = found
            _draw_frontier(axes, by, (helpful, harmless), _ways(elo), style)
        axes.set_xlabel(MEASURES["helpfulness"])
        axes.set_ylabel(MEASURES["harmlessness"])
        axes.margins(x=0.15)
        legend_below(axes)
        title = "Harmlessness against helpfulness"
        frame(figure, title, _note(elo))
    return _artefact("Figure 2", title, figure, elo)


def _ways(elo: Record) -> dict[str, list[str]]:
    """The policies of each training from SL-CAI on, in the order of training."""
    consumed = elo["sequences"]
    ways = {"PPO": on_the_way(consumed), "DPO": on_the_way_of_dpo(consumed)}
    return {name: way for name, way in ways.items() if way}


LINES: dict[str, Record] = {"PPO": {}, "DPO": {"linestyle": ":"}}
STYLES = ({"color": BLUE, "marker": "o"}, {"color": VERMILION, "marker": "D"})


def _frontiers(elo: Record) -> list[tuple[str, dict[str, Estimate], dict[str, Estimate]]]:
    """What can be set against each other: who compared, ratings of helpfulness and of harm."""
    helpful, harmless = (elo["series"][name] for name in ("helpfulness", "harmlessness"))
    first = next(by for by in helpful if by != "classifier")
    pairs = [("compared", helpful[first], harmless["judge"])]
    if "classifier" in helpful:
        pairs.append(("classifier", helpful["classifier"], harmless["classifier"]))
    return [(by, _ratings(one), _ratings(other)) for by, one, other in pairs]


def _draw_frontier(
    axes: Any,
    by: str,
    ratings: tuple[Mapping[str, Estimate], Mapping[str, Estimate]],
    ways: Mapping[str, Sequence[str]],
    style: Mapping[str, str],
) -> None:
    helpful, harmless = ratings
    who = "as compared" if by == "compared" else "in truth"
    for name, way in ways.items():
        label = f"{who}, from SL-CAI over {name}'s steps to {policy_label(way[-1])}"
        values = ((helpful[p].value, harmless[p].value) for p in way)
        axes.plot(*zip(*values, strict=True), label=label, **{**style, **LINES[name]})
    for policy in helpful:  # those of no way, too
        x, y = helpful[policy], harmless[policy]
        bars = {
            "xerr": reach([(x.value, x.low, x.high)]),
            "yerr": reach([(y.value, y.low, y.high)]),
        }
        color = GREY if policy == HELPFUL_ONLY else style["color"]
        axes.errorbar(x.value, y.value, **bars, color=color, marker=style["marker"], elinewidth=1)
        step = policy.removeprefix(DPO_STEP)
        text = step if step.isdecimal() else policy_label(policy)
        axes.annotate(text, (x.value, y.value), (4, 4), textcoords="offset points", fontsize=7)


def _ratings(series: Record) -> dict[str, Estimate]:
    return {policy: Estimate(**fields) for policy, fields in series["ratings"].items()}


def _who(by: str) -> str:
    return {"judge": "judge", "reward_model": "reward model", "classifier": "classifier"}[by]


def _note(elo: Record) -> str:
    counts = {measure: next(iter(by.values()))["prompts"] for measure, by in elo["series"].items()}
    return (
        f"n = {counts['harmlessness']} red-team and {counts['helpfulness']} harmless prompts, "
        f"seed {elo['seed']}\nbars and bands: {LEVEL:.0%} bootstrap over prompts; SL-CAI at 0"
    )


def _artefact(figure_name: str, title: str, figure: Figure, elo: Record) -> Artefact:
    rows = [
        [measure, by, policy, elo["sequences"].get(policy), *estimate]
        for measure, by_who in elo["series"].items()
        for by, series in by_who.items()
        for policy, estimate in _ratings(series).items()
    ]
    header = ["measure", "compared by", "policy", "sequences", "matches", "elo", "low", "high"]
    sentences = (
        f"{title} (by {_who(by)}): "
        + ", ".join(f"{policy_label(p)} {e.value:+.0f}" for p, e in _ratings(series).items())
        for measure, title in MEASURES.items()
        for by, series in elo["series"][measure].items()
    )
    compared = [
        f"{MEASURES[measure]}: {series['by']}."
        for measure, by_who in elo["series"].items()
        for series in by_who.values()
    ]
    own_run = [] if elo["during_run"] else [OWN_RUN]
    of_dpo = [OF_DPO] if on_the_way_of_dpo(elo["sequences"]) else []
    samples = {
        f"{measure}, {by}": {"prompts": series["prompts"], "matches": series["matches"]}
        for measure, by_who in elo["series"].items()
        for by, series in by_who.items()
    }
    return Artefact(
        figure_name,
        Drawing(title, ". ".join(sentences) + ".", figure, header, rows),
        [*METHOD, *of_dpo, *compared],
        [*DEPARTURES, *own_run],
        elo["elo"] | {"anchor": elo["anchor"], "snapshots": elo["snapshots"]},
        samples,
        elo["seed"],
        INTERVALS,
        {"sequences": elo["sequences"], "series": elo["series"]},
    )
