"""SVG figures made part of a page: no prolog, ids of their own, colors that follow light and dark.

A figure is drawn once, for a white page. Each color in it becomes a variable of the page, which has
another value where the reader prefers dark: greys are turned around. Hues are made darker or
lighter until they contrast with the page.
"""

import base64
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.figures.figure_data import read_figure_data, read_numbers
from cai.files.records import Record

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
COLOR = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})(?![0-9a-z_-])", re.IGNORECASE)
PAINT = re.compile(rf"((?:fill|stroke|stop-color)\s*:\s*)({COLOR.pattern})", re.IGNORECASE)
PAINTED = ("fill", "stroke", "stop-color")
WHITE = "ffffff"
LIGHT_PAGE, DARK_PAGE = (253, 253, 251), (23, 23, 22)  # --page of page.css
BLACK, WHITE_RGB = (0, 0, 0), (255, 255, 255)
LINES, TEXTS = 3.0, 4.5  # contrasts of WCAG 2.2, success criteria 1.4.11 and 1.4.3, level AA
GREY = 24  # most that the channels of a grey differ, of 255
SHOWN = 40  # rows of numbers on the page; the file beside them has all

Rgb = tuple[int, int, int]


def read_figure(path: Path) -> Record:
    """All that a page shows of a figure: what it is, its numbers, and its drawing.

    Returns:
        the fields of :class:`cai.figures.figure_data.FigureData`; ``name``; ``facts``;
        ``header``, ``rows``, the CSV's ``file`` name and a ``link`` that holds it; ``svg`` and the
        ``colors`` in it, without which a figure that is not supported does.

    Raises:
        UserError: if the file is not SVG, or its description is malformed.
    """
    description, numbers = read_figure_data(path), read_numbers(path)
    svg, title, colors = _inlined(path) if description.supported else ("", "", set())
    csv = base64.b64encode(numbers["text"].encode()).decode()
    return {
        **description.model_dump(),
        "name": f"figure-{path.stem}",
        "title": (description.title or title or path.stem).rstrip("."),
        "facts": description.facts,
        "reason": description.why_not,
        "category": description.heading,
        "header": numbers["header"],
        "rows": numbers["rows"],
        "shown": numbers["rows"][:SHOWN],
        "file": f"{path.stem}.csv",
        "link": f"data:text/csv;base64,{csv}",
        "svg": svg,
        "colors": sorted(colors),
    }


def _inlined(path: Path) -> tuple[str, str, set[str]]:
    """The SVG for use within HTML, its title, and the colors in it."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: not an SVG figure ({error})") from None
    fail_if(root.tag != f"{{{SVG}}}svg", f"{path}: not an SVG figure, its root is {root.tag!r}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    colors: set[str] = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _prefixed(name, _painted(name, value, colors), path.stem))
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    text = ElementTree.tostring(root, encoding="unicode")
    return text, root.findtext(f"{{{SVG}}}title") or "", colors


def _prefixed(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name.endswith("href"):
        return re.sub(r"^#", f"#{prefix}-", value)
    return value.replace("url(#", f"url(#{prefix}-")


def _painted(name: str, value: str, colors: set[str]) -> str:
    """A color by its variable; ``colors`` takes it up."""

    def variable(color: str) -> str:
        digits = color[1:].lower()
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        colors.add(digits)
        return f"var(--c{digits})"

    if name == "style":
        return PAINT.sub(lambda found: found[1] + variable(found[2]), value)
    return COLOR.sub(lambda found: variable(found[0]), value) if name in PAINTED else value


def palette(figures: Iterable[Record]) -> str:
    """The style that gives the figures' colors their values in light and in dark."""
    colors = sorted({color for figure in figures for color in figure["colors"]} - {WHITE})
    light = "".join(f"--c{color}:#{in_light(color)};" for color in colors)
    dark = "".join(f"--c{color}:#{in_dark(color)};" for color in colors)
    ground = f"--c{WHITE}:var(--page);"
    return f":root{{{ground}{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def in_light(color: str) -> str:
    """The color, six hexadecimal digits, or a darker one that contrasts with a light page."""
    return color if _is_grey(color) else _hex(_standing_out(_rgb(color), BLACK, LIGHT_PAGE, LINES))


def in_dark(color: str) -> str:
    """The color that says on a dark page what this one says on white."""
    if not _is_grey(color):
        return _hex(_standing_out(_rgb(color), WHITE_RGB, DARK_PAGE, TEXTS))
    turned = DARK_PAGE[0] + round(0.82 * (255 - sum(_rgb(color)) / 3))
    return _hex((turned, turned, turned))


def _is_grey(color: str) -> bool:
    return max(_rgb(color)) - min(_rgb(color)) <= GREY


def _standing_out(rgb: Rgb, towards: Rgb, page: Rgb, least: float) -> Rgb:
    """The color nearest to this one, on the way to another, that has a contrast with the page."""
    shares = (step / 20 for step in range(21))
    mixed = (_mixed(rgb, towards, share) for share in shares)
    return next(color for color in mixed if contrast(color, page) >= least)


def _mixed(rgb: Rgb, towards: Rgb, share: float) -> Rgb:
    red, green, blue = (round(c + (t - c) * share) for c, t in zip(rgb, towards, strict=True))
    return red, green, blue


def _hex(rgb: Rgb) -> str:
    return bytes(rgb).hex()


def _rgb(color: str) -> Rgb:
    red, green, blue = bytes.fromhex(color)
    return red, green, blue


def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast of two colors, from 1 to 21, as WCAG 2.2 defines it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: Rgb) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
