"""The three curves between two measures, against Gaussians, uniform densities and small clouds."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport import curves, interpolate, number_of_modes

MEANS, STDS = (-2.0, 1.5), (0.6, 1.1)
TILTED = Gaussian([-1.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([1.0, 0.0], [[0.3, -0.1], [-0.1, 0.5]])


def pair(cells):
    grid = Grid.uniform(-6.0, 6.0, cells)
    return tuple(Density.gaussian(grid, m, s) for m, s in zip(MEANS, STDS, strict=True))


def on_the_line(t, kind):
    parts = (1.0 - t) * STDS[0], t * STDS[1]
    std = sum(parts) if kind == "displacement" else np.hypot(*parts)
    return Gaussian.of((1.0 - t) * MEANS[0] + t * MEANS[1], std)


def test_densities_on_the_line_displace_to_the_closed_form():
    mu, nu = pair(400)
    for t in (0.3, 0.5, 0.8):
        found, exact = interpolate(mu, nu, t), on_the_line(t, "displacement").on(mu.grid)
        assert np.abs(found.values - exact.values).sum() * mu.grid.cell_volume < 1e-4
        assert found.mass == pytest.approx(1.0, abs=1e-13)


def test_the_product_on_a_grid_is_of_second_order():
    errors = []
    for cells in (100, 200, 400):
        mu, nu = pair(cells)
        exact = on_the_line(0.3, "product").on(mu.grid)
        errors.append(
            np.abs(interpolate(mu, nu, 0.3, "product").values - exact.values).sum() * mu.grid.cell_volume
        )
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8)
    assert errors[-1] < 6e-4


def test_a_plateau_stretches_and_moves_with_its_mass():
    grid = Grid.uniform(0.0, 4.0, 40)
    mu, nu = Density.uniform(grid, 0.0, 1.0), Density.uniform(grid, 1.0, 3.0)
    expected = Density.uniform(grid, 0.5, 2.0)
    assert interpolate(mu, nu, 0.5).values == pytest.approx(expected.values, abs=1e-11)


def test_a_mass_that_splits_leaves_a_vacuum():
    grid = Grid.uniform(-3.0, 3.0, 120)
    one = Density.uniform(grid, -0.5, 0.5)
    two = Density(
        grid, Density.uniform(grid, -2.0, -1.5).values / 2 + Density.uniform(grid, 1.5, 2.0).values / 2
    )
    middle = interpolate(one, two, 0.5)
    expected = Density(
        grid, Density.uniform(grid, -1.25, -0.75).values / 2 + Density.uniform(grid, 0.75, 1.25).values / 2
    )
    assert middle.values == pytest.approx(expected.values, abs=1e-9)
    assert number_of_modes(middle) == 2


def test_gaussians_in_closed_form_are_a_constant_speed_geodesic():
    mu, nu = TILTED
    length = wasserstein(mu, nu)
    middle = interpolate(mu, nu, 0.25)
    assert isinstance(middle, Gaussian)
    assert wasserstein(mu, middle) == pytest.approx(0.25 * length, rel=1e-12)
    assert wasserstein(middle, nu) == pytest.approx(0.75 * length, rel=1e-12)


def test_gaussians_on_a_grid_in_the_plane_have_the_product_of_the_formula():
    grid = Grid.uniform((-5.0, -5.0), (5.0, 5.0), (96, 96))
    mu, nu = (m.on(grid) for m in TILTED)
    found, exact = interpolate(mu, nu, 0.5, "product"), interpolate(*TILTED, 0.5, "product")
    assert found.mean() == pytest.approx(exact.mean(), abs=1e-9)
    # two linear deposits, of half of the cells exactly and of half in the middle of two: h²/8 each
    surplus = found.covariance() - exact.covariance()
    assert np.all(np.abs(surplus - np.diag(np.diag(surplus))) < 1e-9)
    assert np.diag(surplus) == pytest.approx(np.full(2, 0.25 * grid.spacing[0] ** 2), rel=1e-2)


@pytest.mark.parametrize("dimension", [1, 2])
def test_clouds_follow_the_exact_plan(dimension):
    generator = np.random.default_rng(4)
    mu = Particles(generator.standard_normal((7, dimension)), generator.dirichlet(np.ones(7)))
    nu = Particles(2.0 + generator.standard_normal((5, dimension)), generator.dirichlet(np.ones(5)))
    length = wasserstein(mu, nu)
    for t in (0.25, 0.6):
        assert wasserstein(mu, interpolate(mu, nu, t)) == pytest.approx(t * length, rel=1e-9)
    product = interpolate(mu, nu, 0.5, "product")
    assert product.n == 35
    assert product.covariance() == pytest.approx((mu.covariance() + nu.covariance()) / 4, abs=1e-12)
    assert interpolate(mu, nu, 0.25, "mixture").mean() == pytest.approx(0.75 * mu.mean() + 0.25 * nu.mean())


def test_the_curves_tell_kinetic_energy_and_modes():
    times = np.linspace(0.25, 0.75, 3)
    exact = curves(*(Gaussian.of(m, s) for m, s in zip(MEANS, STDS, strict=True)), times)
    found = curves(*pair(400), times)
    squared = 3.5**2 + 0.5**2
    assert exact.kinetic_energy["displacement"] == pytest.approx(np.full(3, squared), rel=1e-12)
    for kind in ("displacement", "product"):
        assert found.kinetic_energy[kind] == pytest.approx(exact.kinetic_energy[kind], rel=1e-3)
    std = np.hypot((1.0 - times) * STDS[0], times * STDS[1])
    rate = (times * STDS[1] ** 2 - (1.0 - times) * STDS[0] ** 2) / std  # of the standard deviation
    assert exact.kinetic_energy["product"] == pytest.approx(3.5**2 + rate**2, rel=1e-12)
    assert np.all(found.kinetic_energy["mixture"] > 2.0 * squared)
    assert found.modes["displacement"].tolist() == [1, 1, 1]
    assert found.modes["mixture"].tolist() == [2, 2, 2]
    assert found.modes["product"].tolist() == [1, 1, 1]


def test_the_elliptic_energy_in_the_plane_is_the_lyapunov_one():
    from jko.transport.paths.between import _product_energy

    energies = []
    for cells in (48, 96):
        grid = Grid.uniform((-5.0, -5.0), (5.0, 5.0), (cells, cells))
        energies.append(_product_energy(*(m.on(grid) for m in TILTED), 0.25))
    errors = np.abs(np.array(energies) - _product_energy(*TILTED, 0.25))
    assert errors[1] < 6e-3
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_a_mixture_of_clouds_teleports():
    mu, nu = (m.sample(40, seed) for seed, m in enumerate(TILTED))
    found = curves(mu, nu, [0.5])
    assert np.isinf(found.kinetic_energy["mixture"][0])
    distances = np.sum((mu.positions[:, None] - nu.positions[None]) ** 2, axis=-1)
    assert found.kinetic_energy["product"][0] == pytest.approx(distances.mean(), rel=1e-12)


def test_modes_of_three_bumps_in_the_plane():
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (64, 64))
    rho = Density.mixture(grid, [(-2.0, 0.0), (2.0, 1.0), (0.0, -2.0)], [0.6, 0.6, 0.6], [0.5, 0.3, 0.2])
    assert number_of_modes(rho) == 3
    assert number_of_modes(rho, prominence=0.5) == 2
    assert number_of_modes(Density.uniform(grid, (-2.0, -2.0), (2.0, 2.0))) == 1


def test_refusals():
    mu, nu = pair(50)
    with pytest.raises(ValueError, match="t: expected a number between 0 and 1"):
        interpolate(mu, nu, 1.5)
    with pytest.raises(ValueError, match="t: expected a number between 0 and 1"):
        interpolate(mu, nu, float("nan"))
    with pytest.raises(ValueError, match="kind: expected one of"):
        interpolate(mu, nu, 0.5, "geodesic")
    with pytest.raises(ValueError, match="the same mass"):
        interpolate(mu, Density(mu.grid, 2.0 * nu.values), 0.5)
    with pytest.raises(ValueError, match="the same dimension"):
        interpolate(mu, TILTED[0], 0.5)
    with pytest.raises(ValueError, match="measures of one kind"):
        interpolate(mu, nu.sample(10, 0), 0.5)
    with pytest.raises(ValueError, match="one grid"):
        interpolate(mu, pair(60)[1], 0.5)
