"""What a page holds: the runs' numbers to the digits that are drawn, within its size, whatever the runs."""

import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

import jko
from jko.comparison import side_by_side
from jko.measures import Measure
from jko.page.budget import MOST_BYTES, Budget
from jko.page.encoding import as_json
from jko.page.palette import HEAT, declarations
from jko.page.series import extremes, records_of, thinned
from jko.page.states import slider_times
from jko.plotting import style
from jko.scheme import Records, StepInfo
from tests.page.pages import data_of, frames, page_of, read, run_of, spreading

LINE = jko.Grid.uniform(-3.0, 4.0, 140)
TIMES = np.linspace(0.0, 1.0, 5)


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_a_curve_is_the_density_to_a_part_in_65535(unit):
    grid = jko.Grid.uniform(-3.0 * unit, 4.0 * unit, 140)
    measures = [jko.Gaussian.of(0.5 * t * unit, (0.4 + 0.3 * t) * unit).on(grid) for t in TIMES]
    (track,) = data_of(page_of({"a": run_of(measures, TIMES)}))["states"]["tracks"]
    x, values = read(track["x"]), frames(track)
    shown = np.searchsorted(grid.axes[0], x)
    np.testing.assert_array_equal(grid.axes[0][shown], x)
    for mu, seen in zip(measures, values, strict=True):
        np.testing.assert_allclose(seen, mu.values[shown], rtol=0.0, atol=mu.values.max() / 65535)
        left_out = np.delete(mu.values, shown)
        assert left_out.max(initial=0.0) <= 1e-3 * mu.values.max()


@pytest.mark.parametrize("cells", [(50, 60), (333, 270)])
def test_a_map_carries_the_mass_and_the_mean_of_its_density(cells):
    grid = jko.Grid.uniform((-4.0, -3.0), (4.0, 5.0), cells)
    measures = spreading(grid, TIMES)
    (track,) = data_of(page_of({"a": run_of(measures, TIMES)}))["states"]["tracks"]
    (image,) = track["maps"]
    (n1, n2), (x0, x1, y0, y1) = image["cells"], image["box"]
    assert max(n1, n2) <= Budget().cells
    assert bool(image["note"]) == (cells == (333, 270))
    centres = x0 + (np.arange(n1) + 0.5) * (x1 - x0) / n1
    for mu, values in zip(measures, frames(image, "u1"), strict=True):
        masses = values.reshape(n1, n2) * (x1 - x0) * (y1 - y0) / (n1 * n2)
        assert masses.sum() == pytest.approx(1.0, abs=4e-3)  # 1e-3 outside the window, half a part in 255
        assert centres @ masses.sum(axis=1) == pytest.approx(mu.mean()[0], abs=1e-2)


def test_dots_are_particles_of_the_cloud_and_the_same_ones_at_all_times():
    start = jko.Gaussian.of(0.0, 1.0, dimension=2).sample(4000, seed=1)
    clouds = [start.with_positions(start.positions + np.array([t, 2.0 * t])) for t in TIMES]
    states = data_of(page_of({"a": run_of(clouds, TIMES)}))["states"]
    (track,) = states["tracks"]
    lower, upper = np.array(states["window"])
    assert track["counts"] == [Budget().dots] * 5
    assert "1500 of them shown" in track["note"]
    points = lower + read(track["points"]).reshape(5, -1, 2) / 65535 * (upper - lower)
    step = (upper - lower).max() / 65535
    moved = np.broadcast_to(TIMES[:, None, None] * [1.0, 2.0], points.shape)
    np.testing.assert_allclose(points - points[0], moved, rtol=0.0, atol=2.0 * step)
    nearest = np.abs(points[0][:50, None] - clouds[0].positions[None]).max(axis=2).min(axis=1)
    assert nearest.max() <= step


def test_weights_change_which_particles_are_dots():
    positions = np.random.default_rng(0).normal(size=(3000, 2))
    light = jko.Population(positions, np.where(positions[:, 0] > 0.0, 9.0, 1.0))
    (track,) = data_of(page_of({"a": run_of([light, light], [0.0, 1.0])}))["states"]["tracks"]
    first = read(track["points"]).reshape(2, -1, 2)[0]
    assert len(first) == Budget().dots
    states = data_of(page_of({"a": run_of([light, light], [0.0, 1.0])}))["states"]
    lower, upper = np.array(states["window"])[:, 0]
    share = np.mean(lower + first[:, 0] / 65535 * (upper - lower) > 0.0)
    # drawn without return: between the share of 9/10 of the mass and that of all of the heavy half
    assert 0.7 < share < 0.92


def test_a_population_whose_number_changes_is_drawn_at_each_time():
    generator = np.random.default_rng(2)
    clouds = [jko.Population(generator.normal(size=(n, 1)), mass=n / 100) for n in (100, 160, 40)]
    (track,) = data_of(page_of({"a": run_of(clouds, [0.0, 1.0, 2.0])}))["states"]["tracks"]
    assert track["kind"] == "histogram"
    assert track["numbers"] == [100, 160, 40]
    heights, edges = frames(track), read(track["x"])
    np.testing.assert_allclose(heights @ np.diff(edges), [1.0, 1.6, 0.4], rtol=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_gaussians_of_any_dimension(dimension):
    gaussians = [jko.Gaussian.of(t, 1.0 + t, dimension=dimension) for t in TIMES]
    exact = jko.exact.Heat(mean=np.zeros(dimension), std=1.0) if dimension < 3 else None
    states = data_of(page_of({"a": run_of(gaussians, TIMES)}, exact))["states"]
    kind = {1: "curve"}.get(dimension, "ellipses")
    assert states["tracks"][0]["kind"] == kind
    assert len(states["planes"]) == {1: 0, 2: 1, 3: 3, 4: 1}[dimension]
    if dimension == 1:
        values = frames(states["tracks"][0])
        np.testing.assert_allclose(values.max(axis=1), 1.0 / np.sqrt(2.0 * np.pi) / (1.0 + TIMES), rtol=1e-3)
    if dimension < 3:
        assert states["tracks"][1]["run"] == -1
        assert states["tracks"][1]["kind"] == ("curve" if dimension == 1 else "maps")


def test_densities_in_space_have_three_marginals():
    grid = jko.Grid.uniform((-3.0,) * 3, (3.0,) * 3, (16, 20, 24))
    (track,) = data_of(page_of({"a": run_of(spreading(grid, TIMES[:2]), TIMES[:2])}))["states"]["tracks"]
    assert len(track["maps"]) == 3
    for image in track["maps"]:
        x0, x1, y0, y1 = image["box"]
        mass = frames(image, "u1").mean(axis=1) * (x1 - x0) * (y1 - y0)
        np.testing.assert_allclose(mass, 1.0, atol=1e-2)


def test_species_are_tracks_of_their_run():
    grid = jko.Grid.uniform(-3.0, 3.0, 60)
    pairs = [jko.Species(prey=a, fox=a) for a in spreading(grid, TIMES)]
    data = data_of(page_of({"one": run_of(pairs, TIMES), "two": run_of(pairs, TIMES)}))
    assert [track["name"] for track in data["states"]["tracks"]] == [
        "one: prey", "one: fox", "two: prey", "two: fox"]  # fmt: skip
    assert [track["run"] for track in data["states"]["tracks"]] == [0, 0, 1, 1]


class Spectrum(Measure):
    """A kind of measure of its own: coefficients, without points."""

    dimension = 1

    def __init__(self, coefficients):
        self.coefficients = coefficients

    @classmethod
    def fields_of(cls, measures):
        return {"coefficient": (("time", "mode"), np.stack([m.coefficients for m in measures]))}, {}, {}

    mass, mean, covariance = 1.0, lambda self: np.zeros(1), lambda self: np.eye(1)


class Silent(Spectrum):
    """One whose fields are not written yet."""

    @classmethod
    def fields_of(cls, measures):
        raise NotImplementedError("no fields\nyet")


@pytest.mark.parametrize("kind", [Spectrum, Silent])
def test_a_kind_of_measure_of_ones_own_shows_what_its_fields_give(kind, monkeypatch):
    monkeypatch.setattr(Measure, "known", dict(Measure.known))
    measures = [kind(np.cos(t * np.arange(6.0))) for t in TIMES]
    (track,) = data_of(page_of({"a": run_of(measures, TIMES)}))["states"]["tracks"]
    if kind is Silent:
        assert (track["kind"], track["note"]) == ("none", "cannot be drawn: no fields yet")
        return
    assert track["kind"] == "profile"
    assert track["note"] == "coefficient over its indices"
    np.testing.assert_allclose(frames(track), [m.coefficients for m in measures], atol=2.0 / 65535)


def test_the_slider_has_all_times_of_the_coarse_run_and_some_of_the_fine_one():
    coarse, fine = np.linspace(0.0, 1.0, 11), np.linspace(0.0, 1.5, 3001)
    times = slider_times([fine, coarse], 60)
    assert len(times) <= 60
    assert np.all(np.diff(times) > 0.0)
    assert set(np.round(coarse, 12)) <= set(np.round(times, 12))
    assert times[-1] == 1.5
    np.testing.assert_array_equal(slider_times([coarse * 1e-9, coarse * 1e-9], 60), coarse * 1e-9)


def test_what_is_thinned_keeps_ends_and_extremes():
    kept = thinned(100_000, 300)
    assert (kept[0], kept[-1]) == (0, 99_999)
    assert len(kept) <= 300
    assert np.array_equal(thinned(7, 300), np.arange(7))
    column = np.zeros(100_000)
    column[[31_415, 77_777]] = 5.0, -3.0
    kept = extremes([column, np.full(100_000, np.nan)], 100_000, 200)
    assert {0, 31_415, 77_777, 99_999} <= set(kept)
    assert len(kept) <= 202


def test_records_of_a_long_run_tell_every_failure_and_the_worst_step():
    infos = [StepInfo(gap=1e-9) for _ in range(5000)]
    infos[1234] = StepInfo(gap=1e-3)
    infos[2345] = StepInfo(status="not converged", note="stalled", details={"passes": 9})
    rows = {
        row["step"]: row
        for row in records_of(run_of([None] * 2, n_steps=5000, info=Records.of(infos)), 40, 400)
    }
    assert {1, 1235, 2346, 5000} <= set(rows)
    assert len(rows) <= 40
    assert rows[2346]["status"] == "not converged"
    assert rows[2346]["note"] == "stalled"
    assert rows[2346]["details"] == "passes = 9"
    assert rows[5000]["time"] == pytest.approx(1.0)


def huge_runs():
    """Twelve long runs of a large cloud and large densities, each step with a long note."""
    generator = np.random.default_rng(0)
    cloud = generator.normal(size=(20_000, 2)).astype(np.float32)
    density = jko.Gaussian.of(0.0, 1.0, dimension=2).on(jko.Grid.uniform((-4.0,) * 2, (4.0,) * 2, (256, 256)))
    note = "a step that has much to say of what happened to it " * 20
    infos = Records.of([StepInfo(gap=1.0 / (k + 1), note=f"{k} {note}") for k in range(3000)])
    runs = {}
    for k in range(12):
        mu = density if k % 2 else jko.Particles(cloud)
        measures = [mu] * 300
        runs[f"run {k}"] = run_of(measures, n_steps=3000, info=infos)
    return runs


@pytest.mark.slow
def test_a_page_stays_small_whatever_the_runs(tmp_path, monkeypatch):
    free = SimpleNamespace(value=0.0, error_bound=0.0, method="", of_shapes=False)
    for name in ("w2_distance", "l1_distance"):  # distances between large clouds are no part of a page
        monkeypatch.setattr(side_by_side, name, lambda *measures: free)
    runs = huge_runs()
    comparison = jko.compare(runs)
    start = time.process_time()
    path = comparison.report(tmp_path / "page.html", experiment="# a line\n" * 100_000)
    seconds = time.process_time() - start
    assert path.stat().st_size < MOST_BYTES
    assert seconds < 6.0
    text = path.read_text(encoding="utf-8")
    assert "the rest of the file is left out" in text
    assert "of 3000 steps" in text


def test_nothing_in_a_page_is_read_as_tags(tmp_path):
    evil = "</script><script>alert(1)</script>&<b>"
    run = run_of(spreading(LINE, TIMES), TIMES, info=Records.constant(4, note=evil, details={"<i>": "<u>"}))
    run.functional = run.scheme = evil
    text = page_of({evil: run}, title=evil, experiment=evil)

    class Tags(HTMLParser):
        found = []

        def handle_starttag(self, tag, attributes):
            self.found.append(tag)

    Tags().feed(text)
    assert Tags.found.count("script") == 3  # the paper's, the data, the page's
    assert not {"b", "i", "u"} & set(Tags.found[Tags.found.index("header") : Tags.found.index("main")])
    assert data_of(text)["names"] == [evil]


def test_json_keeps_every_text():
    assert "<" not in as_json({"a": "</script><!--"})
    with pytest.raises(ValueError, match="Out of range"):
        as_json({"a": np.nan})


def test_infinite_and_missing_energies_are_written(tmp_path):
    energy = np.array([np.inf, 2.0, np.nan, 1.0, 0.5])
    text = page_of({"a": run_of(spreading(LINE, TIMES), TIMES, energy=energy)})
    (found,) = data_of(text)["energies"]
    np.testing.assert_array_equal(read(found["energy"]), energy)


def test_a_path_that_is_no_page_is_refused_and_nothing_is_written(tmp_path):
    report = jko.compare({"a": run_of(spreading(LINE, TIMES), TIMES)})
    with pytest.raises(ValueError, match=r"path: expected a file that ends in \.html, got 'page\.pdf'"):
        report.report(tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())


def test_colours_are_those_of_the_pictures():
    colours = style.heat_colours()
    for place, anchor in enumerate(HEAT):
        share = place / (len(HEAT) - 1)
        if share >= 0.15:  # below, both come out of the paper
            seen = 255.0 * np.array(colours(share)[:3])
            assert np.abs(seen - [int(anchor[i : i + 2], 16) for i in (1, 3, 5)]).max() < 4.0
    assert all(colour in declarations() for colour in style.PALETTE)


def contrast(first, second):
    """The contrast ratio of two colours by the Web Content Accessibility Guidelines."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted([luminance(first), luminance(second)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_colour_is_seen_on_dark_paper():
    dark = declarations().split("data-paper=dark]")[1]
    found = [part.split(":")[1] for part in dark.strip(" {}\n").split(";") if part]
    assert len(found) == len(style.PALETTE)
    assert min(contrast(colour, "#131922") for colour in found) > 4.5
