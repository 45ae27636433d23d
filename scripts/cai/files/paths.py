"""Paths that a user writes into a configuration: what is filled in, and what is refused.

``~`` and ``$NAME`` mean what they mean in a shell. They are filled in once, where the configuration
is read: every job gets the filled-in path, and no other program sees the sign.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cai.core.errors import UserError, fail_if

# The fields of a configuration that hold paths, wherever they are.
FIELDS = {
    *("results", "constitution", "few_shot", "source", "classifier", "vocabulary"),
    *("python", "root", "aligner_root"),
}
VARIABLE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)
# Snakemake takes braces for wildcards and <name> for its own folders; a line break ends a name.
NOT_CARRIED = re.compile(r"[{}<>\x00-\x1f\x7f]")


def expanded(path: str) -> str:
    """The path with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` filled in; ``$$`` is one ``$``.

    A ``$`` before anything else stands for itself.

    >>> expanded("cost$/a$$b")
    'cost$/a$b'

    Raises:
        ValueError: there is no such variable or user.
    """
    home = os.path.expanduser(path)
    if path.startswith("~") and home == path:
        raise ValueError(f"there is no user {path.split('/')[0]}; ./~ is a file of that name")

    def fill(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = found[2] or found[3]
        if not os.environ.get(name):
            raise ValueError(
                f"the environment has no variable {name}; accepted: a variable that is set, or "
                f"$$ for a dollar sign of the path itself"
            )
        return os.environ[name]

    return VARIABLE.sub(fill, home)


def check_is_file(path: Path, field: str, accepted: str) -> None:
    """Refuse a path where no file is, or a folder.

    Raises:
        UserError: with the field, and what is accepted there.
    """
    fail_if(path.is_dir(), f"{field}: found {path}, a folder; accepted: {accepted}")
    fail_if(not path.is_file(), f"{field}: {path}: no such file")


def carried(path: str) -> str:
    """A folder for the workflow's own files, in its shortest form, if Snakemake can carry its name.

    Raises:
        ValueError: it cannot.
    """
    path = os.path.normpath(path)
    if found := _not_carried(path):
        raise ValueError(found)
    return path


def check_carried(field: str, files: Iterable[Path]) -> None:
    """Check that Snakemake can carry the names of a job's input files.

    Raises:
        UserError: with the field that names them.
    """
    for path in files:
        if found := _not_carried(str(path)):
            raise UserError(f"{field}: {found}, found {str(path)!r}")


def _not_carried(path: str) -> str:
    sign = NOT_CARRIED.search(path)
    if sign:
        return (
            f"{sign[0]!r} is in it, which Snakemake cannot carry in a path; accepted: all but "
            "braces, < and >, and control characters"
        )
    return "it begins with '-', as an option does" if path.startswith("-") else ""


def with_paths(config: Any, source: str, field: str = "") -> Any:
    """A configuration with its paths :func:`expanded`; NeMo's overrides stay as they are.

    Raises:
        UserError: the source, the field, and what cannot be filled in.
    """
    if isinstance(config, list):
        return [with_paths(item, source, f"{field}.{i}") for i, item in enumerate(config)]
    if isinstance(config, dict):
        return {
            key: item
            if key == "overrides"
            else with_paths(item, source, f"{field}.{key}" if field else str(key))
            for key, item in config.items()
        }
    if not isinstance(config, str) or field.rpartition(".")[2] not in FIELDS:
        return config
    try:
        return expanded(config)
    except ValueError as error:
        raise UserError(f"{source}: {field}: {error}, found {config!r}") from None


def complaints(folder: Path) -> list[str]:
    """What is wrong with the folder in which the workflow runs, if anything."""
    sign = NOT_CARRIED.search(str(folder))
    if not sign:
        return []
    return [
        f"{folder}: found {sign[0]!r} in the name of this folder, which neither Snakemake nor "
        "NeMo's configurations can carry; move the project to a folder without it"
    ]
