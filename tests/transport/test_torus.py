"""W₂ on tori: against the plan between all images, and closed forms."""

import itertools

import numpy as np
import pytest

import jko
from jko.measures import Density, Gaussian, Grid, Particles
from jko.transport import brenier_map, sinkhorn


def images_plan(x, y, sides):
    """W₂ between equal points by assignment over all images within one turn."""
    from scipy.optimize import linear_sum_assignment

    turns = np.array(list(itertools.product((-1, 0, 1), repeat=len(sides)))) * sides
    x, y = (lower + np.mod(z - lower, sides) for z, lower in ((x, 0.0), (y, 0.0)))
    cost = np.min([np.sum((x[:, None] - y[None] + t) ** 2, axis=-1) for t in turns], axis=0)
    rows, columns = linear_sum_assignment(cost)
    return np.sqrt(cost[rows, columns].mean())


def test_clouds_on_a_torus_take_the_nearest_image():
    generator = np.random.default_rng(3)
    for d in (1, 2, 3):
        sides = np.array([1.3, 0.4, 2.0])[:d]
        grid = Grid.uniform((0.0,) * d, tuple(sides), (8,) * d, periodic=True)
        x, y = (generator.normal(scale=3.0, size=(12, d)) for _ in range(2))
        found = jko.wasserstein(Particles(x), Particles(y), torus=grid)
        assert found.method == ("circle" if d == 1 else "exact")
        assert found == pytest.approx(images_plan(x, y, sides), rel=1e-12)


def test_the_circle_agrees_with_the_simplex_for_weights_of_any_kind():
    generator = np.random.default_rng(0)
    for _ in range(12):
        lower, side = generator.normal(), generator.uniform(0.5, 3.0)
        grid = Grid.uniform(lower, lower + side, 8, periodic=True)
        clouds = [
            Particles(generator.normal(size=(n, 1)), generator.dirichlet(np.ones(n)))
            for n in generator.integers(1, 9, size=2)
        ]
        exact = jko.wasserstein(*clouds, "exact", torus=grid)
        assert jko.wasserstein(*clouds, torus=grid) == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_a_turned_density_is_a_turn_away_and_no_more():
    """A block of width .2 moved by s along a circle of length 1 is min(s, 1 − s) away where s + .1 < .5:
    beyond, some of it goes the other way round."""
    grid = Grid.uniform(-0.5, 0.5, 200, periodic=True)
    block = np.where(np.abs(grid.axes[0]) < 0.1, 5.0, 0.0)
    for cells in (10, 60, 140, 190):
        moved = Density(grid, np.roll(block, cells))
        distance = min(cells, 200 - cells) / 200
        assert jko.wasserstein(Density(grid, block), moved) == pytest.approx(distance, rel=1e-12)
        assert jko.wasserstein(moved, Particles(np.array([[-0.5 + 1e-9]]))) <= 0.51


def test_a_cloud_beside_a_density_in_the_plane_is_wrapped_and_walls_stay_walls():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), 20, periodic=(True, False))
    spot = np.zeros((20, 20))
    spot[0, 0] = 400.0  # of width .05 about (.025, .025)
    density = Density(grid, spot)
    for point, away in (((0.975, 0.025), 0.05), ((7.025, 0.025), 0.0), ((0.025, 0.975), 0.95)):
        found = jko.wasserstein(density, Particles(np.array([point])))
        assert abs(found - away) <= found.error_bound + 1e-12 <= 0.03


def waves(grid, phase):
    return Density(grid, np.exp(1.5 * np.cos(2.0 * np.pi * (grid.axes[0] - phase) / 2.0))).normalized()


@pytest.mark.parametrize("shift", [0.3, 1.8])
def test_the_map_of_a_translation_goes_the_shorter_way_round(shift):
    grid = Grid.uniform(-1.0, 1.0, 200, periodic=True)
    mu = Density(grid, np.where(np.abs(grid.axes[0]) < 0.1, 5.0, 0.0))
    turned = mu.with_values(np.roll(mu.values, round(shift / 0.01)))
    x = np.linspace(-0.099, 0.099, 21)
    T = brenier_map(mu, turned)
    assert T(x)[:, 0] - x == pytest.approx(shift if shift < 1.0 else shift - 2.0, abs=1e-9)
    assert T(x - 4.0)[:, 0] == pytest.approx(T(x)[:, 0] - 4.0, abs=1e-12)


def test_the_map_of_a_circle_pushes_and_costs_what_it_should():
    grid = Grid.uniform(-1.0, 1.0, 400, periodic=True)
    mu, nu = waves(grid, 0.9), Density(grid, 1.0 + 0.8 * np.sin(3.0 * np.pi * grid.axes[0])).normalized()
    fine = np.linspace(-1.0, 1.0, 400 * 16 + 1)
    x = 0.5 * (fine[1:] + fine[:-1])
    mass = np.repeat(mu.masses, 16) / 16.0
    T = brenier_map(mu, nu)
    images = T(x)[:, 0]
    assert mass @ (images - x) ** 2 == pytest.approx(jko.wasserstein(mu, nu) ** 2, rel=1e-5)
    for k in (1, 2, 3):
        wave = np.exp(1j * np.pi * k * images)
        expected = nu.masses @ (np.exp(1j * np.pi * k * grid.axes[0]) * np.sinc(k * 0.0025))
        assert mass @ wave == pytest.approx(expected, abs=1e-5)
    assert T(x + 6.0)[:, 0] == pytest.approx(images + 6.0, abs=1e-12)
    wide = np.linspace(-5.0, 5.0, 2001)  # u' = T, over several periods
    slope = np.diff(T.potential(wide)) / np.diff(wide)
    assert slope == pytest.approx(T(0.5 * (wide[1:] + wide[:-1]))[:, 0], abs=1e-3)
    assert np.diff(slope).min() > -1e-9


def test_what_a_torus_does_not_take_is_refused_by_name():
    grid = Grid.uniform(0.0, 1.0, 8, periodic=True)
    density = Density.uniform(grid)
    cloud = Particles(np.array([[0.2], [0.7]]))
    with pytest.raises(ValueError, match="a Gaussian lives in free space"):
        jko.wasserstein(density, Gaussian.of(0.5, 0.1))
    with pytest.raises(ValueError, match="method: on a torus there are circle and exact, got 'quantile'"):
        jko.wasserstein(density, cloud, "quantile")
    with pytest.raises(ValueError, match="expected densities on one torus"):
        jko.wasserstein(density, Density.uniform(Grid.uniform(0.0, 1.5, 8, periodic=True)))
    with pytest.raises(ValueError, match="expected densities on one torus"):
        jko.wasserstein(density, Density.uniform(Grid.uniform(0.0, 1.0, 8)))
    with pytest.raises(TypeError, match="torus: expected a Grid"):
        jko.wasserstein(cloud, cloud, torus=1.0)
    with pytest.raises(ValueError, match='method: "circle" is for measures on a periodic line'):
        jko.wasserstein(cloud, cloud, "circle")
    plane = Density.uniform(Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, periodic=True))
    with pytest.raises(ValueError, match="in a box"):
        sinkhorn(density, density, 1.0)
    with pytest.raises(ValueError, match="in a box"):
        brenier_map(plane, plane.sample(9, seed=0))
