"""Geodesics between densities in the plane, against Gaussians."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, wasserstein
from jko.transport import brenier_map, curves, geodesic_velocity, interpolate

TILTED = Gaussian([-1.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([1.0, 0.0], [[0.3, -0.1], [-0.1, 0.5]])


def test_densities_in_the_plane_displace_to_the_closed_form_with_order_two():
    errors = []
    for cells in (48, 96):
        grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (cells, cells))
        mu, nu = (m.on(grid) for m in TILTED)
        worst = 0.0
        for t in (0.25, 0.6):
            found, exact = interpolate(mu, nu, t), interpolate(*TILTED, t).on(grid)
            assert found.mass == pytest.approx(1.0, abs=1e-12)
            worst = max(worst, np.abs(found.values - exact.values).sum() * grid.cell_volume)
        errors.append(worst)
    assert errors[1] < 1e-2
    assert np.log2(errors[0] / errors[1]) > 1.5


@pytest.mark.slow
def test_a_geodesic_in_the_plane_divides_the_distance():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (64, 64))
    away = grid.centers - [0.45, 0.5]
    mu = Density(grid, np.maximum(0.03 - np.sum(away**2, axis=-1), 0.0)).normalized()
    nu = Density.mixture(grid, [[0.25, 0.3], [0.7, 0.75]], [0.06, 0.06], weights=[0.4, 0.6])
    whole = wasserstein(mu, nu)
    for t in (0.2, 0.5, 0.8):
        between = interpolate(mu, nu, t)
        assert wasserstein(mu, between) == pytest.approx(t * whole, rel=1e-2)
        assert wasserstein(between, nu) == pytest.approx((1.0 - t) * whole, rel=1e-2)


def test_walls_are_kept_where_both_fill_them_and_left_where_one_moves_away():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (32, 32))
    x = grid.centers[..., 0]
    halves = [Density(grid, (side * (x - 0.5) > 0.0).astype(float)).normalized() for side in (-1.0, 1.0)]
    middle = interpolate(*halves, 0.5)
    assert np.abs(middle.values - 2.0 * (np.abs(x - 0.5) < 0.25)).sum() / 32**2 < 3.0 / 32
    assert middle.values[:6].max() == middle.values[-6:].max() == 0.0
    full = interpolate(Density.uniform(grid), Density(grid, 0.5 + x).normalized(), 0.5)
    assert full.values.min() > 0.5
    assert np.abs(np.diff(full.values, axis=1)).max() < 1e-3


def test_the_three_curves_in_the_plane():
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (48, 48))
    mu, nu = (m.on(grid) for m in TILTED)
    times = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    found = curves(mu, nu, times)
    assert found.kinetic_energy["displacement"] == pytest.approx(wasserstein(*TILTED) ** 2, rel=1e-3)
    for kind in ("mixture", "product"):
        assert found.kinetic_energy[kind].mean() > found.kinetic_energy["displacement"][0]
    assert np.all(found.modes["displacement"] == 1)
    assert found.modes["mixture"][2] == 2


def test_the_velocity_of_the_geodesic_between_gaussians_in_the_plane():
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (64, 64))
    mu, nu = (m.on(grid) for m in TILTED)
    T = brenier_map(*TILTED)
    for t in (0.3, 0.8):
        found, rho = geodesic_velocity(mu, nu, t), interpolate(mu, nu, t).values
        step = np.eye(2) + t * (T.matrix - np.eye(2))
        middle = (1.0 - t) * TILTED[0].mean() + t * TILTED[1].mean()
        start = TILTED[0].mean() + (grid.centers - middle) @ np.linalg.inv(step)
        exact = (T(start.reshape(-1, 2)) - start.reshape(-1, 2)).reshape(found.shape)
        error = np.sum((found - exact) ** 2, axis=-1)
        assert np.sqrt((error * rho).sum() / rho.sum()) < 0.02
    with pytest.raises(ValueError, match="t: expected a number between 0 and 1"):
        geodesic_velocity(mu, nu, 1.0)
