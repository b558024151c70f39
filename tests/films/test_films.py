"""Films of runs, of comparisons and of the views of an SDE show what was computed."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import functionals as fn
import jko
from jko.films.frames import line_panel, plane_panel
from jko.films.runs import _energy_panel, _nearest
from jko.films.stage import stage_of
from jko.plotting import style
from jko.scheme import Records

SMALL = {"seconds": 0.4, "fps": 10.0, "size": (320, 180), "progress": False}
TIMES = np.linspace(0.0, 1.0, 6)
LAW = jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)


def run_of(measures):
    records = Records.constant(len(TIMES) - 1, gap=1e-9, mass_error=1e-16, dissipation=1e-3)
    return jko.Trajectory(
        times=TIMES, energy=np.exp(-2.0 * TIMES), measures=measures, info=records, tau=0.2, scheme="Hand()"
    )


def runs_of(dimension):
    """A density, a cloud and a Gaussian that move alike."""
    law = jko.exact.OrnsteinUhlenbeck(mean=np.full(dimension, 1.5), std=0.5)
    exact = [law.at(t) for t in TIMES]
    grid = jko.Grid.uniform(
        (-4.0,) * dimension, (5.0,) * dimension, {1: 80, 2: (24, 30), 3: (8, 9, 10)}[dimension]
    )
    return {
        "density": run_of([mu.on(grid) for mu in exact]),
        "cloud": run_of([mu.sample(200, seed=0) for mu in exact]),
        "Gaussian": run_of(exact),
    }


def frames_of(path):
    with Image.open(path) as film:
        found = []
        for k in range(film.n_frames):
            film.seek(k)
            found.append(np.asarray(film.convert("RGB"), dtype=int))
    return found


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_runs_side_by_side_make_a_film_that_moves(dimension, tmp_path):
    runs = runs_of(dimension)
    exact = LAW if dimension == 1 else None
    path = jko.films.film_of_runs(runs, tmp_path / "film.gif", exact, **SMALL)
    frames = frames_of(path)
    assert len(frames) == 4
    assert frames[0].shape == (180, 320, 3)
    assert all(np.abs(a - b).mean() > 0.1 for a, b in itertools.pairwise(frames))


@pytest.mark.slow
def test_a_run_and_a_comparison_film_themselves(tmp_path):
    F = fn.Entropy() + fn.Potential("quadratic")
    start = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 64), mean=1.5, std=0.5)
    runs = {
        "JKO": jko.flow(F, start, jko.steps.Quantile(), tau=0.2, n_steps=4),
        "particles": jko.flow(F, start.sample(200, seed=0), jko.descent.Langevin(seed=1), tau=0.1, n_steps=8),
    }
    assert runs["JKO"].film(tmp_path / "run.mp4", **SMALL) == tmp_path / "run.mp4"
    assert jko.compare(runs, LAW).film(tmp_path / "both.gif", **SMALL).stat().st_size > 2000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.gif", "run.mp4"]


def test_the_marker_of_time_and_the_bright_curve_reach_what_is_shown():
    run = runs_of(1)["density"]
    stage = stage_of((320, 180))
    update = _energy_panel(stage, stage.figure.subplots(), {"run": run})
    update(0.61)
    pale, bright, dot, now = stage.figure.axes[0].lines
    np.testing.assert_array_equal(pale.get_ydata(), run.energy)
    np.testing.assert_array_equal(bright.get_ydata(), run.energy[:4])
    assert dot.get_xdata() == [run.times[3]]
    assert list(now.get_xdata()) == [0.61, 0.61]
    assert [_nearest(run, t) for t in (0.0, 0.09, 0.11, 1.0, 7.0)] == [0, 0, 1, 5, 5]


def test_a_panel_shows_the_measure_it_is_given():
    density, cloud, _ = runs_of(1).values()
    stage = stage_of((320, 180))
    axes = stage.figure.subplots()
    line_panel(stage, axes, density.measures, -4.0, 5.0, style.colour(0))(density.final)
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), density.final.values)
    density, cloud, _ = runs_of(2).values()
    left, right = stage_of((320, 180)).figure.subplots(1, 2)
    box = np.array([-4.0, -4.0]), np.array([5.0, 5.0])
    plane_panel(stage, left, density.measures, (0, 1), *box, style.colour(0))(density.final)
    np.testing.assert_array_equal(left.images[0].get_array(), density.final.values.T)
    plane_panel(stage, right, cloud.measures, (0, 1), *box, style.colour(0))(cloud.final)
    np.testing.assert_array_equal(np.transpose(right.lines[0].get_data()), cloud.final.positions)


def test_what_moves_is_drawn_over_what_is_still():
    stage = stage_of((200, 100))
    axes = stage.figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axvspan(0.0, 0.5, color="black")
    dot = stage.moving(axes.plot([0.25], [0.5], "s", color="red", markersize=10)[0])
    first = stage.frame().copy()
    dot.set_data([0.75], [0.5])
    second = stage.frame()
    assert tuple(first[50, 50, :3]) == (255, 0, 0) == tuple(second[50, 150, :3])
    assert tuple(second[50, 50, :3]) == (0, 0, 0)
    assert tuple(first[50, 150, :3]) == (255, 255, 255)


@pytest.mark.long
def test_the_views_of_an_sde_on_the_line_and_in_the_plane(tmp_path):
    few = {**SMALL, "n": 50, "drawn": 3}
    sde = jko.diffusion.SDE(lambda x, t: -x, lambda x, t: jnp.ones((1, 1)))
    start = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 60), mean=1.0, std=0.4)
    assert len(frames_of(sde.film(tmp_path / "line.gif", start, [0.0, 0.1, 0.3, 0.6], **few))) == 4
    sde = jko.diffusion.SDE(lambda x, t: -x, lambda x, t: jnp.eye(2))
    start = jko.Density.gaussian(jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (24, 24)), mean=1.0, std=0.5)
    assert len(frames_of(sde.film(tmp_path / "plane.gif", start, [0.0, 0.1, 0.3, 0.6], **few))) == 4
    cloud = start.sample(10, seed=0)
    with pytest.raises(ValueError, match="density: expected a Density on the line or in the plane"):
        sde.film(tmp_path / "none.gif", cloud, [0.0, 0.1])
    assert not (tmp_path / "none.gif").exists()


def test_refusals(tmp_path):
    runs = runs_of(1)
    with pytest.raises(TypeError, match="runs: expected a Trajectory or a dict"):
        jko.films.film_of_runs([1], tmp_path / "film.gif")
    with pytest.raises(ValueError, match="seconds: expected a positive number"):
        runs["density"].film(tmp_path / "film.gif", seconds=-1.0)
    with pytest.raises(ValueError, match="runs: expected 11 at most in one film, got 12"):
        jko.films.film_of_runs({f"{k}": runs["cloud"] for k in range(12)}, tmp_path / "film.gif")
    with pytest.raises(ValueError, match=r"ends in \.mp4 or \.gif"):
        jko.animate(runs["density"], tmp_path / "film.avi")
    with pytest.raises(TypeError, match=r"what jko\.flow returns"):
        jko.animate(runs, tmp_path / "film.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_starts_late_is_seen_where_it_is():
    late = dataclasses.replace(runs_of(1)["density"], times=TIMES + 100.0)
    stage = stage_of((320, 180))
    _energy_panel(stage, stage.figure.subplots(), {"late": late})
    assert stage.figure.axes[0].get_xlim()[0] > 99.0
