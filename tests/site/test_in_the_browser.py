"""The built site as a reader sees it: on a telephone, a tablet and a desk, offline."""

import pytest

from tests.browser import browser
from tests.site.pages import BUILT, drawn_pages

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(
        not (BUILT / "index.html").exists(),
        reason="docs/_build is not built: python -m sphinx docs docs/_build",
    ),
]
WIDTHS = (390, 820, 1280)
DOORS = ["Learn", "Engines", "Gallery", "API"]

# what is written on the page outside of code, where a command of TeX or a dollar would be seen
RAW_TEX = r"""() => {
  const seen = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, parent = text.parentElement;
    if (parent.closest('script, style, code, pre, .sig, annotation')) continue;
    const found = text.data.match(/\\[a-zA-Z]{2,}.{0,30}|\$\$.{0,30}|\$[^$\s][^$]*\$/);
    if (found) seen.push(found[0]);
  }
  return seen;
}"""

# what is wider than the window, or than a box that does not scroll
TOO_WIDE = r"""() => {
  const root = document.documentElement, wide = [];
  if (root.scrollWidth > root.clientWidth) wide.push(`the page by ${root.scrollWidth - root.clientWidth} px`);
  const article = document.querySelector('.bd-article, .bd-content') || document.body;
  const edge = article.getBoundingClientRect().right + 1;
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  for (const e of article.querySelectorAll('pre, table, img, math, code, dt')) {
    if (e.tagName === 'PRE' && e.scrollWidth > e.clientWidth && !scrolls(e)) wide.push('code leaves its box');
    let box = e.parentElement;
    while (box !== article.parentElement && !scrolls(box)) box = box.parentElement;
    if (box === article.parentElement && e.getBoundingClientRect().right > edge)
      wide.push(`${e.tagName.toLowerCase()} ${e.textContent.slice(0, 60)}`);
  }
  return wide;
}"""


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": WIDTHS[-1], "height": 900})
    page = context.new_page()
    page.said = []
    page.on("pageerror", lambda error: page.said.append(f"exception: {error}"))
    page.on(
        "console", lambda line: page.said.append(f"console: {line.text}") if line.type == "error" else None
    )
    page.on("requestfailed", lambda asked: page.said.append(f"failed: {asked.url} {asked.failure}"))
    page.on(
        "request", lambda asked: page.said.append(f"network: {asked.url}") if _leaves(asked.url) else None
    )
    yield page
    context.close()


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


def test_no_page_shows_raw_tex_or_an_error_or_is_wider_than_its_window(page):
    faults = []
    for path in drawn_pages():
        page.said.clear()
        page.goto(path.as_uri())
        faults += [f"{path.relative_to(BUILT)}: {said}" for said in page.said]
        faults += [f"{path.relative_to(BUILT)}: raw TeX {found}" for found in page.evaluate(RAW_TEX)]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"{path.relative_to(BUILT)} at {width}: {wide}" for wide in page.evaluate(TOO_WIDE)]
    assert not faults, "\n".join(faults)


def test_a_formula_is_drawn_with_its_font(page):
    page.goto((BUILT / "index.html").as_uri())
    page.evaluate("document.fonts.ready")
    assert page.evaluate("document.fonts.check('16px \"jko math\"')")
    fraction = "document.querySelector('mfrac').getBoundingClientRect()"
    numerator = "document.querySelector('mfrac').firstElementChild.getBoundingClientRect()"
    assert page.evaluate(f"{numerator}.bottom < {fraction}.bottom - 5")


def test_the_header_has_four_doors(page):
    page.goto((BUILT / "index.html").as_uri())
    doors = page.locator(".bd-header .navbar-header-items .nav-item > .nav-link")
    assert [text.strip() for text in doors.all_inner_texts()] == DOORS


def test_a_search_finds_a_page_without_a_network(page):
    page.goto((BUILT / "search.html").as_uri() + "?q=certificate")
    page.wait_for_selector("#search-results li a")
    assert "certificate" in page.locator("#search-results").inner_text().lower()
    assert not page.said


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_the_paper_in_light_and_dark(chromium, dark):
    context = chromium.new_context(color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.goto((BUILT / "learn.html").as_uri())
    brightness = "e => getComputedStyle(e).%s.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765"
    ink = page.locator(".bd-article p").first.evaluate(brightness % "color")
    paper = page.locator("body").evaluate(brightness % "backgroundColor")
    context.close()
    assert (paper < 0.3) == dark
    assert abs(ink - paper) > 0.5
