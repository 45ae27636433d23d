"""Which overrides a configuration of NeMo refuses: Hydra itself, with one line for each mistake.

Runs in the controller and inside NeMo's container, so it needs nothing but Hydra and OmegaConf.
Both are imported when they are first needed: most commands never need them. Source: Hydra 1.3
("Basic override syntax") and OmegaConf 2.3.
"""

import difflib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cai.core.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

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
ARGUMENT = re.compile(r"(~[^=\s+~-]|(\+\+?)?[^=\s+~-][^=\s]*=)")  # how an override begins
RESOLVERS = ("multiply", "int_div", "subtract", "sum", "gpu_name")  # of NeMo and its programs
MISSING = "???"  # OmegaConf's mark of what has to be given
MIXED = ("precision",)  # keys that take numbers and texts: 16, bf16-mixed
TEXTS = re.compile(r"\$\{(oc\.env|now):")  # what these resolvers give is a text, whatever is in it
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


def register_resolvers() -> None:
    """Give OmegaConf stand-ins for the resolvers that NeMo registers; each returns 1."""
    from omegaconf import OmegaConf

    for name in RESOLVERS:
        if not OmegaConf.has_resolver(name):
            OmegaConf.register_new_resolver(name, lambda *_: 1)


def read_value(text: str) -> Any:
    """Read a value in Hydra's grammar; interpolations stay texts.

    Raises:
        UserError: Hydra cannot read it.

    >>> read_value("{train: [a.jsonl, 2], x:'y'}")
    {'train': ['a.jsonl', 2], 'x': 'y'}
    """
    try:
        return _parsed(f"key={text}").value()
    except _Refused as error:
        raise UserError(f"{text}: {error}") from None


def check(defaults: Mapping[str, Any], arguments: Sequence[str], name: str) -> list[Problem]:
    """Apply overrides one after the other, as Hydra does, and report those that it refuses.

    Stricter than Hydra in three things: a key may be given only once, with a value (``???`` stands
    for none), and a number, a truth value or a section may not be replaced by something of another
    kind. Overrides of Hydra's own settings
    and of configuration groups are left to the program.

    Args:
        defaults: the configuration, nested; interpolations as they are written.
        arguments: the overrides of a command line.
        name: of the configuration, for messages.
    """
    configuration = _Configuration(defaults, name)
    problems, seen = [], set()
    for argument in arguments:
        key = argument.partition("=")[0]
        try:
            override = _parsed(argument)
            key = override.get_key_element()
            bare = key.lstrip("+~")
            if bare in seen:
                raise _Refused("given twice")
            seen.add(bare)
            configuration.apply(override)
        except _Refused as error:
            problems.append(Problem(key, str(error)))
    return problems


@functools.cache
def _parser() -> "OverridesParser":
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()


def _parsed(argument: str) -> "Override":
    from hydra.errors import HydraException

    if not ARGUMENT.match(argument):
        raise _Refused("expected KEY=VALUE, with +, ++ or ~ before a key")
    try:
        override = _parser().parse_override(argument)
    except HydraException as error:
        found = _line(error).partition(" expecting ")[0]
        raise _Refused(f"Hydra cannot read the value: {found}; accepted: a quoted text") from None
    if override.is_sweep_override():
        raise _Refused("found several values (a sweep); accepted: one; a text with commas quoted")
    return override


def _line(error: BaseException) -> str:
    """The first line of what Hydra or OmegaConf says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Configuration:
    """A configuration to which Hydra applies overrides."""

    def __init__(self, defaults: Mapping[str, Any], name: str) -> None:
        from omegaconf import OmegaConf

        register_resolvers()
        tree = dict(defaults)
        self.name, self.groups = name, _groups(tree.pop("defaults", []))
        self.keys = [key for key, _ in flat(tree)]
        self.config: DictConfig = OmegaConf.create(tree)
        OmegaConf.set_struct(self.config, True)

    def apply(self, override: "Override") -> None:
        """Apply one override.

        Raises:
            _Refused: Hydra does not take it, or its value is of another kind than the default.
        """
        from hydra._internal.config_loader_impl import ConfigLoaderImpl

        key = override.get_key_element()
        if override.is_hydra_override() or key.lstrip("+~") in self.groups:
            return
        value = override.value()
        if value == MISSING:
            raise _Refused(f"found {MISSING!r}, which stands for no value; accepted: one")
        replaces = not override.is_add() or isinstance(value, dict | list)
        if replaces and not override.is_delete():
            _check_kind(override.key_or_group, self._default(override.key_or_group), value)
        try:
            ConfigLoaderImpl._apply_overrides_to_config([override], self.config)
        except Exception as error:  # a ValueError, too, for an index that is a word
            raise self._refusal(override, error) from None

    def _default(self, key: str) -> Any:
        """The value at a key; None if there is none, or if it depends on others."""
        from omegaconf import OmegaConf

        section, _, last = key.rpartition(".")
        try:
            found = OmegaConf.select(self.config, key)
            parent = OmegaConf.select(self.config, section) if section else self.config
            if OmegaConf.is_config(found):
                return OmegaConf.to_container(found)
            return None if OmegaConf.is_interpolation(parent, last) else found
        except Exception:  # there is no such key, or its interpolation leads nowhere
            return None

    def _refusal(self, override: "Override", error: Exception) -> _Refused:
        """Hydra's refusal in the words of this project."""
        from omegaconf.errors import ConfigAttributeError, ConfigKeyError

        key, cause = override.key_or_group, error.__cause__ or error
        if override.is_delete() and key not in self.keys:
            return _Refused(f"no key of {self.name} that could be deleted{self._meant(key)}")
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            full = str(cause.full_key or key)
            inside = full.removeprefix(f"{key}.") if full.startswith(f"{key}.") else ""
            where = "".join(f"{part}: " for part in inside.split(".") if part)
            missing = full if inside else key
            return _Refused(f"{where}no key of {self.name} (++ adds one){self._meant(missing)}")
        if override.is_add() and cause is error:
            return _Refused(f"a key of {self.name} already, so it is set without + (or with ++)")
        return _Refused(_line(cause))

    def _meant(self, key: str) -> str:
        """The key that was probably meant: a neighbour, this name elsewhere, or a similar one."""
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
    """Refuse what is of another kind than a default that has a plain one.

    Raises:
        _Refused: with the names of the sections inside the value that lead to it.
    """
    if isinstance(default, dict) and isinstance(value, dict):
        for name in default.keys() & value.keys():
            try:
                _check_kind(f"{key}.{name}", default[name], value[name])
            except _Refused as error:
                raise _Refused(f"{name}: {error}") from None
    elif not (value is None or _is_open(default) or _is_open(value) or key.endswith(MIXED)):
        _check_one(default, value)


def _check_one(default: Any, value: Any) -> None:
    kinds: list[tuple[Any, Any, str]] = [  # what may replace what
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
    return isinstance(value, str) and (value == MISSING or "${" in value) and not TEXTS.match(value)
