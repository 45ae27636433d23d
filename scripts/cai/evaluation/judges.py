"""How the run's own judge is asked about HHH comparisons: as it is, and with chain of thought."""

from cai.digests import canonical_json
from cai.judging.settings import AnyJudge, ChatJudge, LogprobJudge, Pairwise, PairwiseChat
from cai.settings import Settings

JUDGE, REASONING, AVERAGED = "judge", "reasoning", "reasoning_averaged"
METHODS = {
    JUDGE: "judge",
    REASONING: "judge with chain of thought",
    AVERAGED: "chain of thought, averaged over samples",
}


def hhh_principles(settings: Settings, preferences: list[str]) -> list[str]:
    """What stands for the constitution: the one HHH question, or the preference principles."""
    question = settings.evaluations.principle
    return [canonical_json({"id": "hhh", "preference": question})] if question else preferences


def judges(settings: Settings, principles: int) -> dict[str, AnyJudge]:
    """The judges of HHH comparisons by method; none if the run's judge is a coin.

    A judge of drawn principles is asked under all of them: the answer under the one that would be
    drawn alone is among them (:func:`cai.evaluation.accuracy.drawn_alone`).

    Args:
        principles: the number of those that are asked about.
    """
    own = settings.judge
    if not isinstance(own, LogprobJudge | ChatJudge):
        return {}
    many = {"reasoning": None, "samples": 1}
    pairwise = own if isinstance(own, LogprobJudge) else own.pairwise
    if pairwise is not None and pairwise.constitution == "drawn":
        many["principles_per_comparison"] = principles
    found = {JUDGE: _with(own, many) if pairwise is not None else own}
    reasoning, samples = settings.evaluations.reasoning, settings.evaluations.samples
    if reasoning is not None:
        found[REASONING] = _with(own, {"reasoning": reasoning, "samples": 1})
        found[AVERAGED] = _with(own, {"reasoning": reasoning, "samples": samples})
    return found


def why_not(settings: Settings, method: str) -> str | None:
    """Why a method is not there; None if it is."""
    if not isinstance(settings.judge, LogprobJudge | ChatJudge):
        return "the run's judge is a coin (preferences.judge: random)"
    return None if method == JUDGE else settings.evaluations.why_not("reasoning")


def _with(judge: LogprobJudge | ChatJudge, changes: dict[str, object]) -> AnyJudge:
    """The judge with other settings of how pairs are asked about, checked again."""
    pairwise: Pairwise | None = judge if isinstance(judge, LogprobJudge) else judge.pairwise
    asked = (pairwise or PairwiseChat()).model_dump() | changes
    if isinstance(judge, LogprobJudge):
        return LogprobJudge.model_validate(asked)
    return ChatJudge.model_validate(judge.model_dump() | {"pairwise": asked})


def facts(settings: Settings, *sets: str) -> dict[str, object]:
    """What a figure from these sets depends on, for its JSON."""
    evaluations = settings.evaluations
    sources = {name: getattr(evaluations, name) for name in sets}
    own = settings.judge
    return {
        "sets": {
            name: {"source": source.label, "revision": source.revision}
            for name, source in sources.items()
            if source is not None
        },
        "limit": evaluations.limit,
        "seed": settings.seed,
        "judge": settings.preferences.judge if own is None else own.model_dump(mode="json"),
        "question": evaluations.principle or "the constitution's principles",
    }
