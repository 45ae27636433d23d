"""Chains of revisions (Fig. 5, 6, 7): what reward models and the classifier say of each round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cai.figures.artefact import BOOTSTRAP, Artefact, curve, frame, scaled
from cai.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SETTINGS,
    STYLES,
    VERMILION,
    WIDTH,
    Drawing,
    Rows,
)
from cai.files.records import Record, uniform
from cai.statistics import diversity
from cai.statistics.intervals import LEVEL, Estimate, mean, mean_difference, proportion

MODELS = {
    "harmless": "Harmlessness score",
    "helpful": "Helpfulness score",
    "combined": "Helpfulness and harmlessness score",
}
TRUTH = "Harmless in truth (%)"
PAIR = ((BLUE, "o"), (VERMILION, "D"))  # two curves of a panel
HEADER = ["measure", "chain", "round", "n", "value", "low", "high"]
MODELS_TRAINED = (
    "Scores are rewards of NeMo-Aligner reward models: of harmlessness trained on the AI's "
    "comparisons alone, of helpfulness on the human ones alone, and the run's own on both."
)
METHOD = [
    "Helpful-only answers to held-out red-team prompts are revised again and again; each round "
    "draws a principle anew. Prompts whose chain broke off are left out of all rounds; a text that "
    "is too long for a reward model has no score.",
    MODELS_TRAINED,
]
DEPARTURES = [
    "The paper's preference models are trained on human comparisons of helpfulness and of "
    "harmlessness; here harmlessness is the AI's, by the same constitution.",
    "Scores of different reward models have different zeros and units: compare within one model.",
]
INTERVALS = (
    f"{BOOTSTRAP}; differences paired by prompt; shares (truth): Wilson's score interval at "
    f"{LEVEL:.0%}"
)


@dataclass
class Chain:
    """The texts of one run of revise.py, with what is measured of them.

    Attributes:
        name: of the chain.
        texts: by round, by the prompt's id.
        scores: by reward model, by round, by the prompt's id.
        harmless: by round, by the prompt's id, what the classifier says.
        broken: prompts whose chain broke off.
    """

    name: str
    texts: list[Mapping[str, str]]
    scores: Mapping[str, list[Mapping[str, float]]] = field(default_factory=dict)
    harmless: list[Mapping[str, bool]] | None = None
    broken: int = 0


def draw_by_model(chains: Sequence[Chain], options: Record) -> Artefact:
    """Figure 5: the scores of each reward model after 0, 1, ... revisions."""
    [chain] = chains
    seed = options["seed"]
    measures = {
        MODELS[model]: [_mean(values, seed) for values in rounds]
        for model, rounds in chain.scores.items()
    }
    truth = _truth(chain)
    panels = [*measures.items(), *([(TRUTH, truth)] if truth else [])]
    title = "Scores after each revision"
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 1.55 * len(panels) + 0.6), layout="constrained")
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, estimates), style in zip(all_axes, panels, STYLES[1:], strict=False):
            color, marker = style
            curve(axes, range(len(estimates)), estimates, color=color, marker=marker)
            axes.set_title(name)
        _rounds_axis(all_axes[-1])
        frame(figure, title, _note(chains, options))
    rows = [
        [name, chain.name, number, *estimate]
        for name, estimates in panels
        for number, estimate in enumerate(estimates)
    ]
    changes = {
        MODELS[model]: [_change(values, rounds[0], seed) for values in rounds[1:]]
        for model, rounds in chain.scores.items()
    }
    results = {"by_round": _dicts(dict(panels)), "change_from_round_0": _dicts(changes)}
    return _artefact("Figure 5", title, figure, rows, chains, options, results)


def draw_by_principles(chains: Sequence[Chain], options: Record) -> Artefact:
    """Figure 6: the harmlessness score against revisions, for each number of principles."""
    found = _Numbers.of(chains, options)
    title = "Harmlessness by number of principles"
    figure = _numbers_figure(title, found, _note(chains, options))
    rows = _numbers_rows(found, options["revisions"]["rounds"])
    results = _numbers_results(found, options)
    artefact = _artefact("Figure 6", title, figure, rows, chains, options, results)
    artefact.method = [
        *artefact.method,
        "Principles of a number are the first in the order of a hash, so the larger sets hold the "
        "smaller ones. Similarity, of revisions and of critiques of the last round: mean pairwise "
        "Jaccard index of the word pairs of two texts, less is more diverse, interval by a "
        "bootstrap over texts; distinct-n: Li et al. 2016 (no interval: it falls with the number "
        "of texts).",
    ]
    artefact.departures = [
        *artefact.departures,
        "Intervals are over prompts, not over which principles are drawn "
        f"({options['revisions']['draws']} draw of each number); the constitution has "
        f"{options['principles']} principles.",
    ]
    return artefact


@dataclass
class _Numbers:
    """What is measured of chains, by the number of principles that they draw from.

    Attributes:
        groups: the chains of each number: one a draw of principles.
        scores: of harmlessness, by round and by the prompt's id, as a mean over the draws.
        curves: their means over prompts, by round.
        truth: the share of harmless texts in percent, by round, where there is one draw.
        texts: of the last round, by what they are (revisions, critiques).
        alike: how similar two of these texts are.
    """

    groups: Mapping[int, list[Chain]]
    scores: Mapping[int, list[dict[str, float]]]
    curves: Mapping[int, list[Estimate]]
    truth: Mapping[int, list[Estimate]]
    texts: Mapping[str, Mapping[int, list[str]]]
    alike: Mapping[str, Mapping[int, Estimate]]

    @classmethod
    def of(cls, chains: Sequence[Chain], options: Record) -> "_Numbers":
        seed = options["seed"]
        groups = _by_number(chains, options["principles"])
        scores = {n: _pooled([c.scores["harmless"] for c in g]) for n, g in groups.items()}
        truth = {n: _truth(g[0]) for n, g in groups.items() if len(g) == 1}
        texts = {
            "revisions": {n: _last_texts(g) for n, g in groups.items()},
            "critiques": {n: options["critiques"][g[0].name] for n, g in groups.items()},
        }
        own_seed = int(uniform("similarity", seed) * 2**32)
        return cls(
            groups,
            scores,
            {n: [_mean(values, seed) for values in rounds] for n, rounds in scores.items()},
            {n: rounds for n, rounds in truth.items() if rounds},
            texts,
            {
                what: {n: diversity.similarity(found, own_seed) for n, found in by_number.items()}
                for what, by_number in texts.items()
            },
        )


def _numbers_figure(title: str, found: _Numbers, note: str) -> Figure:
    with matplotlib.rc_context(SETTINGS):
        count = 2 + bool(found.truth)
        figure = Figure(figsize=(WIDTH, 2.1 * count + 0.6), layout="constrained")
        top, *middle, bottom = figure.subplots(count, 1)
        _draw_numbers(top, MODELS["harmless"], found.curves)
        if middle:
            _draw_numbers(middle[0], TRUTH, found.truth)
        for (what, each), (color, marker) in zip(found.alike.items(), PAIR, strict=True):
            places = range(len(each))
            curve(bottom, places, list(each.values()), color=color, marker=marker, label=what)
        bottom.set_xticks(range(len(found.groups)), found.groups)
        bottom.set_xlabel("principles")
        bottom.set_title("Similarity of two texts of the last round")
        bottom.legend(fontsize=7.5, loc="best")
        frame(figure, title, note)
    return figure


def _numbers_rows(found: _Numbers, last: int) -> Rows:
    measured = [
        [name, f"{n} principles", number, *estimate]
        for name, by_number in ((MODELS["harmless"], found.curves), (TRUTH, found.truth))
        for n, estimates in by_number.items()
        for number, estimate in enumerate(estimates)
    ]
    similar = [
        [f"similarity of {what}", f"{n} principles", last, *estimate]
        for what, by_number in found.alike.items()
        for n, estimate in by_number.items()
    ]
    return [*measured, *similar]


def _numbers_results(found: _Numbers, options: Record) -> Record:
    whole = max(found.scores)
    return {
        "by_round": _by_text(found.curves),
        "harmless_in_truth": _by_text(found.truth),
        "all_principles_against": {
            str(n): _change(found.scores[whole][-1], rounds[-1], options["seed"])._asdict()
            for n, rounds in found.scores.items()
            if n != whole
        },
        "diversity": {
            what: {str(n): _diversity(found.alike[what][n], texts) for n, texts in each.items()}
            for what, each in found.texts.items()
        },
        "chains": {str(n): [chain.name for chain in g] for n, g in found.groups.items()},
        "principles_of": options["drawn"],
    }


def _by_text(by_number: Mapping[int, Sequence[Estimate]]) -> Record:
    """As JSON has it, whose names are texts."""
    return {str(n): [estimate._asdict() for estimate in each] for n, each in by_number.items()}


def _diversity(similarity: Estimate, texts: Sequence[str]) -> Record:
    return {
        "similarity": similarity._asdict(),
        "distinct_1": diversity.distinct(texts, 1),
        "distinct_2": diversity.distinct(texts, 2),
    }


def draw_critiqued_and_direct(chains: Sequence[Chain], options: Record) -> Artefact:
    """Figure 7: revisions after a critique against revisions without one."""
    seed = options["seed"]
    curves = {
        chain.name: [_mean(values, seed) for values in chain.scores["harmless"]] for chain in chains
    }
    truth = {chain.name: rounds for chain in chains if (rounds := _truth(chain))}
    critiqued, direct = (chain.scores["harmless"] for chain in chains)
    gaps = [_change(one, other, seed) for one, other in zip(critiqued, direct, strict=True)]
    panels = {MODELS["harmless"]: curves, **({TRUTH: truth} if truth else {})}
    title = "Critiqued and direct revisions"
    figure = _gap_figure(title, panels, gaps, _note(chains, options))
    rows = [
        [name, chain, number, *estimate]
        for name, by_chain in panels.items()
        for chain, found in by_chain.items()
        for number, estimate in enumerate(found)
    ]
    rows += [["critiqued less direct", "", number, *gap] for number, gap in enumerate(gaps)]
    results = {
        "by_round": _dicts(curves),
        "harmless_in_truth": _dicts(truth),
        "critiqued_less_direct": [gap._asdict() for gap in gaps],
    }
    artefact = _artefact("Figure 7", title, figure, rows, chains, options, results)
    artefact.departures = [
        *artefact.departures,
        "Direct revisions are asked for without the few-shot dialogues, which show critiques.",
    ]
    return artefact


def _gap_figure(
    title: str,
    panels: Mapping[str, Mapping[str, Sequence[Estimate]]],
    gaps: Sequence[Estimate],
    note: str,
) -> Figure:
    with matplotlib.rc_context(SETTINGS):
        count = len(panels) + 1
        figure = Figure(figsize=(WIDTH, 1.8 * count + 0.6), layout="constrained")
        *upper, last = figure.subplots(count, 1, sharex=True)
        for axes, (name, by_chain) in zip(upper, panels.items(), strict=True):
            for (chain, found), (color, marker) in zip(by_chain.items(), PAIR, strict=True):
                curve(axes, range(len(found)), found, color=color, marker=marker, label=chain)
            axes.set_title(name)
        upper[0].legend(loc="best")
        curve(last, range(len(gaps)), gaps, color=GREEN, marker="s")
        last.axhline(0, color=GREY, linewidth=1)
        last.set_title("Critiqued less direct, paired by prompt")
        _rounds_axis(last)
        frame(figure, title, note)
    return figure


FIGURES: dict[str, Callable[[Sequence[Chain], Record], Artefact]] = {
    "fig05": draw_by_model,
    "fig06": draw_by_principles,
    "fig07": draw_critiqued_and_direct,
}


def _mean(values: Mapping[str, float], seed: int) -> Estimate:
    return mean([values[key] for key in sorted(values)], seed)


def _change(late: Mapping[str, float], early: Mapping[str, float], seed: int) -> Estimate:
    common = sorted(late.keys() & early.keys())
    return mean_difference([late[key] for key in common], [early[key] for key in common], seed)


def _truth(chain: Chain) -> list[Estimate]:
    """The share of harmless texts of each round, in percent; empty without a classifier."""
    return [scaled(proportion(list(found.values())), 100) for found in chain.harmless or []]


def _by_number(chains: Sequence[Chain], available: int) -> dict[int, list[Chain]]:
    groups: dict[int, list[Chain]] = {}
    for chain in chains:
        parts = chain.name.split("-")
        number = int(parts[1]) if parts[0] == "principles" else available
        groups.setdefault(number, []).append(chain)
    return dict(sorted(groups.items()))


def _pooled(draws: Sequence[list[Mapping[str, float]]]) -> list[dict[str, float]]:
    """The mean over draws of principles, by round, of the prompts that all draws have."""
    rounds = []
    for each in zip(*draws, strict=True):
        common = set.intersection(*(set(values) for values in each))
        rounds.append({key: sum(v[key] for v in each) / len(each) for key in common})
    return rounds


def _last_texts(group: Sequence[Chain]) -> list[str]:
    """The last revisions of the first draw: sets of one size compare."""
    last = group[0].texts[-1]
    return [last[key] for key in sorted(last)]


def _draw_numbers(axes: Any, name: str, by_number: Mapping[int, Sequence[Estimate]]) -> None:
    styles = [*STYLES, (BLUE, "x"), (ORANGE, "+")]
    for (n, found), (color, marker) in zip(by_number.items(), styles, strict=False):
        curve(axes, range(len(found)), found, color=color, marker=marker, label=f"{n}")
    axes.set_title(name)
    axes.legend(title="principles", loc="best", ncols=2, fontsize=7.5, title_fontsize=7.5)
    _rounds_axis(axes)


def _rounds_axis(axes: Any) -> None:
    axes.set_xlabel("revisions")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _note(chains: Sequence[Chain], options: Record) -> str:
    sizes = sorted({len(chain.texts[0]) for chain in chains})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}\u2013{sizes[-1]}"
    return f"n = {n} held-out red-team prompts, seed {options['seed']}; bars: {LEVEL:.0%} intervals"


def _dicts(found: Mapping[str, Sequence[Estimate]]) -> Record:
    return {name: [estimate._asdict() for estimate in each] for name, each in found.items()}


def _artefact(
    figure_name: str,
    title: str,
    figure: Figure,
    rows: Rows,
    chains: Sequence[Chain],
    options: Record,
    results: Record,
) -> Artefact:
    description = "; ".join(
        f"{row[0]}, {row[1]}, after {row[2]}: {row[4]:.2f}" for row in islice(rows, 20)
    )
    return Artefact(
        figure_name,
        Drawing(title, f"{description}.", figure, HEADER, rows),
        METHOD,
        DEPARTURES,
        options["revisions"],
        {c.name: {"prompts": len(c.texts[0]), "broken off": c.broken} for c in chains},
        options["seed"],
        INTERVALS,
        results,
    )
