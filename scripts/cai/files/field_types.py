"""Whether a record has the fields of its kind, and whether their values have the types it says.

A kind is a TypedDict: its annotations are read once and become a function that is called for each
record, so that reading 200,000 records takes little longer. Fields beyond them are accepted.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

SHOWN = 60  # characters of a value
SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    bool: ((bool,), "true or false"),
    type(None): ((type(None),), "null"),
}


class Misfit(NamedTuple):
    """What does not fit: its place within the record, what was found and what is accepted."""

    place: str
    found: str
    accepted: str

    def within(self, outer: str) -> "Misfit":
        """The same, seen from the value that holds it under this name."""
        between = "." if self.place and not self.place.startswith("[") else ""
        return self._replace(place=f"{outer}{between}{self.place}")

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{place}found {self.found}; accepted: {self.accepted}"


Check = Callable[[Any], Misfit | None]


def misfit(value: Any, kind: Any) -> Misfit | None:
    """The first thing in a value that is not as its type says; None if all is."""
    return _check(kind)(value)


@cache
def _check(kind: Any) -> Check:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return _check(inner[0])
    if kind in SCALARS:
        return _scalar(*SCALARS[kind])
    if is_typeddict(kind):
        return _record(kind)
    if origin is Literal:
        return _choice(inner)
    if origin in (list, Sequence):
        return _list(_check(inner[0]))
    if origin in (dict, Mapping):
        return _object(_check(inner[1]))
    if origin in (Union, types.UnionType):
        return _either([_check(one) for one in inner])
    return _anything


def _anything(value: Any) -> None:
    return None


def _scalar(accepted: tuple[type, ...], name: str) -> Check:
    def check(value: Any) -> Misfit | None:
        return None if type(value) in accepted else _unlike(value, name)

    return check


def _choice(choices: tuple[Any, ...]) -> Check:
    names = ", ".join(map(repr, choices))

    def check(value: Any) -> Misfit | None:
        return None if isinstance(value, str) and value in choices else _unlike(value, names)

    return check


def _list(item: Check) -> Check:
    def check(value: Any) -> Misfit | None:
        if not isinstance(value, list):
            return _unlike(value, "a list")
        for number, one in enumerate(value, 1):
            if amiss := item(one):
                return amiss.within(f"[{number}]")
        return None

    return check


def _object(item: Check) -> Check:
    def check(value: Any) -> Misfit | None:
        if not isinstance(value, dict):
            return _unlike(value, "an object")
        for name, one in value.items():
            if amiss := item(one):
                return amiss.within(str(name))
        return None

    return check


def _record(kind: Any) -> Check:
    checks = {name: _check(hint) for name, hint in get_type_hints(kind).items()}
    required = kind.__required_keys__
    accepted = f"a record with {', '.join(sorted(required))}"

    def check(value: Any) -> Misfit | None:
        if not isinstance(value, dict):
            return _unlike(value, accepted)
        if missing := required - value.keys():
            return Misfit("", f"no field {', '.join(sorted(missing))}", accepted)
        for name, field in checks.items():
            if name in value and (amiss := field(value[name])):
                return amiss.within(name)
        return None

    return check


def _either(checks: Sequence[Check]) -> Check:
    def check(value: Any) -> Misfit | None:
        amiss = [one(value) for one in checks]
        if None in amiss:
            return None
        known = [one for one in amiss if one]
        accepted = " or ".join(one.accepted for one in known)
        within = next((one for one in known if one.place), None)
        return within or _unlike(value, accepted)

    return check


def _unlike(value: Any, accepted: str) -> Misfit:
    text = "null" if value is None else repr(value)
    return Misfit("", text if len(text) <= SHOWN else f"{text[:SHOWN]}...", accepted)
