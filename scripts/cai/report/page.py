"""Pages: one HTML file each, which needs nothing else, runs nothing and asks no network."""

from pathlib import Path
from typing import Any

import jinja2

from cai.core.shown import shown


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates beside this file; texts are escaped, a missing value fails."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    return environment.get_template(template).render(**values)


def _harmless(value: Any) -> Any:
    """A value that is put into a page, without the characters that a page must not hold."""
    return type(value)(shown(value)) if isinstance(value, str) else value
