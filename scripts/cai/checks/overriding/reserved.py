"""Overrides that would take the place of what the workflow itself sets, and needs."""

from collections.abc import Iterator, Mapping
from typing import Any

from cai.nemo.composition import flat
from cai.nemo.own_overrides import OWN, Program, own, reserved, said_by
from cai.settings.configuration import Settings

ABSENT = object()


def problems(settings: Settings) -> Iterator[str]:
    """The reserved keys among ``nemo.overrides``, a line each."""
    for program in OWN:
        for section in ("server", "instruct_server") if program == "server" else (program,):
            given = getattr(settings.nemo.overrides, section)
            yield from of(settings, program, given, f"nemo.overrides.{section}")


def of(settings: Settings, program: Program, given: Mapping[str, Any], field: str) -> Iterator[str]:
    """Those of one program's overrides; ``field`` says where these are.

    What is the workflow's own value changes nothing and is no mistake: NVIDIA's command lines have
    some of them, and people copy those. None removes an override, and so leaves the workflow's.
    """
    ours, told = own(settings, program), {""}
    for key, value in flat(given):
        kept = reserved(ours, key)
        if kept not in told and value not in (None, ours.get(key, ABSENT)):
            told.add(kept)  # once, if it is a mapping
            yield f"{field}: {key}: found {value!r}; accepted: none, {said_by(kept)}"
