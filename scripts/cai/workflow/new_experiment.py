"""A new experiment: a copy of a constitution, with comments that say how to go on."""

import re
from pathlib import Path

from cai.core.errors import fail_if
from cai.files.records import write_text
from cai.settings.constitution import load_constitution
from cai.workflow import experiments

SCHEMA = re.compile(r"# yaml-language-server: .*\n")  # the path in it holds for one folder
HEADER = """\
# yaml-language-server: $schema=../../constitution.schema.json
# The constitution of the experiment {name}, to edit: a copy of {source}.
#
#   make plan EXPERIMENT={name}{more}      what it would run, and what that costs
#   make compare EXPERIMENT={name}{more}   run it, and show what it changed
#
# A principle has an id and texts: critique and revision (both or neither) ask the model to
# criticise and to rewrite its answer, preference asks the judge which of two answers is better. An
# edited preference runs the RL stage again, an edited critique or revision the supervised stage,
# too. A new principle, to begin with:
#
#   - id: my_principle
#     critique: ...
#     revision: ...
#     preference: ...

"""
SETTINGS = """\
# yaml-language-server: $schema=../../partial.schema.json
# Fields of the configuration in which the experiment {name} differs from the base run, beside its
# constitution; docs/configuration.md lists them all. Without the # these two would count:
# seed: 2
# preferences: {{judge: random}}
"""


def about(name: str) -> str:
    """What an experiment says of itself in the first comment of its constitution, or settings."""
    for file in reversed(experiments.files(name)):
        text = SCHEMA.sub("", file.read_text(encoding="utf-8"))
        if text.startswith("#"):
            return text.partition("\n")[0].lstrip("# ")
    return ""


def create(name: str, source: Path, more: str = "") -> Path:
    """Make the folder of an experiment; one that is there stays as it is.

    Args:
        name: of the experiment.
        source: the constitution to copy.
        more: what follows the commands that are named in it, such as ``" PROFILE=slurm"``.

    Returns:
        the constitution to edit.

    Raises:
        UserError: this is no name for one, or an experiment of this name is a file.
    """
    experiments.check_name(name, "EXPERIMENT")
    single, folder = experiments.FOLDER / f"{name}.yaml", experiments.FOLDER / name
    fail_if(single.exists(), f"EXPERIMENT: found {single}: edit it, or take another name")
    own = folder / experiments.CONSTITUTION
    if own.exists():
        return own
    load_constitution(source)  # what is copied is sound
    words = {"name": name, "source": source, "more": more}
    text = SCHEMA.sub("", source.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / experiments.SETTINGS
    if not settings.exists():
        write_text(settings, SETTINGS.format(**words))
    write_text(own, HEADER.format(**words) + text)
    return own
