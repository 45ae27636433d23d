"""The library's rooms: a stranger finds a module by its name, and each package says what it is."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LIBRARY = ROOT / "scripts/cai"
MOST_MODULES = 13  # of a folder
PACKAGES = sorted(path.parent for path in LIBRARY.rglob("__init__.py"))
MODULES = sorted(path for path in LIBRARY.rglob("*.py") if path.name != "__init__.py")


def test_no_two_modules_or_packages_share_a_name():
    names = Counter(path.stem for path in MODULES)
    names.update(path.name for path in PACKAGES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_small_and_holds_a_sentence_alone(package):
    modules = [path for path in package.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES
    tree = ast.parse((package / "__init__.py").read_text())
    assert ast.get_docstring(tree).endswith(".")
    assert len(tree.body) == 1


def test_the_commands_of_a_person_are_few():
    assert len(list((ROOT / "scripts").glob("*.py"))) <= 13


RULE_FILES = sorted((ROOT / "rules").rglob("*.smk"))


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_the_environment_that_a_rule_names_is_there(path):
    """Snakemake reads its content when a job has ended; a path is relative to the rule's file."""
    blocks = re.split(r"^(?=(?:use )?rule )", path.read_text(), flags=re.M)[1:]
    named = [re.search(r'conda:\n\s+"(.*)"', block) for block in blocks]
    for block, environment in zip(blocks, named, strict=True):
        if environment:
            assert (path.parent / environment[1]).is_file(), block.splitlines()[0]
        elif block.startswith("use rule") and path.parent.name != "rules":
            pytest.fail(f"{block.splitlines()[0]} takes a path that is relative to another folder")
