"""The page in headless Chromium: it draws what the runs hold, by mouse, by keys, on a phone, in print."""

import time

import numpy as np
import pytest

import jko
from jko.scheme import Records
from tests.browser import browser, open_page, overflow
from tests.page.pages import run_of, spreading

TIMES = np.linspace(0.0, 2.0, 11)
PLANE = jko.Grid.uniform((-3.0, -3.0), (4.0, 4.0), (60, 60))
LINE = jko.Grid.uniform(-3.0, 4.0, 120)


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def certified(measures, name):
    infos = [
        Records.constant(1, gap=10.0 ** -(k % 5 + 6), note=f"{name}: step {k + 1}", details={"passes": k})
        for k in range(len(measures) - 1)
    ]
    info = Records.concatenate(infos)
    return run_of(measures, TIMES, info=info, displacement_modulus=1.0)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of runs on the line, one of runs in the plane."""
    folder = tmp_path_factory.mktemp("pages")
    text = 'title = "T"\n[grid]\ncells = 60'
    line = {"curves": certified(spreading(LINE, TIMES), "curves")}
    line["cloud"] = run_of([mu.sample(500, seed=0) for mu in spreading(LINE, TIMES)], TIMES)
    line["cloud"].energy = 2.0 * line["cloud"].energy
    plane = {"density": certified(spreading(PLANE, TIMES), "density")}
    plane["dots"] = run_of([mu.sample(300, seed=0) for mu in spreading(PLANE, TIMES)], TIMES)
    exact = jko.exact.Heat(mean=0.0, std=0.4)
    return {
        "line": jko.compare(line, exact).report(folder / "line.html", title="On the line", experiment=text),
        "plane": jko.compare(plane).report(folder / "plane.html", title="In the plane"),
    }


@pytest.fixture(params=["line", "plane"])
def page(request, pages, chromium):
    with open_page(pages[request.param], chromium=chromium) as opened:
        yield opened
        assert opened.errors == []
        assert opened.requests == []


@pytest.fixture
def line_page(pages, chromium):
    with open_page(pages["line"], chromium=chromium) as opened:
        yield opened
        assert opened.errors == []


@pytest.fixture
def plane_page(pages, chromium):
    with open_page(pages["plane"], chromium=chromium) as opened:
        yield opened
        assert opened.errors == []


def box_of(part):
    part.scroll_into_view_if_needed()
    return part.bounding_box()


def curve(page, figure, run):
    return page.get_attribute(f"#{figure} path.curve[data-run='{run}']", "d")


def ends_of(path):
    numbers = [[float(v) for v in point.split(" ")] for point in path[1:].split("L")]
    return np.array(numbers)


def test_the_table_has_every_run_and_the_records_every_step(page):
    head = page.locator("#table thead").first.locator("th").all_inner_texts()
    assert len(head) == 3
    rows = page.locator("#table tbody").first.locator("tr")
    labels = rows.locator("th").all_inner_texts()
    assert {"measure", "τ", "steps", "F at the end"} <= set(labels)
    first = page.locator("details.records").first
    first.locator("summary").click()
    assert first.locator("tbody tr").count() == 10
    assert first.locator("tbody tr").nth(3).locator("td").all_inner_texts()[-2:] == [
        "passes = 3",
        f"{head[1]}: step 4",
    ]


def test_the_slider_moves_every_density_and_says_the_time(line_page):
    end = curve(line_page, "states", 0)
    slider = line_page.locator("#time")
    assert slider.get_attribute("aria-valuetext") == "t = 2"
    slider.focus()
    line_page.keyboard.press("Home")
    assert line_page.inner_text("#now") == "t = 0"
    start = curve(line_page, "states", 0)
    # at t = 0 the density is higher by the ratio of the widths, 1.0 to 0.4
    base = ends_of(start)[:, 1].max()
    assert (base - ends_of(start)[:, 1].min()) / (base - ends_of(end)[:, 1].min()) == pytest.approx(2.5, 0.02)
    line_page.keyboard.press("ArrowRight")
    assert line_page.inner_text("#now") == "t = 0.2"
    assert line_page.get_attribute("#now", "aria-live") == "polite"
    now = line_page.get_attribute("#energy .now", "d")
    line_page.keyboard.press("End")
    assert line_page.get_attribute("#energy .now", "d") != now


def test_maps_and_dots_follow_the_slider(plane_page):
    def pixels():
        return plane_page.evaluate("[...document.querySelectorAll('.panel canvas')].map(c => c.toDataURL())")

    end = pixels()
    plane_page.locator("#time").fill("0")
    start = pixels()
    assert len(start) == 2
    assert all(a != b for a, b in zip(start, end, strict=True))
    labels = plane_page.locator(".panel canvas").evaluate_all("all => all.map(c => c.ariaLabel)")
    assert labels == ["density, t = 0", "dots, t = 0, 300 particles"]
    # the densest cell of the map at t = 0 is that of the mean, (0, 0)
    dark = plane_page.evaluate(
        """() => { const c = document.querySelector('.panel canvas'), g = c.getContext('2d');
        const d = g.getImageData(0, 0, c.width, c.height).data; let best = [1e9, 0, 0];
        for (let y = 10; y < c.height - 40; y++) for (let x = 45; x < c.width - 12; x++) {
          const p = 4 * (y * c.width + x), v = d[p] + d[p + 1];
          if (v < best[0]) best = [v, x, y]; } return [best[1], best[2], c.width, c.height]; }"""
    )
    lower, upper = (np.array(corner) for corner in plane_page.evaluate("data.states.window"))
    inner_width, inner_height = dark[2] - 48, dark[3] - 40
    x = lower[0] + (dark[0] - 40) / inner_width * (upper[0] - lower[0])
    y = upper[1] - (dark[1] - 6) / inner_height * (upper[1] - lower[1])
    assert np.hypot(x, y) < 0.15


def test_a_run_that_is_not_ticked_is_drawn_nowhere(page):
    assert page.locator("path.curve[data-run='0']").count() >= 2
    page.locator(".toggle").first.click()
    assert page.locator("path.curve[data-run='0']").count() == 0
    assert page.locator(".panel[data-track='0']").is_visible() is False
    page.locator(".toggle").first.click()
    assert page.locator("path.curve[data-run='0']").count() >= 2


def test_the_cursor_reads_the_energy(line_page):
    box = box_of(line_page.locator("#energy .plot"))
    left, right = box["x"] + 62, box["x"] + box["width"] - 14
    line_page.mouse.move(left + 0.5 * (right - left) + 2, box["y"] + 100)
    rows = line_page.locator("#energy .tip tr").all_inner_texts()
    assert rows[0].strip() == "t = 1.005" or rows[0].startswith("t = 1.0")
    assert [float(row.split()[-1]) for row in rows[1:]] == pytest.approx(
        [np.exp(-2.0), 2.0 * np.exp(-2.0)], rel=1e-5
    )


def test_keys_move_the_cursor_and_say_the_values_aloud(line_page):
    line_page.locator("#energy .plot").focus()
    line_page.keyboard.press("End")
    line_page.keyboard.press("ArrowLeft")
    said = line_page.locator("#energy output").inner_text()
    assert said.startswith("t 1.8: curves 0.0273237, cloud 0.0546474")
    line_page.keyboard.press("Enter")
    assert line_page.inner_text("#now") == "t = 1.8"
    full = curve(line_page, "energy", 0)
    line_page.keyboard.press("+")
    assert curve(line_page, "energy", 0) != full
    line_page.keyboard.press("0")
    assert curve(line_page, "energy", 0) == full


def test_dragging_zooms_and_a_double_click_shows_all(line_page):
    box = box_of(line_page.locator("#energy .plot"))
    full = curve(line_page, "energy", 0)
    line_page.mouse.move(box["x"] + 200, box["y"] + 100)
    line_page.mouse.down()
    line_page.mouse.move(box["x"] + 400, box["y"] + 120, steps=4)
    line_page.mouse.up()
    assert curve(line_page, "energy", 0) != full
    line_page.mouse.dblclick(box["x"] + 300, box["y"] + 100)
    assert curve(line_page, "energy", 0) == full


def test_on_a_log_axis_an_exponential_is_straight(line_page):
    line_page.locator("#log").check()
    points = ends_of(curve(line_page, "energy", 0))
    bend = np.diff(points[:, 1], 2)
    assert np.abs(bend).max() < 0.3  # of a pixel
    assert np.diff(points[:, 1]).min() > 5.0


def test_the_excess_falls_as_lambda_promises(line_page):
    line_page.locator("#excess").check()
    assert line_page.locator("#log").is_checked()
    assert "Fₘᵢₙ" in line_page.locator("#energy svg").text_content()
    assert line_page.locator("#energy svg path[style*='fill-opacity']").count() >= 1


def test_play_goes_through_all_times_and_stops(line_page):
    line_page.locator("#play").click()
    assert line_page.get_attribute("#play", "aria-label") == "pause"
    line_page.wait_for_selector("#play[aria-label=play]")
    assert line_page.inner_text("#now") == "t = 2"


def test_focus_goes_from_the_clock_to_the_runs_to_the_figures(line_page):
    order = []
    for _ in range(12):
        line_page.keyboard.press("Tab")
        name = "(e => e.id || (e.dataset.run ? 'run' : e.className || e.tagName))(document.activeElement)"
        order.append(line_page.evaluate(name))
    assert order[:6] == ["skip", "paper", "play", "time", "run", "run"]
    assert "plot" in order


def test_no_width_overflows(page):
    for width in (320, 390, 768):
        page.set_viewport_size({"width": width, "height": 844})
        assert overflow(page) <= 0
        assert page.locator("#energy svg").bounding_box()["width"] <= width
        assert page.locator("#now").bounding_box()["width"] >= 60


def test_print_is_light_and_without_controls(pages, chromium):
    with open_page(pages["plane"], dark=True, chromium=chromium) as page:
        assert page.evaluate("document.documentElement.dataset.paper") == "dark"
        page.emulate_media(media="print")
        page.wait_for_selector("html[data-paper=light]")
        assert page.locator("#play").is_visible() is False
        assert page.locator("#time").is_visible() is False
        assert page.locator("#energy svg").is_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('pre, main')).overflow") == "visible"


def test_dark_paper_is_of_the_system_or_chosen(pages, chromium):
    with open_page(pages["plane"], dark=True, chromium=chromium) as page:
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator("#paper").click()
        assert page.get_attribute("#paper", "aria-pressed") == "false"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


@pytest.mark.parametrize(("name", "dark"), [("line", False), ("plane", True)])
def test_it_passes_an_accessibility_check(pages, chromium, name, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'jko[browser]'")
    with open_page(pages[name], dark=dark, chromium=chromium) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        found = axe.Axe().run(page).response["violations"]
        assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in found] == []


def test_it_opens_within_a_second(pages, chromium):
    def seconds():
        with open_page(pages["plane"], chromium=chromium) as page:
            assert page.get_attribute("html", "data-ready") == "yes"
            return page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000.0

    start = time.monotonic()
    opened = []
    while not opened or (min(opened) > 1.0 and time.monotonic() - start < 20.0):
        opened.append(seconds())  # on a machine that others load, the least of several
    assert min(opened) <= 1.0


def test_without_scripts_tables_and_records_are_there(pages, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["line"].resolve().as_uri())
    assert page.locator("#table tbody").first.is_visible()
    assert page.locator("#energy").is_visible() is False
    assert page.locator("noscript p, .warning").first.is_visible()
    context.close()


def test_long_names_do_not_widen_a_phone(tmp_path, chromium):
    names = [f"{k} {'long' * 20}" for k in range(8)]
    runs = {name: run_of(spreading(LINE, TIMES[:2]), TIMES[:2]) for name in names}
    path = jko.compare(runs).report(tmp_path / "page.html")
    with open_page(path, width=390, chromium=chromium) as page:
        assert overflow(page) <= 0
