"""What a job runs: its program and those of our modules that it imports, each with a digest.

An edit of a module runs the jobs again whose programs import it, directly or not. Comments,
docstrings and formatting do not count. Jobs that fetch, convert and train are never run again for
an edit of our code: see :data:`KEPT`.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from cai.core.digests import digest
from cai.core.errors import UserError
from cai.files.records import write_json

# Programs of the jobs whose results an edit of our code must never cost: hours of GPUs, or of a
# network. What determines their results are their inputs and NeMo's overrides.
KEPT = {"scripts/models/fetch_model.py", "scripts/launch.py", "scripts/training/train.py"}
FOLDER = "scripts"
PROGRAM = re.compile(rf"\s*python ({FOLDER}/[\w/]+\.py)\b")
MARK = "code: "
LENGTH = 12  # hexadecimal digits of a digest that are shown
PARSED = ".snakemake/cai-code.json"  # what was found in modules, so that a text is parsed once


def watch(workflow: Any) -> None:
    """Give each rule of a workflow the code that it runs as parameters, one a module.

    Snakemake then runs a job again when one of them has changed, and names the module.
    """
    root = Path(workflow.basedir)
    for rule in workflow.rules:
        program = program_of(rule.shellcmd)
        if program is not None and program not in KEPT:
            rule.set_params(**params(program, root))
    _parsed(root).keep()


def program_of(command: str | None) -> str | None:
    """The program that a rule's command starts with: ``python scripts/sl_cai/revise.py ...``."""
    found = PROGRAM.match(command or "")
    return found[1] if found else None


def is_mark(value: object) -> bool:
    """Whether a parameter of a job names code that the job runs, as :func:`params` does."""
    return isinstance(value, str) and value.startswith(MARK)


def edited(marks: Iterable[str]) -> list[str]:
    """The paths in marks as Snakemake records them, ``"'code: scripts/sl_cai/revise.py 0123'"``."""
    values = (ast.literal_eval(mark) for mark in marks if mark.startswith(f"'{MARK}"))
    return sorted({value.removeprefix(MARK).rpartition(" ")[0] for value in values})


@cache
def params(program: str, root: Path) -> dict[str, str]:
    """The code of a program by module, as texts that read as a reason to run again."""
    return {
        path: f"{MARK}{path} {short[:LENGTH]}" for path, short in digests(program, root).items()
    }


def digests(program: str, root: Path) -> dict[str, str]:
    """The digests of a program and of all of our modules that it imports, by path under ``root``.

    Raises:
        UserError: one of them is no Python; the message names its line.
    """
    found: dict[str, str] = {}
    waiting = [program]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path], imported = _module(root, path)
        waiting += imported
    return dict(sorted(found.items()))


@cache
def _module(root: Path, path: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a module's code, and the paths of the modules of ours that it imports."""
    short, names = _parsed(root).module(path)
    paths = {found for name in names for found in _files(root, name)}
    return short, tuple(sorted(paths))


@cache
def _parsed(root: Path) -> "_Parsed":
    return _Parsed(root)


class _Parsed:
    """What was found in modules, by their texts; kept in a file, as parsing them takes seconds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: dict[str, tuple[str, list[str]]] = {}
        self._found: dict[str, tuple[str, list[str]]] = {}
        with suppress(OSError, ValueError):
            self._before = json.loads((root / PARSED).read_text("utf-8"))

    def module(self, path: str) -> tuple[str, list[str]]:
        """The digest of a module's code, and the dotted names that it may import."""
        text = (self._root / path).read_bytes()
        version = f"{path} {sys.version_info[:2]} "  # a syntax tree is that of one Python
        key = hashlib.sha256(version.encode() + text).hexdigest()
        if key not in self._found:
            self._found[key] = self._before.get(key) or _parse(text, path)
        return self._found[key]

    def keep(self) -> None:
        """Write what was found, if it is news, where Snakemake has its own files."""
        if not self._found.keys() <= self._before.keys() and (self._root / PARSED).parent.is_dir():
            with suppress(OSError):
                write_json(self._root / PARSED, self._found)


def _parse(text: bytes, path: str) -> tuple[str, list[str]]:
    try:
        tree = ast.parse(text, path)
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: not Python: {error.msg}") from None
    names = set(_imports(tree, Path(path).relative_to(FOLDER)))
    _strip(tree)
    return digest(ast.dump(tree)), sorted(names)


def _imports(tree: ast.Module, place: Path) -> Iterator[str]:
    """The dotted names that a module may import: of ``from a import b``, both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = place.parts[: len(place.parts) - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _files(root: Path, name: str) -> Iterator[str]:
    """The file of a module and those of the packages around it, as far as they are ours."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        stem = "/".join([FOLDER, *parts[:end]])
        yield from {f"{stem}.py", f"{stem}/__init__.py"} & _ours(root)


@cache
def _ours(root: Path) -> frozenset[str]:
    return frozenset(str(path.relative_to(root)) for path in (root / FOLDER).rglob("*.py"))


def _strip(tree: ast.Module) -> None:
    """Remove what is not executed: texts on their own, such as docstrings."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                body[:] = [statement for statement in body if not _is_text(statement)]


def _is_text(statement: ast.AST) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
