"""Elo ratings of policies from their matches, with intervals over prompts.

A match is a comparison of two policies' answers to a prompt; its score is 1 if the first won, 0 if
it lost, and a number between counts as that share of a win: a tie is half a win, a judge's
probability an expected win. Ratings are the maximum of Bradley and Terry's likelihood on Elo's
scale, where 400 points are odds of 10 to 1.

Sources: Bradley and Terry, "Rank analysis of incomplete block designs", 1952; Elo's scale as in
Askell et al., "A general language assistant as a laboratory for alignment", 2021, section 2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy

from cai.statistics.intervals import LEVEL, Estimate

SCALE = 400 / math.log(10)  # Elo points for one unit of log-odds
PRIOR = 0.5  # drawn matches added to each pair that met: the ratings of a perfect winner are finite
RESAMPLES = 1000
STEPS = 50  # of Newton's method, which needs some five
LONGEST = 2.0  # log-odds, of one step
CLOSE = 1e-9  # log-odds
DIGITS = 6  # of a rating, in Elo points: those after them are the solver's rounding errors


class Match(NamedTuple):
    """A comparison of two players on one prompt; ``score`` in [0, 1] is the first one's."""

    prompt: str
    first: str
    second: str
    score: float


def elo_ratings(
    matches: Sequence[Match],
    players: Sequence[str],
    anchor: str,
    seed: int,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """The rating of each player in Elo points, the anchor's being 0.

    Intervals are percentiles of a bootstrap over prompts: all matches on a prompt are drawn
    together, since they share its difficulty and its answers. ``n`` counts a player's matches.

    Raises:
        ValueError: if a player is not connected with the anchor by matches.
    """
    wins = _wins(matches, players)
    place = players.index(anchor)
    _check_connected(wins.sum(0), players, place)
    prior = PRIOR * (
        wins.sum(0) + wins.sum(0).T > 0
    )  # the same of every resample: none falls apart
    rated = _points(_strengths(wins.sum(0), prior, place))
    draws = numpy.random.default_rng(seed)
    prompts = len(wins)
    weights = draws.multinomial(prompts, numpy.full(prompts, 1 / prompts), size=resamples)
    drawn = _points(_strengths(numpy.tensordot(weights, wins, 1), prior, place))
    low, high = numpy.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    counts = [sum(player in match[1:3] for match in matches) for player in players]
    return {
        player: Estimate(counts[i], float(rated[i]), float(low[i]), float(high[i]))
        for i, player in enumerate(players)
    }


def _points(strengths: numpy.ndarray) -> numpy.ndarray:
    """Log-odds as Elo points, of any shape."""
    return numpy.round(SCALE * strengths, DIGITS)


def _wins(matches: Sequence[Match], players: Sequence[str]) -> numpy.ndarray:
    """Wins of the player in a row over the one in a column, by prompt: [prompts, k, k]."""
    prompts = {prompt: i for i, prompt in enumerate(sorted({match.prompt for match in matches}))}
    places = {player: i for i, player in enumerate(players)}
    wins = numpy.zeros((len(prompts), len(players), len(players)))
    for prompt, first, second, score in matches:
        wins[prompts[prompt], places[first], places[second]] += score
        wins[prompts[prompt], places[second], places[first]] += 1 - score
    return wins


def _check_connected(wins: numpy.ndarray, players: Sequence[str], anchor: int) -> None:
    met = (wins + wins.T) > 0
    reached = numpy.arange(len(players)) == anchor
    for _ in players:
        reached = reached | met[reached].any(0)
    if not reached.all():
        lost = ", ".join(numpy.array(players)[~reached])
        raise ValueError(f"no matches lead from {players[anchor]} to {lost}")


def _strengths(wins: numpy.ndarray, prior: numpy.ndarray, anchor: int) -> numpy.ndarray:
    """Log-odds of players against the anchor, by Newton's method: [..., k, k] to [..., k].

    Of all tables of wins at once; ``prior`` holds the drawn matches added to each pair, [k, k]. The
    likelihood is concave.
    """
    games = wins + numpy.swapaxes(wins, -1, -2)
    wins, games = wins + prior / 2, games + prior
    free = numpy.arange(wins.shape[-1]) != anchor
    strengths = numpy.zeros(wins.shape[:-1])
    for _ in range(STEPS):
        gaps = strengths[..., :, None] - strengths[..., None, :]
        chance = 1 / (1 + numpy.exp(-gaps))
        slope = (wins - games * chance).sum(-1)
        spread = games * chance * (1 - chance)
        curvature = spread.sum(-1)[..., None] * numpy.eye(len(free)) - spread
        step = numpy.linalg.solve(curvature[..., free, :][..., free], slope[..., free, None])[
            ..., 0
        ]
        strengths[..., free] += numpy.clip(step, -LONGEST, LONGEST)
        if numpy.abs(step).max(initial=0) < CLOSE:
            break
    return strengths
