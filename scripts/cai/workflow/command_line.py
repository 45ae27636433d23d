"""What Snakemake reads of its command line before the workflow: configuration files, ``--config``.

Snakemake reports a mistake in them without the file's name, or with a stack trace. So they are read
first: by the profiles (profiles/check.py) and by every program that calls Snakemake.
"""

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.files.documents import read_yaml, repeated_name
from cai.settings.origins import read_layer

CONFIG = "config/config.yaml"  # of every run
FILES, VALUES = ("--configfile", "--configfiles"), ("--config", "-C")
PROFILES = ("--profile", "--workflow-profile")
TEXTS = ("results", "constitution", "experiment", "against")  # fields that are names or paths
NAME = re.compile(r"[A-Za-z_][\w-]*\w=")  # of Snakemake's own: two letters or more
DOCUMENTS = (".yaml", ".yml", ".json")


def check(arguments: Sequence[str]) -> None:
    """Check the configuration files and the values that arguments of Snakemake name.

    Raises:
        UserError: file and line, or the value that is none.
    """
    for option, values in _given(arguments):
        fail_if(not values, f"{option}: found nothing after it")
        if option in VALUES:
            _check_once(values)
        for value in values:
            _check_file(option, value) if option in FILES else _check_value(option, value)


def as_written(config: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """What Snakemake has read of ``--config``, but names and paths as they are written.

    It reads what Python takes for a number as one: 007, 1e3, and 2025_06_01, which is a date to
    people. Source: ``parse_config`` of snakemake.cli.

    Args:
        config: what Snakemake has read.
        given: the words after ``--config``.

    Raises:
        UserError: a field that is given twice.

    >>> as_written({"experiment": 20250601, "seed": 1}, ["experiment=2025_06_01", "seed=1"])
    {'experiment': '2025_06_01', 'seed': 1}
    """
    _check_once(given)
    texts = dict(word.split("=", 1) for word in given if word.partition("=")[0] in TEXTS)
    changed = {name: text for name, text in texts.items() if not isinstance(config[name], str)}
    return {**config, **changed}


def _check_once(given: Iterable[str]) -> None:
    """Refuse a field twice, of which Snakemake would take the last one."""
    seen = set()
    for name, equals, value in (word.partition("=") for word in given):
        fail_if(equals and name in seen, f"--config: {name}: found twice; accepted: once")
        seen.add(name)
        if repeated := repeated_name(value):
            raise UserError(f"--config: {name}: {repeated}; accepted: once")


def separated(arguments: Sequence[str]) -> list[str]:
    """Arguments of Snakemake in which no configuration file's option takes a target for a file.

    >>> separated(["--configfile", "x.yaml", "results/rl_cai.nemo", "-n"])
    ['--configfile', 'x.yaml', '-n', '--', 'results/rl_cai.nemo']
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept: list[str] = []
    targets: list[str] = []
    option = ""
    for argument in arguments[:end]:
        option = argument if argument.startswith("-") else option
        first = bool(kept) and kept[-1] == option
        if argument == option or option not in FILES or first or argument.endswith(DOCUMENTS):
            kept.append(argument)
        else:
            targets.append(argument)
    targets += arguments[end + 1 :]
    return [*kept, "--", *targets] if targets else kept


def warnings(arguments: Sequence[str]) -> list[str]:
    """A line for a profile's configuration files, if ``--configfile`` takes their place unsaid."""
    files = [name for _, values in _given(arguments, FILES) for name in values]
    found = []
    for option, values in _given(arguments, PROFILES):
        own = [name for profile in values for name in _configfiles(profile)]
        if (
            files
            and own
            and not set(map(os.path.normpath, own)) & set(map(os.path.normpath, files))
        ):
            both = " ".join([*own, *files])
            found.append(
                f"warning: --configfile {' '.join(files)} takes the place of {' '.join(own)} of "
                f"{option} {values[0]}; with both: --configfile {both}, or as an experiment over "
                "it, see docs/experiments.md"
            )
    return found


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Give a program Snakemake's two options that name a configuration."""
    parser.add_argument(
        "--configfile", nargs="+", default=[], metavar="FILE", help=f"files over {CONFIG}"
    )
    parser.add_argument(
        "--profile", metavar="FOLDER", help="a profile, such as profiles/demo: its configuration"
    )


def configuration(options: argparse.Namespace) -> list[str]:
    """The configuration files of :func:`add_configuration`, as Snakemake would take them.

    Raises:
        UserError: there is no such profile.
    """
    profile = options.profile
    fail_if(
        profile and not Path(profile, "config.yaml").is_file(),
        f"--profile: {profile}: has no config.yaml; accepted: a folder such as profiles/demo",
    )
    own = _configfiles(profile) if profile and not options.configfile else []
    return [CONFIG, *own, *options.configfile]


def _configfiles(profile: str) -> list[str]:
    """The configuration files that a profile of this folder names."""
    path = Path(profile, "config.yaml")
    fields = read_yaml(str(path)) if path.is_file() else None
    if not isinstance(fields, dict):
        return []
    given = fields.get("configfile") or fields.get("configfiles") or []
    return [str(name) for name in (given if isinstance(given, list) else [given])]


def _check_file(option: str, value: str) -> None:
    fail_if(
        not value.endswith(DOCUMENTS),
        f"{option}: found {value}; accepted: files that end in {', '.join(DOCUMENTS)} (what is to "
        "be made comes after --)",
    )
    fail_if(not read_layer(value).fields, f"{value}: expected fields with values, found none")


def _check_value(option: str, value: str) -> None:
    fail_if(
        not NAME.match(value),
        f"{option}: found {value!r}; accepted: NAME=VALUE, with a field of the first level, such "
        "as 'supervised={rounds: 2}' (targets come after --)",
    )


def _given(
    arguments: Iterable[str], options: Sequence[str] = (*FILES, *VALUES)
) -> Iterator[tuple[str, list[str]]]:
    """Each of these options with its values, which end at the next option."""
    option, values = "", []
    for argument in [*arguments, "--"]:
        if not argument.startswith("-"):
            values.append(argument)
            continue
        if option in options:
            yield option, values
        option, equals, value = argument.partition("=")
        values = [value] if equals else []
        if argument == "--":
            return
