"""What Hydra makes of overrides, worked out without Hydra: which of them a configuration refuses.

Needs nothing but Python: it runs on a host without Hydra, and inside NeMo's container, where the
project's other libraries are missing. Source: Hydra 1.3 ("Basic override syntax") and OmegaConf
2.3; the tests hold it against both.
"""

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

PLAUSIBLE = {  # for the words that are filled in when a program starts
    "LOG_DIR": "/results",
    "FREE_PORT": "5555",
    "CRITIC_HOST": "127.0.0.1",
    "NODES": "1",
    "DEVICES": "8",
    "RANKS": "8",
    "STEPS": "100",
}
WORD = re.compile(rf"\b({'|'.join(PLAUSIBLE)})\b")
ARGUMENT = re.compile(
    r"(?P<prefix>\+\+|\+|~|)(?P<key>[A-Za-z_][\w.$/@-]*)(?:=(?P<value>.*))?", re.S
)
OWN = re.compile(r"hydra[./]")  # keys of Hydra's own configuration
REFERENCE = re.compile(r"\$\{(\w[\w.]*)\}")
TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\$\{[^{}]*\}|[{}\[\],:]|[^{}\[\],:'"]+""", re.S
)
ESCAPED = re.compile(r"""(\\+)(['"])""")
MIXED = ("precision",)  # keys that take numbers and texts: 16, bf16-mixed
CLOSE = 0.85  # likeness of two whole keys, above which one may be meant with the other


class Problem(NamedTuple):
    """An override that is refused: its key as it was written, and why."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class _Refused(Exception):
    """Why an override is refused."""


def filled(command: Sequence[str]) -> list[str]:
    """A command with plausible values for the words that are filled in when it starts."""
    return [WORD.sub(lambda word: PLAUSIBLE[word[0]], argument) for argument in command]


def check(defaults: Mapping[str, Any], arguments: Sequence[str], name: str) -> list[Problem]:
    """Apply overrides one after the other, as Hydra does, and tell which it refuses.

    Stricter than Hydra in two things: a key may be given once only, and a number, a truth value or
    a section may not be replaced by something of another kind.

    Args:
        defaults: the configuration, nested; interpolations as they are written.
        arguments: the overrides of a command line.
        name: of the configuration, for messages.
    """
    tree = _Tree(defaults, name)
    problems, seen = [], set()
    for argument in arguments:
        match = ARGUMENT.fullmatch(argument)
        written = argument.partition("=")[0] if match is None else match["prefix"] + match["key"]
        try:
            if match is None or (match["value"] is None and match["prefix"] != "~"):
                raise _Refused("expected KEY=VALUE, with +, ++ or ~ before a key")
            if match["key"] in seen:
                raise _Refused("given twice")
            seen.add(match["key"])
            value = None if match["value"] is None else read_value(match["value"])
            tree.apply(match["prefix"], match["key"], value)
        except _Refused as error:
            problems.append(Problem(written, str(error)))
    return problems


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a nested mapping and their values, those of its sections among them."""
    for key, value in tree.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")


def nested(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The nested mapping of ``{dotted key: default}``."""
    tree: dict[str, Any] = {}
    for key, value in keys.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return tree


class _Tree:
    """A configuration to which overrides are applied."""

    def __init__(self, defaults: Mapping[str, Any], name: str) -> None:
        self.root, self.name = copy.deepcopy(dict(defaults)), name
        self.groups = _groups(self.root.pop("defaults", []))
        self.keys = [key for key, _ in flat(self.root)]
        self.followed: list[str] = []  # the interpolations that are being followed

    def apply(self, prefix: str, key: str, value: Any) -> None:
        """Apply one override.

        Raises:
            _Refused: Hydra would not take it, or it is of another kind than the default.
        """
        if OWN.match(key) or key in self.groups:
            return
        parts = key.split(".")
        current = self._get(parts)
        if prefix == "~":
            self._delete(key, current, value)
        elif prefix == "+" and current is not None and not isinstance(value, dict | list):
            raise _Refused(f"a key of {self.name} already, so it is set without + (or with ++)")
        else:
            self._set(key, value, adds=bool(prefix))

    def _get(self, parts: Sequence[str]) -> Any:
        """The value at a key; None where there is none, or it is null or has to be given."""
        node: Any = self.root
        for part in parts:
            node = self._child(node, part)
        return None if node == "???" else node

    def _child(self, node: Any, part: str) -> Any:
        if isinstance(node, list):
            inside = part.isdecimal() and int(part) < len(node)
            return node[int(part)] if inside else None
        value = node.get(part) if isinstance(node, dict) else None
        target = self._referred(value) if isinstance(value, str) else None
        return target if isinstance(target, dict | list) else value

    def _referred(self, value: str) -> Any:
        """What an interpolation of a single key refers to; None where it leads to itself."""
        reference = REFERENCE.fullmatch(value)
        if reference is None or value in self.followed:
            return None
        self.followed.append(value)
        target = self._get(reference[1].split("."))
        self.followed.pop()
        return target

    def _delete(self, key: str, current: Any, expected: Any) -> None:
        if current is None:
            raise _Refused(f"no key of {self.name} that could be deleted{self._meant(key)}")
        if expected is not None and expected != current:
            raise _Refused(f"its value is {current!r}, not {expected!r}, so it is not deleted")
        *sections, last = key.split(".")
        section = self._section(key, sections, adds=False)
        if isinstance(section, list):
            raise _Refused("an item of a list cannot be deleted; give the whole list")
        del section[last]

    def _section(self, key: str, sections: Sequence[str], adds: bool) -> Any:
        node: Any = self.root
        for section in sections:
            child = self._child(node, section)
            if not isinstance(child, dict | list):
                if not adds:
                    raise self._unknown(key)
                child = node[section] = {}
            node = child
        return node

    def _set(self, key: str, value: Any, adds: bool) -> None:
        *sections, last = key.split(".")
        node = self._section(key, sections, adds)
        if isinstance(node, list):
            if not last.isdecimal() or int(last) >= len(node):
                raise self._unknown(key)
            node[int(last)] = value
            return
        if last not in node and not adds:
            raise self._unknown(key)
        default = self._child(node, last)
        _check_kind(key, default, value)
        if isinstance(default, dict) and isinstance(value, dict):
            self._set_each(key, value, adds)
        else:
            node[last] = value

    def _set_each(self, key: str, items: Mapping[str, Any], adds: bool) -> None:
        for name, item in items.items():
            try:
                self._set(f"{key}.{name}", item, adds)
            except _Refused as error:
                raise _Refused(f"{name}: {error}") from None

    def _unknown(self, key: str) -> _Refused:
        return _Refused(f"no key of {self.name} (++ adds one){self._meant(key)}")

    def _meant(self, key: str) -> str:
        """The key that was probably meant: a neighbour, one of this name elsewhere, or alike."""
        section, _, last = key.rpartition(".")
        siblings = {name.rpartition(".")[2]: name for name in self.keys if _is_in(name, section)}
        namesakes = [name for name in self.keys if name.rpartition(".")[2] == last]
        close = (
            [siblings[name] for name in difflib.get_close_matches(last, siblings, n=1)]
            or difflib.get_close_matches(key, namesakes, n=1, cutoff=0)
            or difflib.get_close_matches(key, self.keys, n=1, cutoff=CLOSE)
        )
        return f"; did you mean {close[0]}?" if close else ""


def _is_in(key: str, section: str) -> bool:
    return key.rpartition(".")[0] == section


def _groups(defaults: Sequence[Any]) -> set[str]:
    """The names of the configuration groups in a defaults list, as overrides name them."""
    entries = [entry for entry in defaults if isinstance(entry, Mapping)]
    return {name.removeprefix("optional ") for entry in entries for name in entry}


def _check_kind(key: str, default: Any, value: Any) -> None:
    """Refuse what is of another kind than a default that has a plain one."""
    if value is None or _is_open(default) or _is_open(value) or key.endswith(MIXED):
        return
    kinds: list[tuple[Any, Any, str]] = [  # what may stand in the place of what
        (bool, bool | int, "true or false"),
        (int | float, int | float, "a number"),
        (str, str | int | float, "a text"),
        (list, list | str | int | float, "a list"),
        (dict, dict, "a mapping"),
    ]
    for kind, accepted, name in kinds:
        if isinstance(default, kind):
            flag_for_number = isinstance(value, bool) and kind == int | float
            if not isinstance(value, accepted) or flag_for_number:
                usual = "" if kind is dict else f" (by default {default!r})"
                raise _Refused(f"must be {name}{usual}, found {value!r}")
            return


def _is_open(value: Any) -> bool:
    """Whether a value is still to be worked out or given."""
    return isinstance(value, str) and ("${" in value or value == "???")


def read_value(text: str) -> Any:
    """A value in Hydra's grammar; interpolations stay texts.

    >>> read_value("{train: [a.jsonl, 2], x:'y'}")
    {'train': ['a.jsonl', 2], 'x': 'y'}
    """
    text = text.strip()
    if not text.startswith(("{", "[")):
        return _primitive(text)
    tokens = TOKEN.findall(text)[::-1]
    try:
        value = _structure(tokens)
    except IndexError:
        raise _Refused(f"a bracket is open in {text}") from None
    if tokens:
        raise _Refused(f"something follows the last bracket in {text}")
    return value


def _structure(tokens: list[str]) -> Any:
    """The value at the end of reversed tokens, which are taken off."""
    opening = tokens.pop()
    result: Any = {} if opening == "{" else []
    closing = "}" if opening == "{" else "]"
    while _skip_space(tokens) != closing:
        if isinstance(result, dict):
            key = _primitive(tokens.pop().strip())
            _skip_space(tokens)
            tokens.pop()  # the colon
            result[key] = _item(tokens)
        else:
            result.append(_item(tokens))
        if _skip_space(tokens) == ",":
            tokens.pop()
    tokens.pop()
    return result


def _skip_space(tokens: list[str]) -> str:
    while tokens[-1].isspace():
        tokens.pop()
    return tokens[-1]


def _item(tokens: list[str]) -> Any:
    if _skip_space(tokens) in "{[":
        return _structure(tokens)
    text = ""
    while tokens[-1] not in ",}]":
        text += tokens.pop()
    return _primitive(text.strip())


def _primitive(text: str) -> Any:
    if text[:1] in ("'", '"'):  # before a quote, a backslash and the quote itself have one more
        return ESCAPED.sub(lambda found: "\\" * (len(found[1]) // 2) + found[2], text[1:-1])
    if text.lower() in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
