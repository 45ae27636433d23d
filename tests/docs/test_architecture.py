"""The map names what exists: modules, functions, paths, rules; its picture is up to date."""

import ast
import re

import pytest
from tests.project import ROOT

from tools import draw_architecture

PAGE = (ROOT / "docs/architecture.md").read_text()
LIBRARY = ROOT / "scripts/cai"
PACKAGES = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))
NAMES = sorted(set(re.findall(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`", PAGE)))
RULES = sorted(set(re.findall(r"[Rr]ules? `(\w+)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_modules_and_functions_exist(name: str) -> None:
    parts, place = name.split("."), LIBRARY
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    module = (place / parts.pop(0)).with_suffix(".py") if parts else place / "__init__.py"
    body: list[ast.stmt] = ast.parse(module.read_text()).body
    for part in parts:
        [found] = [each for each in body if getattr(each, "name", None) == part]
        body = getattr(found, "body", [])


@pytest.mark.parametrize("rule", RULES)
def test_rules_exist(rule: str) -> None:
    texts = [path.read_text() for path in (ROOT / "rules").glob("*.smk")]
    assert any(
        re.search(rf"^(?:use rule \w+ as|rule) {rule}\b", text, re.MULTILINE) for text in texts
    )


def test_the_picture_is_what_its_program_draws() -> None:
    """If this fails, `make docs` draws it again."""
    assert draw_architecture.PICTURE.read_text() == draw_architecture.picture()
