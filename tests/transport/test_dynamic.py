"""Dynamic transport against static transport, a cone programme, and the geodesics of Gaussians."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, wasserstein
from jko.transport import benamou_brenier, brenier_map, interpolate

TILTED = Gaussian([-1.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([1.0, 0.5], [[0.3, -0.1], [-0.1, 0.5]])
LINE = Gaussian.of(-1.0, 0.6), Gaussian.of(1.5, 1.0)


def plane(cells):
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (cells, cells))
    return tuple(m.on(grid) for m in TILTED)


def line(cells):
    grid = Grid.uniform(-8.0, 8.0, cells)
    return tuple(m.on(grid) for m in LINE)


@pytest.mark.slow
def test_the_value_is_the_static_one_in_the_plane():
    run = benamou_brenier(*plane(128), n_times=32)
    assert run.value == pytest.approx(wasserstein(*TILTED) ** 2, rel=1e-4)
    assert run.continuity_residual < 1e-12
    assert run.mismatch < 1e-4
    assert run.kinetic_energy == pytest.approx(np.full(32, run.value), rel=3e-3)


def test_the_value_converges_with_the_mesh_on_the_line():
    errors = []
    for cells, times in ((64, 8), (128, 16), (256, 32)):
        run = benamou_brenier(*line(cells), n_times=times, tolerance=1e-6, max_iterations=10_000)
        errors.append(abs(run.value / wasserstein(*LINE) ** 2 - 1.0))
    assert errors[-1] < 1e-4
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 1.4)


def test_two_gaussians_come_with_their_grid():
    run = benamou_brenier(*LINE, n_times=16)
    assert run.value == pytest.approx(wasserstein(*LINE) ** 2, rel=3e-4)
    assert run.grid.cells == (1000,)


def waves(dimension, cells):
    """Mass everywhere in the unit cube, a product of the same along every axis."""
    grid = Grid.uniform((0.0,) * dimension, (1.0,) * dimension, (cells,) * dimension)
    along = (lambda x: 1.0 + 0.8 * np.cos(2.0 * np.pi * x)), (lambda x: 1.5 + np.sin(6.0 * x))
    values = (np.prod(np.meshgrid(*[f(x) for x in grid.axes], indexing="ij"), axis=0) for f in along)
    return tuple(Density(grid, v).normalized() for v in values)


@pytest.mark.parametrize(("dimension", "sizes"), [(1, (32, 64)), (2, (16, 32))])
def test_the_order_is_two_where_there_is_no_vacuum(dimension, sizes):
    exact = dimension * wasserstein(*waves(1, 16_384)) ** 2
    errors = [
        benamou_brenier(*waves(dimension, n), n // 4, tolerance=1e-6).value / exact - 1.0 for n in sizes
    ]
    assert 0.0 < errors[1] < 7e-4
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.93, abs=0.07)


def test_a_cone_programme_on_a_small_grid_agrees():
    grid = Grid.uniform(0.0, 1.0, 12)
    mu, nu = Density.mixture(grid, [0.3], [0.12]), Density.mixture(grid, [0.5, 0.8], [0.1, 0.08])
    run = benamou_brenier(mu, nu, n_times=5, tolerance=1e-6, max_iterations=50_000)
    cones = benamou_brenier(mu, nu, n_times=5, method="cvxpy")
    assert run.value == pytest.approx(cones.value, rel=2e-5)
    assert cones.continuity_residual < 1e-6
    assert cones.density[-1] == pytest.approx(nu.values, abs=1e-6)
    assert cones.kinetic_energy == pytest.approx(np.full(5, cones.value), rel=0.1)


def test_a_cone_programme_in_the_plane_agrees():
    grid = Grid.uniform((-3.0, -3.0), (3.0, 3.0), (10, 9))
    mu, nu = (m.on(grid) for m in TILTED)
    run = benamou_brenier(mu, nu, n_times=3, tolerance=1e-6, max_iterations=50_000)
    cones = benamou_brenier(mu, nu, n_times=3, method="cvxpy")
    assert run.value == pytest.approx(cones.value, rel=5e-5)
    heavy = 0.5 * (cones.density[1:] + cones.density[:-1]) > 0.05
    assert np.abs(cones.velocity - run.velocity)[heavy].max() < 0.05


@pytest.mark.slow
def test_the_dynamic_value_meets_back_and_forth():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (48, 48))
    away = grid.centers - [0.35, 0.4]
    mu = Density(grid, np.maximum(0.04 - np.sum(away**2, axis=-1), 0.0)).normalized()
    nu = Density.mixture(grid, [[0.3, 0.6], [0.7, 0.45]], [0.07, 0.07])
    assert benamou_brenier(mu, nu, n_times=12).value == pytest.approx(wasserstein(mu, nu) ** 2, rel=5e-3)


@pytest.mark.slow
def test_the_velocity_is_that_of_the_geodesic():
    run = benamou_brenier(*plane(64), n_times=16)
    T, (mu, nu) = brenier_map(*TILTED), TILTED
    for k in (2, 8, 13):
        t = (k + 0.5) / 16
        spread = (1.0 - t) * np.eye(2) + t * T.matrix
        centred = run.grid.centers - interpolate(mu, nu, t).mean()
        exact = (nu.mean() - mu.mean()) + centred @ np.linalg.solve(spread, T.matrix - np.eye(2))
        weight = interpolate(mu, nu, t).on(run.grid).values * run.grid.cell_volume
        error = np.sum(weight * np.sum((run.velocity[k] - exact) ** 2, axis=-1))
        assert error < 1e-4 * run.value


def test_the_densities_are_those_of_the_displacement():
    mu, nu = line(256)
    run = benamou_brenier(mu, nu)
    assert run.density[0] == pytest.approx(mu.values, abs=1e-15)
    assert run.density[-1] == pytest.approx(nu.values, abs=1e-15)
    assert run.density.sum(axis=1) * mu.grid.cell_volume == pytest.approx(np.ones(33), abs=1e-12)
    for t in (0.25, 0.5, 0.71):
        found, exact = run.at(t), interpolate(mu, nu, t)
        assert np.abs(found.values - exact.values).sum() * mu.grid.cell_volume < 1e-2


@pytest.mark.slow
def test_a_mass_that_splits_and_a_mass_that_stays():
    grid = Grid.uniform(-3.0, 3.0, 200)
    halves = [Density.uniform(grid, a, a + 0.5).values / 2 for a in (-2.0, 1.5)]
    one, two = Density.uniform(grid, -0.5, 0.5), Density(grid, sum(halves))
    assert benamou_brenier(one, two).value == pytest.approx(wasserstein(one, two) ** 2, rel=2e-3)
    assert benamou_brenier(one, one).value == pytest.approx(0.0, abs=1e-7)


def test_units_do_not_matter():
    mu, nu = line(64)
    large = Grid.uniform(-8000.0, 8000.0, 64)
    run = benamou_brenier(mu, nu, n_times=8)
    far = benamou_brenier(Density(large, 3.0 * mu.values), Density(large, 3.0 * nu.values), n_times=8)
    assert far.value == pytest.approx(3e9 * run.value, rel=1e-5)


def test_refusals():
    mu, nu = line(32)
    with pytest.raises(ValueError, match="the same mass"):
        benamou_brenier(mu, Density(mu.grid, 2.0 * nu.values))
    with pytest.raises(ValueError, match="expected densities on a grid"):
        benamou_brenier(mu.sample(5, 0), nu.sample(5, 1))
    with pytest.raises(ValueError, match="n_times"):
        benamou_brenier(mu, nu, n_times=1)
    with pytest.raises(RuntimeError, match="did not converge in 20 iterations"):
        benamou_brenier(mu, nu, max_iterations=20)
    with pytest.raises(ValueError, match="cells of space-time at most"):
        benamou_brenier(*plane(64), method="cvxpy")
    with pytest.raises(ValueError, match="t: expected"):
        benamou_brenier(mu, nu, n_times=4).at(1.2)
