"""What a text holds does nothing where we write it: tables, figures, pages."""

import csv
from xml.etree import ElementTree

import matplotlib.figure
import pytest

from cai.figures.drawing import Drawing
from cai.files.records import write_csv
from cai.report import page

NASTY = "=cmd|' /C calc'!A0 \x00\x1b[31m \u202eevil <b> $x$ \\1 &"


def test_a_table_holds_no_formula_and_no_escape(tmp_path):
    write_csv(tmp_path / "a.csv", [["name", "value"], [NASTY, -0.5]])
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as stream:
        [_, (name, value)] = csv.reader(stream)
    assert name.startswith("'=cmd") and not {"\x00", "\x1b", "\u202e"} & {*name}
    assert value == "-0.5"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_figure_of_any_text_is_well_formed(tmp_path):
    figure = matplotlib.figure.Figure()
    figure.subplots().set_title(NASTY)
    Drawing(NASTY, NASTY, figure, ["name"], [[NASTY]]).write(tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    title = root.findtext("{http://www.w3.org/2000/svg}title")
    assert title.startswith("=cmd") and "<b> $x$ \\1 &" in title and "\x1b" not in title


def test_a_page_holds_texts_as_texts(monkeypatch, tmp_path):
    (tmp_path / "a.html.j2").write_text("<p title='{{ text }}'>{{ text }}{{ 3 }}</p>")
    monkeypatch.setattr(page, "__file__", str(tmp_path / "page.py"))
    text = page.render("a.html.j2", text=NASTY)
    assert not {"\x00", "\x1b", "\u202e"} & {*text} and "&lt;b&gt;" in text
