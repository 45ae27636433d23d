"""What a figure's program is told of the run: the seed, and the figure's settings."""

import json

from cai.core.errors import UserError, fail_if
from cai.files.records import Record


def figure_options(text: str) -> Record:
    """An argparse ``type``: a JSON object with a seed, as the rules give it."""
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"option --options: not JSON ({error}), found {text!r}") from None
    given = isinstance(options, dict) and isinstance(options.get("seed"), int)
    fail_if(not given, f'option --options: expected an object with a "seed", found {text!r}')
    return options
