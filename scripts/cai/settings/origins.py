"""Where each field of a merged configuration comes from: which of its files, or ``--config``."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from cai.core.errors import fail_if
from cai.files.documents import read_yaml

COMMAND_LINE = "--config"
UNTOLD = "configuration: "  # what messages begin with that know no file
FIELD = re.compile(r"(?P<field>[A-Za-z_][\w.\[\]-]*): (?:(?P<key>[~+]*[\w.]+): )?")


# What belongs to a source, of records or of a model: not to another one that takes its place.
OF_A_SOURCE = ("revision", "sha256", "data_dir", "records", "shape", "vocabulary")


class Layer(NamedTuple):
    """Fields, and what gives them."""

    source: str
    fields: Mapping[str, Any]


class Origins:
    """The layers of a configuration; a later one's fields win over an earlier one's.

    Attributes:
        layers: in their order.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = list(layers)

    @classmethod
    def of(cls, files: Sequence[Path | str], config: Mapping[str, Any] | None = None) -> "Origins":
        """Read configuration files; ``config`` is what ``--config`` gives.

        Raises:
            UserError: file and line of what is no YAML, or no mapping.
        """
        layers = [read_layer(path) for path in files]
        return cls([*layers, *([Layer(COMMAND_LINE, config)] if config else [])])

    def above(self, layer: Layer) -> "Origins":
        """These, and one layer over them."""
        return Origins([*self.layers, layer])

    def merged(self) -> dict[str, Any]:
        """The configuration that the layers make, see :func:`merge`."""
        return reduce(merge, (layer.fields for layer in self.layers), {})

    def with_source(self, line: str) -> str:
        """A message that begins with a field, with the source of the field before it.

        Other messages, such as those that begin with a file, stay as they are.
        """
        line = line.removeprefix(UNTOLD)
        match = FIELD.match(line)
        if not match:
            return line
        path = match["field"].split(".")
        known = any(path[0] in layer.fields for layer in self.layers)
        if not known or Path(match["field"]).is_file():
            return line
        return f"{self._origin(path, match['key'])}: {line}"

    def _origin(self, path: Sequence[str], key: str | None) -> str:
        """Of the layers that give most of a field's path, the last one."""
        depths = [_depth(layer.fields, path, key) for layer in self.layers]
        deepest = max(depths)
        last = max(i for i, depth in enumerate(depths) if depth == deepest)
        return self.layers[last].source


def read_layer(path: Path | str) -> Layer:
    """One configuration file, named as a user would in this folder.

    Raises:
        UserError: file and line of what is no YAML, or no mapping.
    """
    here = Path(os.path.relpath(path))
    name = str(path if here.parts[:1] == ("..",) else here)
    fields = read_yaml(name)
    fields = {} if fields is None else fields
    found = type(fields).__name__
    fail_if(not isinstance(fields, dict), f"{name}: expected fields with values, found {found}")
    return Layer(name, fields)


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings as Snakemake merges configuration files; lists are replaced.

    Where the second one changes a `source`, the fields that belong to the first one's source
    (:data:`OF_A_SOURCE`) go with it; those that the second one gives itself stay.

    >>> merge({"source": "some/model", "revision": "0af1"}, {"source": "my/model/"})
    {'source': 'my/model/'}
    """
    merged = dict(first)
    if "source" in first and second.get("source", first["source"]) != first["source"]:
        merged = {key: value for key, value in first.items() if key not in OF_A_SOURCE}
    for key, value in second.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _depth(fields: Any, path: Sequence[str], key: str | None) -> int:
    """How many parts of a path, and of an override's key at its end, are there."""
    for depth, part in enumerate(path):
        if isinstance(fields, list):
            fields = {str(number): item for number, item in enumerate(fields)}
        if not isinstance(fields, Mapping) or part not in fields:
            return depth
        fields = fields[part]
    keys = {str(name).lstrip("+~") for name in fields} if isinstance(fields, Mapping) else set()
    return len(path) + (key is not None and key.lstrip("+~") in keys)
