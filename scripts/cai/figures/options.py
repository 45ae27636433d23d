"""What a figure's program is given of the run: the seed, the figure's settings, what is missing."""

import argparse
import json

from cai.core.errors import UserError
from cai.files.records import Record


def figure_options(text: str) -> Record:
    """An argparse ``type``: a JSON object with a seed, as the rules give it."""
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"option --options: not JSON ({error}), found {text!r}") from None
    if not isinstance(options, dict) or not isinstance(options.get("seed"), int):
        raise UserError(f'option --options: expected an object with a "seed", found {text!r}')
    return options


def add_fact_options(parser: argparse.ArgumentParser) -> None:
    """The options ``--missing`` and ``--facts``."""
    add_missing_option(parser)
    parser.add_argument(
        "--facts", type=_object, default={}, metavar="JSON", help="of the settings, for the JSON"
    )


def add_missing_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--missing``: what the run has nothing for, with why."""
    parser.add_argument(
        "--missing", type=_object, default={}, metavar="JSON", help="what is not there: why"
    )


def _object(text: str) -> Record:
    """An argparse ``type``: a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"expected a JSON object ({error}), found {text!r}") from None
    if not isinstance(value, dict):
        raise UserError(f"expected a JSON object, found {text!r}")
    return value
