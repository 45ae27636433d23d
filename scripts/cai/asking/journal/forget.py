"""Removes useless answers, so that they are asked again: unreadable ones and refusals."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from cai.core.project import SCRIPTS

PROGRAM = SCRIPTS / "journal.py"


def forgetting(journals: Iterable[Path]) -> str:
    """The command that has a journal's unreadable answers asked again; empty without a journal."""
    files = [str(path) for path in journals]
    if not files:
        return ""
    command = shlex.join(["python", str(_program()), "forget", "--unreadable", *files])
    return f"to have them asked afresh, run `{command}`, then the step again"


def _program() -> Path:
    """The program as it can be called from here."""
    here = Path.cwd()
    return PROGRAM.relative_to(here) if PROGRAM.is_relative_to(here) else PROGRAM
