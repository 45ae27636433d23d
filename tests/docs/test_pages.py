"""What the pages name exists: the files behind their links, the paths, the programs' options."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "config/README.md",
        ROOT / "results/README.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "demo/README.md",
        ROOT / "benchmarks/README.md",
        ROOT / "envs/nemo-cpu/README.md",
    )
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PICTURE = re.compile(r'src="(?!https?:)([^"]+)"')
PATH = re.compile(
    r"(?<![\w./>-])"
    r"((?:scripts|rules|config|profiles|envs|demo|benchmarks|docs|tests)/[^\s`'\"()\[\],;:|]+)"
)
PATTERN = re.compile(r"[*{<]|\.\.\.|NAME|/mine/")  # stands for several names, or a reader's own
OF_NEMO = "scripts/checkpoint_converters"  # a folder of NeMo's own
OURS = {"cai", "tools", "torch", "nemo_aligner", "mkdocs"}  # or of another environment
PACKAGE = {  # the name of a package, where its module has another
    "PIL": "pillow",
    "huggingface_hub": "huggingface_hub",
    "packaging": "snakemake",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "snakemake_interface_common": "snakemake",
    "snakemake_interface_logger_plugins": "snakemake",
    "urllib3": "requests",
    "yaml": "pyyaml",
}
PROGRAM = re.compile(r"python (scripts/[\w/]+\.py|demo/\w+\.py)((?:[^\n#]|\\\n)*)")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text()
    missing = [
        f"{target}#{anchor}"
        for target, anchor in LINK.findall(text)
        if not _leads_somewhere((ROOT / page).parent / target if target else ROOT / page, anchor)
    ]
    missing += [
        name for name in PICTURE.findall(text) if not (ROOT / page).parent.joinpath(name).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_exist(page: Path) -> None:
    named = {path.rstrip(".") for path in PATH.findall((ROOT / page).read_text())} - {OF_NEMO}
    assert [path for path in named if not PATTERN.search(path) and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_options_are_known(page: Path) -> None:
    unknown = [
        f"{program} {option}"
        for program, arguments in PROGRAM.findall((ROOT / page).read_text())
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", arguments.partition(" -- ")[0])
        if option not in _options()
    ]
    assert unknown == []


def _leads_somewhere(path: Path, anchor: str) -> bool:
    return path.exists() and (not anchor or anchor in _anchors(path))


def _anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def _options() -> set[str]:
    """The options of our programs, by their source, and those of Snakemake."""
    ours = "".join(path.read_text() for path in (ROOT / "scripts").rglob("*.py"))
    snakemakes = get_argument_parser([])._option_string_actions
    return {*re.findall(r"[\"'](--[a-z][\w-]*)[\"']", ours), *snakemakes}


def test_the_page_of_packages_names_what_the_programs_import() -> None:
    modules = {
        name.partition(".")[0]
        for path in (ROOT / "scripts").rglob("*.py")
        for name in _imports(ast.parse(path.read_text()))
    }
    strangers = modules - sys.stdlib_module_names - OURS
    named = set(re.findall(r"[\w-]+", (ROOT / "docs/packages.md").read_text()))
    assert {PACKAGE.get(name, name.replace("_", "-")) for name in strangers} - named == set()


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
