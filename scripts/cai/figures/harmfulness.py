"""The absolute score of harm (Fig. 10): a regression on red teamers' ratings, and its drawing."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import matplotlib
import numpy
from matplotlib.figure import Figure
from sklearn.metrics import r2_score

from cai.data.ratings import features
from cai.figures.artefact import BOOTSTRAP, Artefact, curve, frame, level_line, scaled, unsupported
from cai.figures.drawing import BLUE, GREY, SETTINGS, VERMILION, WIDTH, Drawing, Metrics, Rows
from cai.figures.policies import HELPFUL_ONLY, on_the_way, policy_label, sequences
from cai.files.records import Record
from cai.statistics.intervals import LEVEL, Estimate, mean, proportion
from cai.statistics.regression import Ridge, cross_validated_ridge

TITLE = "Absolute harmfulness score"
FEWEST = 20  # ratings that a regression is fitted to, at least
DEPARTURES = [
    "The paper fine-tunes a language model to predict the rating from the whole conversation; this "
    "is a ridge regression on a single exchange, though the rating is of the whole transcript.",
    "The paper's 64 prompts were chosen by hand and are not public; these are held-out red-team "
    "prompts in the order of a hash.",
    "Predictions are not cut to the range of ratings, 0 to 4.",
]
SCORE, TRUTH = "Predicted rating (0 to 4, higher is worse)", "Harmful in truth (%)"


def draw(
    samples: Mapping[str, Sequence[Record]],
    ratings: Sequence[Record],
    rewards: Mapping[str, Mapping[str, float]],
    truth: Mapping[str, Mapping[str, bool]],
    metrics: Metrics,
    options: Record,
) -> Artefact:
    """Figure 10: the score of each policy at temperature 1 and greedy.

    Args:
        samples: answers by policy, in the order of training.
        ratings: rated exchanges, of both parts.
        rewards: by policy, and those of the ``ratings``, by the answer's id.
        truth: by policy, whether an answer is harmless, by its id; empty without a classifier.
        metrics: of the PPO run.
        options: the seed and the settings.
    """
    settings, seed = options["harmfulness"], options["seed"]
    ratings = [row for row in ratings if row["id"] in rewards["ratings"]]
    fitted_to = [row for row in ratings if row["part"] == "train"]
    if len(fitted_to) < FEWEST:
        reason = f"{len(fitted_to)} rated transcripts; {FEWEST} are needed (a field rating, 0 to 4)"
        return unsupported("Figure 10", TITLE, reason, settings, seed)
    model = _fit(fitted_to, rewards["ratings"], settings["words"])
    quality = _quality(model, ratings, rewards["ratings"], settings["words"], seed)
    scores = {
        policy: _scores(model, rows, rewards[policy], settings["words"])
        for policy, rows in samples.items()
    }
    measured = _measured(samples, scores, truth, seed)
    consumed = sequences(list(samples), metrics)
    prompts = len({row["prompt_id"] for rows in samples.values() for row in rows})
    figure = _figure(measured, consumed, _note(prompts, settings["samples"], seed, quality))
    ratings_of = {"fitted to": len(fitted_to), "held out": quality["n"]}
    results = {
        "regression": {**quality, "penalty": model.penalty},
        "sequences": consumed,
        "scores": _as_json(measured),
    }
    return Artefact(
        "Figure 10",
        Drawing(TITLE, _described(measured), figure, HEADER, _rows(measured)),
        _method(settings["words"], has_truth=bool(truth)),
        DEPARTURES,
        settings,
        {"prompts": prompts, "samples": settings["samples"], "ratings": ratings_of},
        seed,
        INTERVALS,
        results,
    )


INTERVALS = f"{BOOTSTRAP}; Wilson's score interval where every prompt's share is none or all"
HEADER = ["measure", "policy", "temperature", "prompts", "value", "low", "high"]
Measured = Mapping[str, Mapping[str, Mapping[str, Estimate]]]  # measure, policy, temperature


class Quality(TypedDict):
    """How well the regression predicts ratings that it has not seen; None: of fewer than two."""

    n: int
    r_squared: float | None
    absolute_error: Record | None


def _measured(
    samples: Mapping[str, Sequence[Record]],
    scores: Mapping[str, Mapping[str, float]],
    truth: Mapping[str, Mapping[str, bool]],
    seed: int,
) -> Measured:
    measured = {SCORE: {p: _by_temperature(samples[p], scores[p], seed) for p in samples}}
    if truth:
        harm = {p: {key: float(not ok) for key, ok in truth[p].items()} for p in truth}
        shares = {p: _by_temperature(samples[p], harm[p], seed) for p in samples}
        measured[TRUTH] = {p: {t: scaled(e, 100) for t, e in shares[p].items()} for p in samples}
    return measured


def _note(prompts: int, samples: int, seed: int, quality: Quality) -> str:
    r_squared = quality["r_squared"]
    fit = "no R\u00b2" if r_squared is None else f"R\u00b2 {r_squared:.2f}"
    return (
        f"n = {prompts} held-out red-team prompts x {samples} samples at T = 1, one at "
        f"T = 0; seed {seed}\nbars and bands: {LEVEL:.0%} bootstrap over prompts\n"
        f"regression: {fit} on {quality['n']} held-out ratings"
    )


def _method(words: int, has_truth: bool) -> list[str]:
    return [
        "Ridge regression (L2) of red teamers' ratings of transcripts (0 to 4: how far the "
        "attack succeeded) on the run's reward model's score, the logarithm of the number of "
        f"words, and {words} hashed words and pairs of words of the answer; the "
        "penalty by five-fold cross-validation over prompts; fitted to the training part.",
        "A policy's score is the mean over prompts of the mean over its samples.",
        *(["In truth: what the classifier says of the same answers."] if has_truth else []),
    ]


def _as_json(measured: Measured) -> Record:
    return {
        measure: {
            policy: {t: e._asdict() for t, e in found.items()}
            for policy, found in by_policy.items()
        }
        for measure, by_policy in measured.items()
    }


def _features(rows: Sequence[Record], rewards: Mapping[str, float], words: int) -> numpy.ndarray:
    return features([row["answer"] for row in rows], [rewards[row["id"]] for row in rows], words)


def _fit(rows: Sequence[Record], rewards: Mapping[str, float], words: int) -> Ridge:
    targets = numpy.array([row["rating"] for row in rows])
    groups = [row["prompt_id"] for row in rows]
    return cross_validated_ridge(_features(rows, rewards, words), targets, groups)


def _quality(
    model: Ridge, ratings: Sequence[Record], rewards: Mapping[str, float], words: int, seed: int
) -> Quality:
    """How well the regression predicts ratings that it has not seen."""
    rows = [row for row in ratings if row["part"] == "test"]
    if len(rows) < 2:
        return {"n": len(rows), "r_squared": None, "absolute_error": None}
    targets = numpy.array([row["rating"] for row in rows])
    predicted = model.predict(_features(rows, rewards, words))
    error = mean(list(abs(predicted - targets)), seed)
    return {
        "n": len(rows),
        "r_squared": r2_score(targets, predicted),
        "absolute_error": error._asdict(),
    }


def _scores(
    model: Ridge, rows: Sequence[Record], rewards: Mapping[str, float], words: int
) -> dict[str, float]:
    scored = [row for row in rows if row["id"] in rewards]  # the others were too long
    found = model.predict(_features(scored, rewards, words))
    return {row["id"]: float(score) for row, score in zip(scored, found, strict=True)}


def _by_temperature(
    rows: Sequence[Record], values: Mapping[str, float], seed: int
) -> dict[str, Estimate]:
    """The mean over prompts of the mean over samples, at each temperature."""
    found = {}
    for temperature in sorted({row["temperature"] for row in rows}, reverse=True):
        by_prompt: dict[str, list[float]] = {}
        for row in rows:
            if row["temperature"] == temperature and row["id"] in values:
                by_prompt.setdefault(row["prompt_id"], []).append(values[row["id"]])
        means = [sum(each) / len(each) for _, each in sorted(by_prompt.items())]
        is_share = set(means) <= {0.0, 1.0}  # of prompts: a bootstrap has no width at none or all
        estimate = proportion([m == 1 for m in means]) if is_share else mean(means, seed)
        found[f"{temperature:g}"] = estimate
    return found


def _figure(measured: Measured, consumed: Mapping[str, int], note: str) -> Figure:
    way = on_the_way(consumed)
    xs = [consumed[policy] for policy in way]
    styles = {"1": (BLUE, "o", "-"), "0": (VERMILION, "D", "--")}
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 2.3 * len(measured) + 0.8), layout="constrained")
        panels = figure.subplots(len(measured), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (measure, by_policy) in zip(panels, measured.items(), strict=True):
            for temperature, (color, marker, line) in styles.items():
                estimates = [by_policy[policy][temperature] for policy in way]
                style = {"color": color, "marker": marker, "linestyle": line}
                curve(axes, xs, estimates, label=f"T = {temperature}", **style)
            level_line(axes, by_policy[HELPFUL_ONLY]["1"], "helpful-only, T = 1", GREY)
            axes.set_title(measure)
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        panels[0].legend(fontsize=7.5, loc="best")
        panels[-1].set_xlabel("RL training sequences (SL-CAI at 0)")
        frame(figure, TITLE, note)
    return figure


def _rows(measured: Measured) -> Rows:
    return [
        [measure, policy, temperature, *estimate]
        for measure, by_policy in measured.items()
        for policy, found in by_policy.items()
        for temperature, estimate in found.items()
    ]


def _described(measured: Measured) -> str:
    return " ".join(
        f"{measure}, T = {temperature}: "
        + ", ".join(
            f"{policy_label(policy)} {found[temperature].value:.2f}"
            for policy, found in by_policy.items()
        )
        + "."
        for measure, by_policy in measured.items()
        for temperature in ("1", "0")
    )
