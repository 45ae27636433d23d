"""A user's YAML and JSON files, all read here: ambiguity is refused with its line.

A name that occurs twice in one mapping is refused: YAML and JSON readers silently take the last
one, and a principle, a text or a limit is lost. JSON is JSON by the standard (RFC 8259), without
NaN and Infinity.
"""

import copy
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from cai.core.errors import UserError
from cai.core.texts import encodable

DEEPEST = 64  # levels of lists and objects
LARGEST = 1_000_000  # values of a YAML file, those of its aliases counted at each place
TWICE = "occurs twice"
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?\d[\d.eE+-]*|[{}\[\],:]', re.DOTALL)
COLON = re.compile(r"\s*:")


class NotJson(ValueError):
    """A text that is no JSON, or none that can be used; the message is the reason."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.line = line


class Flaw:
    """Stands in a decoded value where something stood that cannot be used."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    return Flaw(f"{next(name for name in names if names.count(name) > 1)!r} occurs twice")


def _number(text: str) -> Any:
    value = float(text)
    return value if math.isfinite(value) else Flaw(f"{text[:20]} is out of range")


def _whole_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:  # Python reads 4,300 digits
        return Flaw(f"a number of {len(text)} digits")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_number,
    parse_int=_whole_number,
    parse_constant=lambda name: Flaw(f"{name} is no number of JSON"),
)


def decode(raw: bytes | str) -> Any:
    """Decode JSON; what cannot be used is a :class:`Flaw` at its place, see :func:`flaw_in`.

    Raises:
        NotJson: it is no JSON, or no UTF-8.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
        return _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise NotJson(f"not text in UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise NotJson(error.msg, error.lineno) from None
    except RecursionError:
        raise NotJson(f"nested deeper than {DEEPEST} levels") from None


def flaw_in(value: Any, level: int = 0) -> str | None:
    """Why a decoded value cannot be used, if it cannot; half a surrogate pair is a reason, too."""
    if isinstance(value, str):
        return None if value.isascii() or _encodes(value) else "half a surrogate pair"
    if isinstance(value, Flaw):
        return value.reason
    if not isinstance(value, dict | list):
        return None
    if level == DEEPEST:
        return f"nested deeper than {DEEPEST} levels"
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    reasons = (flaw_in(part, level + 1) for part in parts)
    return next((reason for reason in reasons if reason), None)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_json(raw: bytes | str) -> Any:
    """Decode JSON.

    Raises:
        NotJson: with the reason and the line.
    """
    value = decode(raw)
    if reason := flaw_in(value):
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
        raise NotJson(reason, _flawed_line(text))
    return value


def _flawed_line(text: str) -> int:
    """The line of the first name that occurs twice, or of the first value that is a flaw."""
    open_names: list[set[str] | None] = []  # of each open object; None for a list
    for token in TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            open_names.append(set() if mark == "{" else None)
        elif mark in "}]":
            open_names.pop()
        elif mark[0] == '"':
            names = open_names[-1] if open_names else None
            value = json.loads(mark, strict=False)
            if not _encodes(value):
                return _line(text, token.start())
            if names is not None and COLON.match(text, token.end()):  # it is a name
                if value in names:
                    return _line(text, token.start())
                names.add(value)
        elif mark not in ",:" and flaw_in(_DECODER.decode(mark)):
            return _line(text, token.start())
    return 1


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def dump_json(value: Any, **layout: Any) -> str:
    """JSON by the standard that encodes to UTF-8: U+FFFD for half a surrogate pair.

    Raises:
        ValueError: a number that is none, or infinite.
    """
    return encodable(json.dumps(value, ensure_ascii=False, allow_nan=False, **layout))


def _text_of(path: Path | str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"{path}: {reason}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8 (byte {error.start})") from None


def read_json(path: Path | str) -> Any:
    """Read a JSON file; what is malformed or ambiguous is a :class:`UserError` with its line."""
    try:
        return parse_json(_text_of(path))
    except NotJson as error:
        raise UserError(f"{path}:{error.line}: not JSON ({error})") from None


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file, or a JSON file if so named; what is malformed or ambiguous is refused.

    Raises:
        UserError: with the line.
    """
    if str(path).endswith(".json"):
        return read_json(path)
    text = _text_of(path)
    try:
        return copy.deepcopy(_yaml(text))
    except yaml.reader.ReaderError as error:
        number = _line(text, error.position)
        raise UserError(
            f"{path}:{number}: not YAML (character U+{ord(text[error.position]):04X})"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML ({getattr(error, 'problem', error)})") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML (nested deeper than {DEEPEST} levels)") from None


def repeated_name(text: str) -> str:
    """Which name occurs twice in a mapping of a YAML text, in words; empty if none does."""
    try:
        _yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        problem = str(getattr(error, "problem", ""))
        return problem if problem.endswith(TWICE) else ""
    return ""


@lru_cache(maxsize=16)
def _yaml(text: str) -> Any:
    """A run reads its configuration in several places, and plans of it again and again."""
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """Refuses what is ambiguous: names that occur twice, values that hold themselves."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._check(node, [], {})
        return node

    def _check(self, node: yaml.Node, above: list[yaml.Node], sizes: dict[int, int]) -> int:
        """Check a node and those below it; returns how many there are.

        Args:
            node: where to begin.
            above: the nodes that hold this one.
            sizes: what was counted, by the nodes' identities: aliases share their nodes.
        """
        if any(node is one for one in above):
            raise _refused("a value that holds itself", node)
        if len(above) > DEEPEST:
            raise _refused(f"nested deeper than {DEEPEST} levels", node)
        if id(node) in sizes:
            return sizes[id(node)]
        if isinstance(node, yaml.ScalarNode):
            _check_text(node)
        if isinstance(node, yaml.MappingNode):
            self._check_names(node)
        below = (self._check(part, [*above, node], sizes) for part in _parts(node))
        sizes[id(node)] = size = 1 + sum(below)
        if size > LARGEST:
            raise _refused(f"its aliases stand for more than {LARGEST} values", node)
        return size

    def _check_names(self, node: yaml.MappingNode) -> None:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise _refused(f"{key.value!r} {TWICE}", key)
            if name:
                seen.add(name)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            # the 45th of a month, a number of 5,000 digits, "!!bool perhaps"
            reason = str(error) if isinstance(error, ValueError) else "no such value"
            raise _refused(reason, node) from None


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _check_text(node: yaml.ScalarNode) -> None:
    """Join the surrogate pairs of a text, as JSON spells them; refuse a half."""
    if not node.value.isascii() and not _encodes(node.value):
        joined = encodable(node.value)
        if joined.count("\ufffd") > node.value.count("\ufffd"):
            raise _refused("half a surrogate pair", node)
        node.value = joined


def _refused(reason: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)
