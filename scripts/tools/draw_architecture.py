#!/usr/bin/env python
"""Draw docs/images/architecture.svg: rules, programs and the packages of the library in layers.

The names come from the files, the order of the packages from the linter's contract in
pyproject.toml, and the sentence beside each package from its docstring.
"""

import argparse
import ast
import textwrap
import tomllib
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from cai.core import cli
from cai.files.records import write_text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/images/architecture.svg"
MARGIN, LEFT, WIDTH, LINE = 16, 330, 1080, 17  # pixels: of the page, the left boxes, a line
LIBRARY = 2 * MARGIN + LEFT + 30  # where the right box begins
NAMES = 110  # width of the packages' names
STYLE = (
    "text{font:13px sans-serif;fill:#1d1d1d}.name{font-weight:bold}.note{fill:#555}"
    "rect{fill:#f3f6fa;stroke:#8a97a8}.page{fill:#fff;stroke:none}"
    ".arrow{stroke:#555;stroke-width:1.5;fill:none;marker-end:url(#head)}"
)
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker>'
)


def main() -> None:
    """Write the picture."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    write_text(PICTURE, picture())


def picture() -> str:
    """The picture as SVG: what is on the left starts or imports what is on the right or below."""
    parts, y = [], MARGIN
    for title, names in left_boxes():
        lines = textwrap.wrap(", ".join(names), 46)
        height = LINE * (len(lines) + 2)
        parts += [_box(MARGIN, y, LEFT, height), _text(MARGIN + 12, y + LINE, title, "name")]
        parts += _lines(MARGIN + 12, y + 2 * LINE, lines)
        if title.startswith("Rules"):
            parts.append(_arrow(MARGIN + LEFT / 2, y + height, 0, 30))
        else:
            parts.append(_arrow(MARGIN + LEFT, y + height / 2, LIBRARY - MARGIN - LEFT, 0))
        y += height + 30
    rows, row = [], MARGIN + 2.5 * LINE
    for name, sentence in packages():
        lines = textwrap.wrap(sentence, 84)
        rows += [_text(LIBRARY + 12, row, name, "name"), *_lines(LIBRARY + NAMES, row, lines)]
        row += LINE * len(lines) + 5
    title = "Library (scripts/cai): a package imports only from those below it"
    inner = _text(LIBRARY + 12, MARGIN + LINE, title, "name")
    library = _box(LIBRARY, MARGIN, WIDTH - LIBRARY - MARGIN, row - MARGIN)
    whole = max(row, y - 30) + MARGIN
    body = "\n".join([*parts, library, inner, *rows])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole:g}" role="img">\n'
        f"<title>Rules, programs, and the library in layers</title>\n<style>{STYLE}</style>\n"
        f'{HEAD}\n<rect class="page" width="{WIDTH}" height="{whole:g}"/>\n{body}\n</svg>\n'
    )


def left_boxes() -> list[tuple[str, list[str]]]:
    """Titles and names: the rule files, the folders of the jobs' programs, the commands."""
    rules = {path.stem for path in (ROOT / "rules").glob("*.smk")}
    rules |= {path.parent.name for path in (ROOT / "rules").glob("*/*.smk")}
    programs = {path.parent.name for path in (ROOT / "scripts").glob("*/*.py")} - {"cai", "tools"}
    commands = [path.stem for path in (ROOT / "scripts").glob("*.py")]
    return [
        ("Rules (Snakefile, rules/*.smk)", sorted(rules)),
        ("Programs of jobs (folders of scripts/)", sorted(programs)),
        ("Commands of a person (scripts/*.py)", sorted(commands)),
    ]


def packages() -> list[tuple[str, str]]:
    """The library's packages from the top layer to the bottom, each with its sentence."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [each["layers"] for each in linter["contracts"] if each["type"] == "layers"]
    return [(name, sentence_of(ROOT / "scripts/cai" / name / "__init__.py")) for name in layers]


def sentence_of(module: Path) -> str:
    """The first paragraph of a module's docstring, without marks of code."""
    text = ast.get_docstring(ast.parse(module.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "")


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'


def _text(x: float, y: float, text: str, kind: str = "note") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _lines(x: float, y: float, lines: Iterable[str]) -> list[str]:
    return [_text(x, y + number * LINE, line) for number, line in enumerate(lines)]


def _arrow(x: float, y: float, right: float, down: float) -> str:
    return f'<path class="arrow" d="M{x:g} {y:g}l{right:g} {down:g}"/>'


if __name__ == "__main__":
    cli.run(main)
