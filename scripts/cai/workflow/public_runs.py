"""What the figures from public sets are made of: the sets, and how the run's own judge is asked."""

from collections.abc import Iterable

from cai.core.digests import canonical_json
from cai.evaluation import prompt_sets
from cai.judging.rubrics import Rubric, load_rubric
from cai.settings.configuration import Settings
from cai.settings.judges import AnyJudge, ChatJudge, LogprobJudge, Pairwise, PairwiseChat

SETS = {  # and the kind of their records, see cai.evaluation.public_sets
    "hhh_438": "comparisons",
    "hhh_221": "comparisons",
    "hh_rlhf": "comparisons",
    "reward_bench": "comparisons",
    "harm_binary": "questions",
    "harm_kinds": "questions",
    "xstest": "prompts",
    "or_bench_hard": "or_bench",
    "sorry_bench": "sorry_bench",
    "harmbench": "harmbench",
}
PROMPT_SETS = tuple(prompt_sets.NAMES)
RUBRIC = "rubric"
JUDGED_SETS = ("hhh_438", "hhh_221")
COMPARED = {"fig04": "hhh_438", "fig11": "hhh_221", "human_preferences": "hh_rlhf"}
TITLES = {
    "fig04": "HHH evaluations: who recognises the better answer (Fig. 4)",
    "fig11": "BIG-bench HHH: who recognises the better answer (Fig. 11)",
    "human_preferences": "Human preferences: does the reward model share them?",
}
JUDGE, REASONING, AVERAGED = "judge", "reasoning", "reasoning_averaged"
METHODS = {
    JUDGE: "judge",
    REASONING: "judge with chain of thought",
    AVERAGED: "chain of thought, averaged over samples",
}


def hhh_principles(settings: Settings, preferences: list[str]) -> list[str]:
    """What replaces the constitution: the one HHH question, or the preference principles."""
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
    many: dict[str, object] = {"reasoning": None, "samples": 1}
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


def facts(settings: Settings, *sets: str) -> str:
    """What a figure from these sets depends on, as JSON."""
    evaluations, own = settings.evaluations, settings.judge
    sources = {name: getattr(evaluations, name) for name in used(settings, *sets)}
    return canonical_json(
        {
            "sets": {
                name: {"source": source.label, "revision": source.revision}
                for name, source in sources.items()
            },
            "limit": evaluations.limit,
            "seed": settings.seed,
            "judge": own.model_dump(mode="json"),
            "question": evaluations.principle or "the constitution's principles",
        }
    )


def used(settings: Settings, *sets: str) -> list[str]:
    """Those of the sets that the settings name."""
    return [name for name in sets if getattr(settings.evaluations, name) is not None]


def missing(settings: Settings, *sets: str) -> str:
    """What is not there (sets; of judged ones, methods of judging) with why, as JSON."""
    why = {name: _why_missing(settings, name) for name in sets}
    if any(name in JUDGED_SETS for name in sets):
        why |= {label: why_not(settings, method) for method, label in METHODS.items()}
    return canonical_json({what: text for what, text in why.items() if text})


def _why_missing(settings: Settings, name: str) -> str | None:
    coin = name == RUBRIC and why_not(settings, JUDGE)
    return settings.evaluations.why_not(name) or coin or None


def rubric_of(settings: Settings) -> Rubric | None:
    """The rubric by which answers are graded; None where they are not.

    Raises:
        UserError: the file's first mistake.
    """
    path = settings.evaluations.rubric
    rubric = load_rubric(path) if path else None
    return rubric if isinstance(settings.judge, LogprobJudge | ChatJudge) else None


def rewards_of(settings: Settings, name: str) -> list[str]:
    """The file of the reward model's scores of a set of comparisons, if the set is there."""
    return [_file(settings, name, "rewards") for name in used(settings, name)]


def judged_of(settings: Settings, name: str, methods: Iterable[str]) -> list[str]:
    """The files of the verdicts on a set of comparisons by each method, if the set is judged."""
    if name not in JUDGED_SETS or not used(settings, name):
        return []
    return [_file(settings, name, method) for method in methods]


def _file(settings: Settings, name: str, what: str) -> str:
    return f"{settings.results}/evaluation/comparisons/{name}.{what}.jsonl"
