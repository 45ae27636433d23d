"""What a figure's program is given of the run: the seed, and the figure's settings."""

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
