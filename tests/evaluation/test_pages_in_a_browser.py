"""The report and the comparison in a real browser: wide and narrow, light and dark, by keyboard."""

from itertools import product

import pytest
from browsing import chromium
from running import report_edit, write_edit

from cai.report.drawings import contrast

PAGES = ("report", "edited", "comparison", "policies")
WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
# The report in each way; pages in its style in each width and each scheme.
LOOKS = list(product(["report"], WIDTHS, SCHEMES))
LOOKS += [(page, *look) for page in PAGES[1:] for look in zip(WIDTHS, SCHEMES, strict=True)]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def paths(finished, compared, policies, tmp_path_factory):
    edited = report_edit(write_edit(finished, tmp_path_factory.mktemp("edited") / "run"))
    report = finished / "report.html"
    return {"report": report, "edited": edited, "comparison": compared, "policies": policies}


@pytest.fixture
def opened(browser, paths):
    """Open a page; at the end, no error and no request may have been seen."""
    contexts, troubles = [], []

    def opened(name, width=1440, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        own = paths[name].as_uri()
        page.on("request", lambda r: r.url.startswith((own, "data:")) or troubles.append(r.url))
        page.goto(own)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize(("name", "width"), list(product(PAGES, WIDTHS)))
def test_nothing_is_wider_than_the_screen(opened, name, width):
    page = opened(name, width)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = """[...document.querySelectorAll('main *, nav *, header *')].filter(one =>
        !one.closest('.scroll, .numbers, pre, svg, .unseen')
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"""
    assert page.evaluate(outside) == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_of_columns_are_not_broken_letter_by_letter(opened, name):
    page = opened(name, width=360)
    unfold(page)
    heights = "[...document.querySelectorAll('thead tr')].map(row => row.clientHeight)"
    assert max(page.evaluate(heights)) < 80  # pixels: three lines


@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_it_keeps_the_rules_of_accessibility(opened, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, width, scheme)
    unfold(page)
    found = Axe().run(page, options={"runOnly": RULES}).response
    assert {rule["id"] for rule in found["passes"]} >= {"color-contrast", "region", "link-name"}
    told = [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found["violations"]]
    assert told == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_in_figures_stand_out(opened, scheme):
    """Axe leaves SVG out: the color of each of its texts against the page's."""
    page = opened("report", scheme=scheme)
    colors = """[getComputedStyle(document.body).backgroundColor, ...new Set(
        [...document.querySelectorAll('svg text')].map(text => getComputedStyle(text).fill))]"""
    ground, *texts = (rgb(color) for color in page.evaluate(colors))
    assert texts
    assert all(contrast(text, ground) >= 4.5 for text in texts)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_in_figures_stand_out(opened, scheme):
    page = opened("report", scheme=scheme)
    drawn = """[getComputedStyle(document.body).backgroundColor, ...new Set(
        [...document.querySelectorAll('svg path[style*="stroke-width: 1.6"]')]
        .map(line => getComputedStyle(line).stroke))]"""
    ground, *lines = (rgb(color) for color in page.evaluate(drawn))
    assert len(lines) >= 3
    assert all(contrast(line, ground) >= 3 for line in lines)


def rgb(css):
    return tuple(int(part) for part in css[css.index("(") + 1 : -1].split(",")[:3])


def test_the_keyboard_reaches_and_unfolds_what_is_folded(opened):
    page = opened("report")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.startsWith('harmful')"):
            break
    folded = page.evaluate_handle("document.activeElement.parentElement")
    assert folded.evaluate("one => one.tagName") == "DETAILS"
    answer = folded.query_selector(".text")
    assert not answer.is_visible()
    page.keyboard.press("Enter")
    assert answer.is_visible()
    page.keyboard.press("Space")
    assert not answer.is_visible()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


@pytest.mark.parametrize("name", PAGES)
def test_it_needs_no_script_and_no_network(opened, name):
    page = opened(name, java_script_enabled=False, offline=True)
    assert page.locator("h1").is_visible()
    assert page.locator("figure svg").first.is_visible()
    folded = page.locator("details:has(.mark)").first
    assert not folded.locator(".text").first.is_visible()
    folded.locator("summary").click()
    assert folded.locator(".text").first.is_visible()


def test_the_numbers_of_a_figure_can_be_saved(opened, finished):
    page = opened("report", accept_downloads=True)
    page.locator("figure summary", has_text="The numbers").first.click()
    with page.expect_download() as saving:
        page.locator("a[download]").first.click()
    saved = saving.value
    assert saved.suggested_filename == "harmlessness.csv"
    assert saved.path().read_bytes() == (finished / "harmlessness.csv").read_bytes()
