"""Pages of the site that do not lie in docs/: hooks of mkdocs, see mkdocs.yml.

The README is the first page. Links between pages work in the repository and on the site: those to
pages are turned into the site's, those to other files into their names. The library has a page for
each of its packages, made of its docstrings.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "scripts"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "config/README.md": "configuration_files.md",
    "results/README.md": "results.md",
    "demo/README.md": "demo.md",
    "benchmarks/README.md": "benchmarks.md",
    "envs/nemo-cpu/README.md": "nemo_cpu.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
KIND = ":(?:attr|class|data|func|meth|mod):"  # of Sphinx's references
ROLE = re.compile(KIND + r"<code>~?(cai\.[\w.]+)</code>")
NAME = re.compile(KIND + r"(<code>)")
PICTURE = re.compile(r'(!\[[^\]]*\]\(|src=")(?!\w+:)([^")\s]+)')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the library's pages to the navigation."""
    pages = [{name: _place(name)} for name in _packages()]
    config.nav.append({"Library": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and the pictures that they show."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
        for _, picture in PICTURE.findall((ROOT / source).read_text()):
            path = os.path.normpath(Path(source).parent / picture)
            if not path.startswith("docs/"):
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for name, modules in _packages().items():
        text = "".join([_directive(name, 1), *(_directive(module, 2) for module in modules)])
        files.append(File.generated(config, _place(name), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn the links of the repository into the site's."""
    source = SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = Path(source).parent

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        path = os.path.normpath(folder / target) if target else source
        inside = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if inside.endswith(".md"):
            return f"[{words}]({inside if target else ''}{anchor})"
        return words if "`" in words or words.strip("/") in path else f"{words} (`{path}`)"

    def picture(found: re.Match[str]) -> str:
        return found[1] + os.path.normpath(folder / found[2]).removeprefix("docs/")

    return PICTURE.sub(picture, LINK.sub(link, markdown))


def on_page_content(html: str, **_: object) -> str:
    """Turn what docstrings refer to (``:func:`cai.x.y```) into links; a name alone stays a name."""
    html = ROLE.sub(r"<autoref identifier='\1'><code>\1</code></autoref>", html)
    return NAME.sub(r"\1", html)


def _packages() -> dict[str, list[str]]:
    """The library's packages by their names, each with its modules."""
    found: dict[str, list[str]] = {}
    for path in sorted((LIBRARY / "cai").rglob("*.py")):
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        if path.stem == "__init__":
            found.setdefault(name.removesuffix(".__init__"), [])
        elif not path.stem.startswith("_"):
            found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def _place(package: str) -> str:
    return f"reference/{package.replace('.', '/')}.md"


def _directive(module: str, level: int) -> str:
    """What mkdocstrings puts a module's documentation in the place of."""
    return f"\n::: {module}\n    options: {{heading_level: {level}}}\n"
