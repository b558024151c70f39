"""The film of the theorem: every number on its screen against an independent computation, and its frames."""

import re

import numpy as np
import pytest
from PIL import Image

import jko
from jko.cli import main
from jko.films import Theorem, theorem_film
from jko.films.theorem import film as reel
from jko.films.theorem.film import SCENES, write_stills
from jko.films.theorem.galaxies import FIRST
from jko.films.theorem.look import Camera, blend, ease
from jko.films.theorem.mesh import Mesh

TIMES = (np.arange(200) + 0.5) / 200


@pytest.fixture(scope="module")
def small():
    return Theorem.of(stars=300, cells=48, times=12, tolerance=1e-3)


def action(path, h=1e-3):
    """∫₀¹∫|ẋ_t|² dt of moving points, their velocity by central differences of the positions."""
    return np.mean([np.mean(np.sum(((path(t + h) - path(t - h)) / (2 * h)) ** 2, axis=1)) for t in TIMES])


def test_the_plan_sends_each_star_to_a_star_of_its_own_at_the_least_cost(small):
    from scipy.optimize import linear_sum_assignment

    x, y = small.first.positions, small.second.positions
    np.testing.assert_allclose(np.sort(small.matched, axis=0), np.sort(y, axis=0), atol=1e-12)
    cost = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
    rows, columns = linear_sum_assignment(cost)
    assert small.static == pytest.approx(cost[rows, columns].mean(), rel=1e-12)


def test_the_kinetic_energy_of_the_displacement_is_the_least_cost(small):
    assert action(small.displaced) == pytest.approx(small.static, rel=1e-9)
    paid = [small.paid(s) for s in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(paid, np.array([0.0, 0.0625, 0.25, 1.0]) * small.static, rtol=1e-12)


def test_the_product_coupling_pays_the_mean_over_all_pairs_and_more(small):
    x, y = small.first.positions, small.second.positions
    assert small.product == pytest.approx(np.mean(np.sum((x[:, None] - y[None]) ** 2, axis=-1)), rel=1e-12)
    assert small.product > 1.05 * small.static
    # the pairs that are drawn are a sample of it: within five standard errors
    i, j = small.pairs.T
    drawn = np.sum((x[i] - y[j]) ** 2, axis=1)
    assert abs(drawn.mean() - small.product) < 5.0 * drawn.std() / np.sqrt(len(drawn))
    assert action(small.mixed) == pytest.approx(drawn.mean(), rel=1e-9)


def test_the_detour_pays_more_than_the_river_by_the_energy_of_its_swing(small):
    assert action(small.swung) == pytest.approx(small.detour, rel=1e-4)
    assert small.detour == pytest.approx(small.static + 0.5 * np.pi**2 * 0.42**2, rel=1e-3)
    assert small.detour_energy(TIMES).min() >= small.static * (1.0 - 1e-3)


def test_the_dynamic_value_is_the_static_one(small):
    # a fluid on 48 x 27 cells beside a plan between 300 stars: what is left is of h², Δt² and the kernel
    assert small.dynamic_value == pytest.approx(small.static, rel=1e-2)
    assert np.ptp(small.dynamic.kinetic_energy) < 0.02 * small.static  # constant speed
    assert small.river_energy(TIMES).mean() == pytest.approx(small.dynamic_value, rel=5e-3)
    assert small.dynamic.continuity_residual < 1e-2
    grid_value = jko.wasserstein(*(small.dynamic.at(t).normalized() for t in (0.0, 1.0))) ** 2
    assert small.dynamic_value == pytest.approx(grid_value, rel=1e-2)


def test_what_runs_on_the_panel_ends_at_the_three_values(small):
    assert small.river_action(1.0) == pytest.approx(small.dynamic_value, rel=1e-6)
    for t in (0.3, 1.0):
        steps = t * (np.arange(2000) + 0.5) / 2000
        assert small.detour_action(t) == pytest.approx(t * small.detour_energy(steps).mean(), rel=1e-3)
    scene = SCENES[3](small, (320, 180))
    scene.draw(1.0)
    ends = [total.get_text() for _, total, _ in scene.totals]
    assert ends == [small.shown(value) for value in (small.product, small.detour, small.dynamic_value)]


def test_the_velocity_of_the_river_carries_the_stars_where_the_plan_does(small):
    x, h = small.first.positions, 1.0 / 40
    for k in range(40):
        x = x + h * small.velocity(x + 0.5 * h * small.velocity(x, k * h), (k + 0.5) * h)
    far = np.sqrt(np.mean(np.sum((x - small.matched) ** 2, axis=1)))
    assert far < 0.1 * np.sqrt(small.static)  # a tenth of the way, most of it the kernel's width


def test_digits_are_shown_as_far_as_both_values_have_them(small):
    assert small.shown(small.static) == small.shown(small.dynamic_value)
    finer = f"{{:.{small.decimals + 1}f}}"
    assert small.decimals == 3 or finer.format(small.static) != finer.format(small.dynamic_value)


@pytest.mark.long
def test_the_numbers_of_the_film():
    theorem = Theorem.of()
    assert theorem.dynamic_value == pytest.approx(theorem.static, rel=1e-3)
    assert theorem.decimals >= 2
    assert theorem.static < theorem.product < theorem.detour


def test_the_grid_is_bent_by_the_map_and_does_not_fold(small):
    class Lines:
        def lines(self, **look):
            return None

        scale = 1.0

    mesh = Mesh(small, Lines())
    assert len(mesh.start) > 500
    ways, images = mesh.start[:, 1] - mesh.start[:, 0], mesh.end[:, 1] - mesh.end[:, 0]
    grown = np.sum(ways * images, axis=1) / np.sum(ways**2, axis=1)
    assert grown.min() > -1e-6  # ⟨T(x) − T(y), x − y⟩ ≥ 0: T is monotone


def test_stars_are_in_arms():
    stars = FIRST.stars(4000).positions
    assert stars.shape == (4000, 2)
    assert np.abs(stars.mean(axis=0) - FIRST.centre).max() < 0.05
    np.testing.assert_array_equal(stars, FIRST.stars(4000).positions)


@pytest.mark.parametrize("number", SCENES)
def test_every_scene_moves_and_keeps_its_letters_inside(number, small):
    scene = SCENES[number](small, (320, 180))
    early, late = scene.draw(0.2)[..., :3].astype(int), scene.draw(scene.still)[..., :3].astype(int)
    assert np.abs(late - early).mean() > 0.5
    renderer = scene.sky.figure.canvas.get_renderer()
    boxes = []
    for words in scene.sky.figure.texts:
        if words.get_text() and words.get_alpha() != 0.0:
            box = words.get_window_extent(renderer)
            assert box.x0 >= 0, words.get_text()
            assert box.x1 <= 320, words.get_text()
            assert box.y0 >= 0, words.get_text()
            assert box.y1 <= 180, words.get_text()
            boxes.append((words.get_text(), box.shrunk(0.9, 0.7)))
    for i, (one, box) in enumerate(boxes):
        assert not [other for other, second in boxes[i + 1 :] if box.overlaps(second)], one


def test_the_same_frame_is_drawn_in_whatever_order(small):
    scene = SCENES[3](small, (320, 180))
    first = scene.draw(0.4).copy()
    scene.draw(0.9)
    np.testing.assert_array_equal(scene.draw(0.4), first)


@pytest.mark.slow
def test_a_film_of_chosen_scenes_and_its_stills(small, tmp_path):
    path = theorem_film(
        tmp_path / "film.gif",
        scenes=(2, 5),
        seconds=0.8,
        size=(160, 90),
        stills=tmp_path / "stills",
        theorem=small,
        progress=False,
    )
    with Image.open(path) as film:
        assert film.size == (160, 90)
        assert film.n_frames == 8
    assert sorted(p.name for p in (tmp_path / "stills").iterdir()) == ["film_2.png", "film_5.png"]
    with Image.open(write_stills(small, tmp_path, (1,), (320, 180))[0]) as still:
        assert still.size == (320, 180)


def test_easing_and_colours_go_from_end_to_end():
    assert [ease(u) for u in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert blend(0.0)[2] > blend(0.0)[0]
    assert blend(1.0)[0] > blend(1.0)[2]
    np.testing.assert_allclose(
        Camera((1.0, 2.0), 4.0).pixels(np.array([[1.0, 2.0]]), (320, 180)), [[160, 90]]
    )


def test_the_command(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reel.Theorem, "of", classmethod(lambda cls: small))
    assert (
        main(
            ["film", "--output", "made/short.mp4", "--scenes", "1,4", "--seconds", "0.3", "--size", "160x90"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert re.search(
        rf"W2\^2: {small.static:.4f} by the exact plan, {small.dynamic_value:.4f} dynamically", said
    )
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["short.mp4"]
    assert (
        main(["film", "--quiet", "--output", "a.gif", "--seconds", ".2", "--size", "64x64", "--fps", "10"])
        == 0
    )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--output", "film.avi"], "path: expected a film that ends in .mp4 or .gif, got 'film.avi'"),
        (["--scenes", "1,9"], "scenes: expected some of 1, 2, 3, 4, 5, each once, got (1, 9)"),
        (["--scenes", "1,1"], "scenes: expected some of 1, 2, 3, 4, 5, each once, got (1, 1)"),
        (["--scenes", "two"], "--scenes: expected whole numbers as in 1,3, got 'two'"),
        (["--size", "720p"], "--size: expected whole numbers as in 1280x720, got '720p'"),
        (["--size", "1281x720"], "size: expected even numbers of 64 to 4096 pixels, got (1281, 720)"),
        (["--seconds", "-3"], "seconds: expected a positive number, got -3"),
    ],
)
def test_the_command_refuses_before_it_computes(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reel.Theorem, "of", None)
    assert main(["film", *arguments]) == 2
    assert capsys.readouterr().err.strip() == sentence
    assert list(tmp_path.iterdir()) == []
