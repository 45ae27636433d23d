"""What the report reads of a figure: its words, its numbers, its drawing in light and in dark."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import report_arguments, run_program

from cai.core.errors import UserError
from cai.figures.figure_data import PAPER
from cai.files.records import write_json
from cai.report.drawings import (
    DARK_PAGE,
    LIGHT_PAGE,
    contrast,
    in_dark,
    in_light,
    palette,
    read_figure,
)

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>Drawn</title>
<defs><clipPath id="abc123"><path d="M0 0"/></clipPath></defs>
<g clip-path="url(#abc123)" style="fill: #FFF; stroke: #0072b2"><path fill="#e69f00" d="M0 0"/></g>
</svg>"""
COLORS = st.binary(min_size=3, max_size=3).map(bytes.hex)


@pytest.fixture
def figure(tmp_path):
    """A figure that was drawn; more is told of it with what is given."""
    path = tmp_path / "fig08.svg"
    path.write_text(SVG)

    def figure(told=None, numbers=""):
        if told is not None:
            write_json(path.with_suffix(".json"), told)
        if numbers:
            path.with_suffix(".csv").write_text(numbers)
        return path

    return figure


def test_a_figure_that_tells_nothing_has_the_title_of_its_drawing(figure):
    found = read_figure(figure())
    assert (found["title"], found["caption"], found["rows"]) == ("Drawn", "", [])
    assert found["supported"] and not found["category"]


@pytest.mark.parametrize(
    "told",
    [
        {"n": {"prompts": 64}, "method": "One sentence.", "departures": "A judge."},
        {"samples": {"prompts": 64}, "method": ["One sentence."], "departures": ["A judge."]},
    ],
)
def test_both_ways_of_telling_are_read(figure, told):
    found = read_figure(figure(told | {"seed": 3, "settings": {"steps": [2, 4]}, "results": [1]}))
    assert found["facts"] == {"prompts": "64", "seed": "3", "steps": "2, 4"}
    assert found["method"] == ["One sentence."] and found["departures"] == ["A judge."]
    assert found["category"] == PAPER


def test_numbers_are_a_file_within_the_page(figure):
    numbers = "step,elo\n" + "".join(f"{step},1.5\n" for step in range(100))
    found = read_figure(figure(numbers=numbers))
    assert found["header"] == ["step", "elo"] and len(found["rows"]) == 100
    assert len(found["shown"]) < 100
    kind, _, content = found["link"].partition(",")
    assert kind == "data:text/csv;base64" and base64.b64decode(content).decode() == numbers


def test_ids_are_its_own_and_colors_are_the_pages(figure):
    found = read_figure(figure())
    assert 'id="fig08-abc123"' in found["svg"] and "url(#fig08-abc123)" in found["svg"]
    assert found["colors"] == ["0072b2", "e69f00", "ffffff"]
    assert not re.search(r"(?:fill|stroke)\W+#", found["svg"])
    style = palette([found])
    used = set(re.findall(r"var\((--c\w+)\)", found["svg"]))
    assert used == set(re.findall(r"(--c\w+):", style))


@given(COLORS)
def test_hues_stand_out_in_light_and_in_dark(color):
    red, green, blue = bytes.fromhex(color)
    dark = contrast(tuple(bytes.fromhex(in_dark(color))), DARK_PAGE)
    light = contrast(tuple(bytes.fromhex(in_light(color))), LIGHT_PAGE)
    if max(red, green, blue) - min(red, green, blue) > 24:  # greys are grounds and grids, too
        assert dark >= 4.5 and light >= 3
    elif max(red, green, blue) < 128:  # what is dark on white is text
        assert dark >= 4.5 and in_light(color) == color


def test_what_a_run_does_not_support_is_told_and_not_drawn(finished, figure, tmp_path):
    lack = [{"what": "snapshots", "why": "none was kept"}]
    path = figure({"title": "Elo", "supported": False, "unsupported": lack})
    path.write_text("no drawing at all")
    output = tmp_path / "report.html"
    words = report_arguments(finished, output)
    run_program("write_report", *words, "--figures", finished / "harmlessness.svg", path)
    text = output.read_text()
    assert "<strong>Elo</strong>: snapshots: none was kept" in text
    assert "no drawing at all" not in text and text.count("<figure ") == 1


def test_what_is_told_is_on_the_page(finished, figure, tmp_path):
    told = {"title": "Elo", "caption": "Bars are intervals.", "departures": ["Our own judge."]}
    output = tmp_path / "report.html"
    words = report_arguments(finished, output)
    run_program("write_report", *words, "--figures", figure(told | {"method": "Bradley-Terry."}))
    text = output.read_text()
    for wanted in ("<strong>Elo.</strong> Bars are intervals.", "Our own judge.", "Bradley-Terry."):
        assert wanted in text


@pytest.mark.parametrize(
    ("told", "message"),
    [({"seed": "x"}, r"fig08\.json: seed: .*integer"), ([], r"fig08\.json: [A-Z]")],
)
def test_what_is_told_wrongly_is_one_line(figure, told, message):
    with pytest.raises(UserError, match=message):
        read_figure(figure(told))
