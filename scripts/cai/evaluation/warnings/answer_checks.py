"""The checks for collapse and boilerplate of files of answers, each against the stage before."""

from collections.abc import Sequence
from pathlib import Path

from cai.evaluation.tables import label, stages
from cai.evaluation.warnings import stage_warnings
from cai.evaluation.warnings.stage_warnings import Check, Texts
from cai.files.records import read_records
from cai.steps.answers import Answered


def answer_checks(paths: Sequence[Path], seed: int) -> list[Check]:
    """Each model's answers, by set of prompts, against those of the model before.

    Args:
        paths: of each model's answers, in the order of the stages; all last stages follow SL-CAI.
        seed: of the bootstrap.
    """
    models = {path.stem: by_set(path) for path in paths}
    return [
        check
        for before, name in stages(list(models))
        for part, after in models[name].items()
        for check in stage_checks(where(name, part), models[before].get(part, {}), after, seed)
    ]


def stage_checks(stage: str, before: Texts, after: Texts, seed: int) -> list[Check]:
    """All checks of texts against those of the stage before, by the same ids."""
    phrase = stage_warnings.boilerplate(stage, before, after, seed)
    return [*stage_warnings.collapse(stage, before, after, seed), *([phrase] if phrase else [])]


def by_set(path: Path) -> dict[str, dict[str, str]]:
    """The answers of a file by set of prompts and id."""
    sets: dict[str, dict[str, str]] = {}
    for row in read_records(path, Answered):
        sets.setdefault(row["set"], {})[row["id"]] = row["answer"]
    return sets


def where(model: str, part: str) -> str:
    """How a check names a model and a set of prompts."""
    return f"{label(model)}: {part} prompts"
