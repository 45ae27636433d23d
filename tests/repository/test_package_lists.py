"""The lists of packages: that of a login node is small, and enough for all programs."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEVELOPERS = {"draw_images.py", "site_pages.py"}  # README's pictures and the documentation's pages


def names(listed: str) -> set[str]:
    """The packages that a list pins itself."""
    text = (ROOT / "envs" / listed).read_text()
    return {plain(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> set[str]:
    """The modules that a program imports, without their submodules."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plainly = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    of = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plainly | of}


def test_no_tool_of_tests_and_linters_is_in_the_controller() -> None:
    assert names("dev.txt") >= {"pytest", "hypothesis", "ruff", "mypy", "snakefmt", "playwright"}
    assert names("dev.txt") & names("controller.txt") == set()
    assert "-r controller.txt" in (ROOT / "envs/dev.txt").read_text().splitlines()


def test_what_the_programs_import_is_in_the_controller() -> None:
    programs = [path for path in (ROOT / "scripts").rglob("*.py") if path.name not in DEVELOPERS]
    known = packages_distributions()
    strangers = set().union(*map(imported, programs)) - sys.stdlib_module_names
    needed = {plain(known[name][0]) for name in strangers if name in known}
    assert needed - {"cai"} - names("controller.txt") == set()
    assert len(needed) > 15
