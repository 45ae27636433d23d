"""Experiments: runs that differ from a base run in some fields, and share files that do not differ.

An experiment is a folder ``config/experiments/NAME`` with its own ``constitution.yaml``, with any
fields of the configuration in a ``settings.yaml``, or with both; or it is a file of such fields,
``config/experiments/NAME.yaml``. What it makes is in ``experiments/NAME`` of the base run's
results. The workflow is a chain of parts; a part that is the same as in the base run is neither
made again nor copied: its files are the base run's own, which the experiment's rules name, and make
where they are missing.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cai.checks import preflight
from cai.core.changes import differing, flat
from cai.core.errors import fail_if
from cai.settings.configuration import Settings
from cai.settings.origins import Layer, Origins, merge, read_layer

FOLDER = Path("config/experiments")
BASE = "base"  # the name of the run that the experiments change
NAME = r"[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*"
CONSTITUTION, SETTINGS = "constitution.yaml", "settings.yaml"  # in an experiment's folder
COMMANDS = ("experiment", "against")  # given with --config, and no settings


class Places(NamedTuple):
    """The results folder in which each part of the workflow has its files, in their order.

    Attributes:
        pretrained: the models as they come, and as ``.nemo``.
        source: data and first responses: what no principle has touched.
        supervised: critiques, revisions, the SFT set and SL-CAI.
        candidates: what SL-CAI answers, to be compared.
        preference: comparisons and the reward model.
        results: PPO and DPO, evaluation, figures, report.
        base: no part: the results folder of the base run.
    """

    pretrained: str
    source: str
    supervised: str
    candidates: str
    preference: str
    results: str
    base: str


PARTS = Places._fields[:-1]

# The part that reads a setting first; what is not named here counts as read by the first part, so
# that a setting forgotten here costs a run, and never shares what differs.
FIRST_READ: dict[str, tuple[str, ...]] = {
    "source": (
        "seed",
        "datasets",
        "few_shot_of_responses",
        "evaluation.helpful",  # no training set may hold what it asks
        "lengths",
        "shards",
        "client",
        "server",
        "supervised",
        "models.base.template",
        "models.instruct.template",
        "nemo.root",
        "nemo.aligner_root",
        "nemo.overrides",
    ),
    "supervised": (
        "few_shot",
        "principles.supervised",
        "supervised.rounds",
        "supervised.critique",
        "supervised.revision",
        "supervised.train_on",
        "supervised.helpful_ratio",
        "supervised.validation_size",
        "lengths.sft",
        "nemo.overrides.sft",
    ),
    "candidates": ("preferences.temperatures", "preferences.candidate"),
    "preference": (
        "principles.preference",
        "preferences",
        "rl_options",
        "lengths.answer",
        "nemo.overrides.reward_model",
    ),
    "results": (
        "evaluation",
        "estimates",  # determines nothing
        "evaluations",
        "paper",
        "nemo.check",
        "nemo.overrides.critic",
        "nemo.overrides.actor",
        "policies",
        "dpo",
        "nemo.overrides.dpo",
        "nemo.overrides.reward_server",
    ),
}


class Checked(NamedTuple):
    """What :func:`~cai.checks.preflight.check` gives: settings and the texts of a run."""

    settings: Settings
    principles: dict[str, list[str]]
    few_shot: list[str]


class Run(NamedTuple):
    """A run that was checked, where its files are, and the base run that it changes."""

    settings: Settings
    principles: dict[str, list[str]]
    few_shot: list[str]
    at: Places
    base: Checked


def check(config: Mapping[str, Any]) -> Run:
    """Check the configuration, and the experiment that it names, see
    :func:`cai.checks.preflight.check`.

    Raises:
        UserError: file and field of the first mistake.
    """
    common = {key: value for key, value in config.items() if key not in COMMANDS}
    base = Checked(*preflight.check(common))
    results = base.settings.results
    name = str(config.get("experiment", BASE))
    if (other := str(config.get("against", BASE))) != BASE:
        overlay(other, "against")
    if name == BASE:
        return Run(*base, Places(*[results] * (len(PARTS) + 1)), base)
    layer = overlay(name)
    place = folder(common.get("results", results), name)  # as it is written, to be filled in once
    own = Checked(*preflight.check(merge(common, layer.fields) | {"results": place}, layer.source))
    return Run(*own, _places(base, own), base)


def check_compared(config: Mapping[str, Any], results: str, models: Iterable[str]) -> None:
    """Check that there are two runs to compare, of which the other one is finished.

    Args:
        config: with the names ``experiment`` and ``against``.
        results: the base run's folder.
        models: whose answers are compared.

    Raises:
        UserError: which run is missing, and what makes it.
    """
    name, other = (str(config.get(key, BASE)) for key in COMMANDS)
    fail_if(
        name == other,
        f"compare: expected two different runs, found {name!r} and {other!r}; name one with "
        f"--config experiment=NAME, and another than the base run with against=NAME",
    )
    if other != BASE:
        overlay(other)
    needed = ["report.json", *(f"evaluation/answers/{model}.jsonl" for model in models)]
    paths = [Path(folder(results, other), name) for name in needed]
    missing = [str(path) for path in paths if not path.is_file()]
    how = "make demo, or snakemake" if other == BASE else f"snakemake --config experiment={other}"
    fail_if(
        missing,
        f"compare: the run {other} is not finished, found no {', '.join(missing[:1])}; make it "
        f"first: {how} with the same profile",
    )


def names() -> list[str]:
    """The experiments that there are."""
    files = [path.stem for path in FOLDER.glob("*.yaml")]
    own = (path for file in (CONSTITUTION, SETTINGS) for path in FOLDER.glob(f"*/{file}"))
    folders = [path.parent.name for path in own]
    return sorted({name for name in [*files, *folders] if re.fullmatch(NAME, name)})


def files(name: str) -> list[Path]:
    """The files of an experiment that are there: its settings, its constitution."""
    own = (FOLDER / name / file for file in (SETTINGS, CONSTITUTION))
    return [path for path in (FOLDER / f"{name}.yaml", *own) if path.is_file()]


def check_name(name: str, field: str) -> None:
    """Refuse what cannot be the name of an experiment.

    Raises:
        UserError: ``field`` of the command line, and what is accepted.
    """
    fail_if(
        not re.fullmatch(NAME, name) or name == BASE,
        f"{field}: found {name!r}; accepted: letters, digits and _, with a single - or . between "
        f"them, but not {BASE!r}, the run that experiments change; there are: {_known()}",
    )


def overlay(name: str, field: str = "experiment") -> Layer:
    """The fields of an experiment, its own constitution among them; ``field`` names it.

    Raises:
        UserError: there is none of this name, or two; or its file is no YAML, or says too much.
    """
    check_name(name, field)
    own = FOLDER / name / CONSTITUTION
    settings = [path for path in files(name) if path != own]
    fail_if(
        not files(name),
        f"{field}: found no {own} and no {FOLDER / name}.yaml; there are: {_known()}; a new one: "
        f"make experiment EXPERIMENT={name}",
    )
    fail_if(
        len(settings) > 1,
        f"{' and '.join(map(str, settings))}: two files with fields of one experiment; "
        "accepted: one of them",
    )
    layer = _read(settings[0], name) if settings else Layer(str(own), {})
    if not own.is_file():
        return layer
    named = layer.fields.get("constitution", str(own))
    fail_if(
        Path(str(named)) != own,
        f"{layer.source}: constitution: found {named!r} beside {own}; accepted: one of them",
    )
    return Layer(layer.source, {**layer.fields, "constitution": str(own)})


def _known() -> str:
    return ", ".join(names()) or "none"


def folder(results: str, name: str) -> str:
    """Where a run's files are: those of the base run, or those of an experiment."""
    return results if name == BASE else f"{results}/experiments/{name}"


def origins(below: Origins, config: Mapping[str, Any]) -> Origins:
    """Where the fields of a run come from: the base run, or the experiment that replaces them."""
    name = str(config.get("experiment", BASE))
    return below if name == BASE else below.above(overlay(name))


def _read(path: Path, name: str) -> Layer:
    layer = read_layer(path)
    fail_if(
        "results" in layer.fields,
        f"{path}: results: found {layer.fields.get('results')!r}; accepted: none, an experiment's "
        f"are under experiments/{name} of the base run's",
    )
    return layer


def _places(base: Checked, own: Checked) -> Places:
    """The base run's folder up to the first part that differs, the own one from there on."""
    there, here = (dict(flat(_determining(*run))) for run in (base, own))
    different = {first_read(name) for name in differing(there, here)} | {PARTS[-1]}
    first = min(map(PARTS.index, different))
    shared, mine = base.settings.results, own.settings.results
    return Places(*([shared] * first + [mine] * (len(PARTS) - first) + [shared]))


def _determining(settings: Settings, principles: Any, few_shot: Any) -> dict[str, Any]:
    """All that a run depends on: files by what is in them, whatever their names."""
    fields = settings.model_dump(mode="json", exclude={"results", "constitution"})
    texts = {"principles": principles, "few_shot": few_shot}
    if settings.supervised.few_shot_first:
        texts["few_shot_of_responses"] = few_shot
    return fields | texts | {"rl_options": preflight.rl_options(settings)}


def first_read(name: str) -> str:
    """The part that reads a setting first; of names in :data:`FIRST_READ` the longest counts."""
    matches = [
        (len(prefix), part)
        for part, prefixes in FIRST_READ.items()
        for prefix in prefixes
        if f"{name}.".startswith(f"{prefix}.")
    ]
    return max(matches)[1] if matches else PARTS[0]
