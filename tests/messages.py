"""Messages without their wording: a test names the parts that a reader looks for.

The parts are the file, the field, what was found and what is accepted. The words between them may
be put in another way without a change of the tests.
"""

import re


def pattern(parts: str) -> str:
    """A regular expression for parts that "…" separates, in this order and in one line."""
    return ".*".join(re.escape(part) for part in re.split(r"\s*…\s*", parts))


def says(text: str, parts: str) -> bool:
    """Whether one line of a text has all the parts, in this order.

    ``says("seed: must be 0 or more, found -1", "seed: … 0 … found -1")`` is true.
    """
    return re.search(pattern(parts), text) is not None
