"""What a job runs: found without importing it, and unmoved by what is not executed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.project import program

from cai.workflow import code

ROOT = Path(__file__).parents[2]
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scripts").rglob("*.py"))
PROGRAMS = [path for path in MODULES if not path.startswith("scripts/cai/")]

IMPORTED = """
import json, runpy, sys
runpy.run_path(sys.argv[1])
print(json.dumps([module.__file__ for module in list(sys.modules.values())
                  if getattr(module, "__file__", None)]))
"""


def digest_of(folder: Path, text: str) -> dict[str, str]:
    """The digests of a program with this text, in a project of its own."""
    path = folder / "scripts/x.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    forget()
    return code.digests("scripts/x.py", folder)


def forget() -> None:
    """Begin as a new process does."""
    for function in (code._module, code._ours, code._parsed):
        function.cache_clear()


@pytest.mark.slow  # starts each program
@pytest.mark.parametrize(
    "name", ["judge_candidates", "write_report", "build_sl_dataset", "summarise", "fit_elo"]
)
def test_all_that_a_program_imports_is_found(name):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, program(name)], cwd=ROOT, capture_output=True, text=True
    )
    scripts = ROOT / "scripts"
    loaded = {
        str(Path(path).relative_to(ROOT))
        for path in json.loads(done.stdout)
        if Path(path).is_relative_to(scripts)
    }
    assert loaded and loaded <= code.digests(program(name), ROOT).keys()


def test_what_imports_a_module_at_a_distance_depends_on_it():
    needs = {path: code.digests(path, ROOT).keys() for path in PROGRAMS}
    statistics = "scripts/cai/statistics/intervals.py"
    assert statistics in needs["scripts/evaluation/summarise.py"]
    assert statistics not in needs["scripts/sl_cai/build_sl_dataset.py"]
    assert "scripts/cai/__init__.py" in needs["scripts/rl_cai/judge_candidates.py"]
    assert "scripts/cai/evaluation/__init__.py" in needs["scripts/evaluation/summarise.py"]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(MODULES))
def test_comments_docstrings_and_format_count_for_nothing(tmp_path_factory, path):
    """A module written anew from its syntax tree has no comment and no format of its own."""
    folder, text = tmp_path_factory.mktemp("code"), (ROOT / path).read_text()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.body.insert(0, ast.Expr(ast.Constant("Another docstring.")))
    rewritten = ast.unparse(ast.fix_missing_locations(tree))
    assert digest_of(folder, f"# a comment\n\n{rewritten}") == digest_of(folder, text)


@pytest.mark.parametrize(
    "before, now",
    [
        ("def f(n):\n    return n / 2\n", "def f(n):\n    return n / 3\n"),
        ("A = 'text'\n", "A = 'other text'\n"),
        ("def f(a, b):\n    return a - b\n", "def f(b, a):\n    return a - b\n"),
        ("if a:\n    b()\nc()\n", "if a:\n    b()\n    c()\n"),
    ],
)
def test_what_is_executed_counts(tmp_path, before, now):
    assert digest_of(tmp_path, before) != digest_of(tmp_path, now)


@pytest.mark.parametrize(
    "line",
    [
        "import lib.deep.module",
        "from lib.deep import module",
        "from lib.deep.module import name",
        "def f():\n    from lib.deep.module import name",
        "try:\n    import lib.deep.module as m\nexcept ImportError:\n    m = None",
    ],
)
def test_all_ways_to_import_are_seen(tmp_path, line):
    deep = tmp_path / "scripts/lib/deep"
    deep.mkdir(parents=True)
    for name in ("__init__.py", "deep/__init__.py", "other.py"):
        (tmp_path / "scripts/lib" / name).write_text("")
    (deep / "module.py").write_text("from .. import other\nfrom . import near\n")
    (deep / "near.py").write_text("import os\nimport scripts.x\n")
    found = digest_of(tmp_path, line).keys()
    lib = {"__init__.py", "deep/__init__.py", "deep/module.py", "deep/near.py", "other.py"}
    assert found == {"scripts/x.py", *(f"scripts/lib/{name}" for name in lib)}


def test_what_is_no_python_is_named_with_its_line(tmp_path):
    with pytest.raises(code.UserError, match=r"^scripts/x.py: line 2: not Python: "):
        digest_of(tmp_path, "a = 1\nb = (\n")


def test_a_text_is_parsed_once_where_snakemake_runs(tmp_path, monkeypatch):
    (tmp_path / ".snakemake").mkdir()
    found = digest_of(tmp_path, "import os\nA = 1\n")
    code._parsed(tmp_path).keep()
    with monkeypatch.context() as patch:
        patch.setattr(code, "_parse", None)  # who parses now, fails
        assert digest_of(tmp_path, "import os\nA = 1\n") == found
    assert digest_of(tmp_path, "import os\nA = 2\n") != found
    (tmp_path / code.PARSED).write_text("half of i")
    assert digest_of(tmp_path, "import os\nA = 1\n") == found


def test_edited_modules_are_read_from_what_snakemake_records():
    marks = code.params("scripts/import_constitution.py", ROOT).values()
    assert code.edited(map(repr, marks)) == sorted(
        code.params("scripts/import_constitution.py", ROOT)
    )
    assert code.edited(["'other: scripts/rl_cai/judge_candidates.py 12'", "5", "None"]) == []
