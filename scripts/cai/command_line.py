"""What Snakemake reads of its command line before the workflow: configuration files, ``--config``.

It tells a mistake in them without the file's name, or with a stack trace, so they are read first:
by the profiles (profiles/check.py) and by every program that calls Snakemake.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from cai.errors import fail_if
from cai.origins import read_layer

FILES, VALUES = ("--configfile", "--configfiles"), ("--config", "-C")
NAME = re.compile(r"[A-Za-z_][\w-]*\w=")  # of Snakemake's own: two letters or more
DOCUMENTS = (".yaml", ".yml", ".json")


def check(arguments: Sequence[str]) -> None:
    """Check the configuration files and the values that arguments of Snakemake name.

    Raises:
        UserError: file and line, or the value that is none.
    """
    for option, values in _given(arguments):
        fail_if(not values, f"{option}: found nothing after it")
        for value in values:
            _check_file(option, value) if option in FILES else _check_value(option, value)


def _check_file(option: str, value: str) -> None:
    fail_if(
        not value.endswith(DOCUMENTS),
        f"{option}: found {value}; accepted: files that end in {', '.join(DOCUMENTS)} (what is to "
        "be made stands after --)",
    )
    fail_if(not read_layer(value).fields, f"{value}: expected fields with values, found none")


def _check_value(option: str, value: str) -> None:
    fail_if(
        not NAME.match(value),
        f"{option}: found {value!r}; accepted: NAME=VALUE, with a field of the first level, such "
        "as 'supervised={rounds: 2}' (what is to be made stands after --)",
    )


def _given(arguments: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each of these options with its values, which end at the next option."""
    option, values = "", []
    for argument in [*arguments, "--"]:
        if not argument.startswith("-"):
            values.append(argument)
            continue
        if option in (*FILES, *VALUES):
            yield option, values
        option, equals, value = argument.partition("=")
        values = [value] if equals else []
        if argument == "--":
            return
