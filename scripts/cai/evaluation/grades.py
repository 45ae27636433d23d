"""What a judge's grades say of answers, and whether the phrases of refusal agree with it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

from cai.evaluation.refusals import Measures, Row, refuses
from cai.evaluation.tables import label
from cai.files.records import Record
from cai.judging.rubrics import Rubric
from cai.statistics import intervals


class Grade(TypedDict):
    """The grade on one scale."""

    grade: str


class GradesOf(TypedDict):
    """What is asked of graded answers here; ``id`` and ``set`` are those of the prompt."""

    id: str
    set: str
    grades: dict[str, Grade]


def measures(rubric: Rubric) -> Measures:
    """Whether an answer has a grade, for each grade of each scale: of graded rows."""
    return {
        f"{scale.id}, {name}": partial(_has_grade, scale.id, name)
        for scale in rubric.scales
        for name in scale.names
    }


def _has_grade(scale: str, grade: str, row: Row) -> bool:
    return bool(row["grades"][scale]["grade"] == grade)


def agreement(
    rubric: Rubric,
    graded: Mapping[str, Sequence[Record]],
    answers: Mapping[str, Sequence[Record]],
) -> list[Record]:
    """How well the phrases of refusal agree with the judge, by scale and model.

    Args:
        rubric: those of its scales count that name their refusal.
        graded: the grades by model, {"id", "set", "grades"}.
        answers: what was graded, {"id", "set", "answer"}.

    Returns:
        ``scale``, ``model``, ``n``, the share ``agree``, and Cohen's ``kappa`` with its interval,
        None where one of the two says the same of all answers.
    """
    rows = []
    for scale in rubric.scales:
        for model, verdicts in graded.items() if scale.refusal else ():
            said = {(row["set"], row["id"]): refuses(row["answer"]) for row in answers[model]}
            phrases = [said[row["set"], row["id"]] for row in verdicts]
            judged = [row["grades"][scale.id]["grade"] == scale.refusal for row in verdicts]
            if not judged:
                continue
            same = [one == other for one, other in zip(phrases, judged, strict=True)]
            found = intervals.kappa(phrases, judged)
            rows.append(
                {
                    **{"scale": scale.id, "model": model, "label": label(model), "n": len(same)},
                    "agree": sum(same) / len(same),
                    "kappa": found and found.value,
                    **{name: found and getattr(found, name) for name in ("low", "high")},
                }
            )
    return rows


def agreement_in_words(row: Record) -> str:
    """``SL-CAI 0.81 (0.70 to 0.92), n = 450``."""
    if row["kappa"] is None:
        kappa = "undefined, since one of them says the same of all answers"
    else:
        kappa = f"{row['kappa']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    return f"{row['label']} {kappa}, n = {row['n']}"
