"""Energies of the gradient: DLSS, thin films and Cahn–Hilliard against their exact answers."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional

FV = jko.limits.FiniteVolume()


def order(errors):
    return np.log2(errors[0] / errors[-1]) / (len(errors) - 1)


def dlss(cells, n_steps, unit=1.0):
    """(L1 error, error of the variance over s, run) of a Gaussian under Fisher information until
    t = .5 unit⁴: s² = s₀² + 4t."""
    grid = jko.Grid.uniform(-12.0 * unit, 12.0 * unit, cells)
    start = jko.Density.gaussian(grid, 0.0, std=unit)
    tau = 0.5 * unit**4 / n_steps
    run = jko.flow(fn.FisherInformation(), start, FV, tau=tau, n_steps=n_steps)
    variance = np.sqrt(3.0) * unit**2
    exact = jko.Density.gaussian(grid, 0.0, std=np.sqrt(variance))
    found = (run.final.values * grid.axes[0] ** 2).sum() * grid.cell_volume
    return np.abs(run.final.values - exact.values).sum() * grid.cell_volume, found / variance - 1.0, run


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_a_gaussian_under_fisher_information(unit):
    results = [dlss(cells, cells // 6, unit) for cells in (60, 120, 240)]
    errors = [error for error, _, _ in results]
    assert order(errors) == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 1e-3
    assert abs(results[-1][1]) < 1e-3
    run = results[-1][2]
    assert run.final.values.min() > 0.0
    assert np.all(np.diff(run.energy) < 0.0)
    assert abs(run.final.mass - 1.0) < 1e-13
    # F = 1/2s of a Gaussian, on the grid to its second order
    assert run.energy[-1] == pytest.approx(0.5 / (np.sqrt(3.0) * unit**2), rel=2e-3)


def test_fisher_information_in_the_plane():
    grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (30, 30))
    start = jko.Gaussian(np.zeros(2), np.diag([1.0, 0.5])).on(grid)
    run = jko.flow(fn.FisherInformation(), start, FV, tau=0.05, n_steps=2)
    exact = np.sqrt(np.array([1.0, 0.25]) + 0.4)
    np.testing.assert_allclose(np.diag(run.final.covariance()), exact, rtol=1e-2)
    assert run.final.values.min() > 0.0


def film(grid, t, unit=1.0, points=32):
    """Cell averages of the source solution t^{−1/5}(ω² − η²)₊²/120, η = x/t^{1/5}, lengths in units."""
    omega = (225.0 / 2.0) ** 0.2
    offsets = ((np.arange(points) + 0.5) / points - 0.5) * grid.spacing[0]
    eta = (grid.axes[0][:, None] + offsets) / (unit * t**0.2)
    return (np.maximum(omega**2 - eta**2, 0.0) ** 2 / (120.0 * t**0.2 * unit)).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "sizes"), [(1.0, (50, 100, 200)), (100.0, (100, 200))])
def test_a_thin_film_spreads_as_its_source_solution(unit, sizes):
    """∂_tρ = −∂(ρ∂³ρ) with ρ in 1/unit: time in units of unit⁵."""
    errors = []
    for cells in sizes:
        grid = jko.Grid.uniform(-4.0 * unit, 4.0 * unit, cells)
        start = jko.Density(grid, film(grid, 0.5, unit))
        tau = 0.5 * unit**5 / (cells // 5)
        run = jko.flow(fn.Dirichlet(), start, FV, tau=tau, n_steps=cells // 5)
        errors.append(np.abs(run.final.values - film(grid, 1.0, unit)).sum() * grid.cell_volume)
        assert run.final.values.min() >= 0.0
        assert np.all(np.diff(run.energy) < 0.0)
        assert abs(run.final.mass / start.mass - 1.0) < 1e-13
    assert errors[-1] < 2e-4
    assert order(errors) > 1.9


def well(s):
    """A double well, with U″(c) = 2 − 12c + 12c²."""
    return s**2 * (1.0 - s) ** 2


CAHN_HILLIARD = 0.01 * fn.Dirichlet() + fn.InternalEnergy(well, convex=False)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_growth_rate_of_spinodal_decomposition(periodic):
    """ρ = c + ε cos kx grows at −ck²(U″(c) + κk²) [CahnHilliard1958]."""
    grid, c, k = jko.Grid.uniform(0.0, np.pi, 64, periodic=periodic), 0.45, 4.0
    wave = np.cos(k * grid.axes[0])
    rate = -c * k**2 * (2.0 - 12.0 * c + 12.0 * c**2 + 0.01 * k**2)
    start = jko.Density(grid, c + 1e-4 * wave)
    run = jko.flow(CAHN_HILLIARD, start, FV, tau=0.1 / rate, n_steps=10)
    growth = (run.final.values @ wave) / (start.values @ wave)
    assert rate > 0.0
    assert np.log(growth) * rate / rate == pytest.approx(1.0, rel=0.01)


@pytest.mark.slow
def test_spinodal_decomposition_in_the_plane_loses_energy_and_no_mass():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (20, 20), periodic=True)
    noise = np.random.default_rng(0).normal(size=grid.cells)
    start = jko.Density(grid, 0.5 + 0.05 * noise)
    F = 1e-3 * fn.Dirichlet() + fn.InternalEnergy(well, convex=False)
    run = jko.flow(F, start, FV, tau=0.02, n_steps=12)
    assert np.all(np.diff(run.energy) < 0.0)
    assert abs(run.final.mass / start.mass - 1.0) < 1e-12
    assert np.ptp(run.final.values) > 0.8  # it has parted


@pytest.mark.slow
def test_a_straight_interface_has_the_profile_and_energy_of_theory():
    """At rest ρ = (1 + tanh(x/ε))/2 with ε = √(2κ), and F = ∫√(2κU) a unit of interface = √(2κ)/6."""
    kappa = 0.01
    grid = jko.Grid.uniform(-1.0, 1.0, 160)
    start = jko.Density(grid, np.where(grid.axes[0] > 0.0, 0.999, 0.001))
    run = jko.flow(CAHN_HILLIARD, start, FV, tau=0.05, n_steps=40)
    profile = 0.5 * (1.0 + np.tanh(grid.axes[0] / np.sqrt(2.0 * kappa)))
    assert np.abs(run.final.values - profile).max() < 5e-3
    assert run.energy[-1] == pytest.approx(np.sqrt(2.0 * kappa) / 6.0, rel=1e-2)


def test_a_general_energy_of_the_gradient_is_the_named_one():
    grid = jko.Grid.uniform(-3.0, 3.0, 40)
    start = jko.Density.gaussian(grid, 0.2, std=0.7)
    for named, g in ((fn.Dirichlet(), lambda s: s), (fn.FisherInformation(), lambda s: 2.0 * s**0.5)):
        written = fn.GradientEnergy(g)
        assert written(start) == pytest.approx(named(start), rel=1e-13)
        finals = [jko.flow(F, start, FV, tau=0.02, n_steps=2).final.values for F in (named, written)]
        np.testing.assert_allclose(finals[0], finals[1], atol=1e-11)


@pytest.mark.long
@pytest.mark.parametrize("F", [fn.FisherInformation(), fn.Dirichlet()], ids=repr)
@pytest.mark.parametrize("tau", [1e-3, 10.0])
def test_rough_data_and_long_steps_keep_the_structure(F, tau):
    grid = jko.Grid.uniform(-2.0, 2.0, 24)
    values = np.random.default_rng(5).random(24) ** 4
    values[values < 0.1] = 0.0
    start = jko.Density(grid, values).normalized()
    run = jko.flow(F, start, FV, tau=tau, n_steps=1)
    assert run.energy[-1] < run.energy[0]
    assert run.final.values.min() >= 0.0
    assert abs(run.final.mass - 1.0) < 1e-13


def test_a_step_by_a_cone_program_is_the_implicit_one_up_to_tau():
    """Two discretisations of order 2 in h of steps that differ by O(τ²); the certificate closes."""
    grid = jko.Grid.uniform(-3.0, 3.0, 30)
    start = jko.Density.gaussian(grid, 0.2, std=0.8)
    for F in (fn.FisherInformation(), fn.Dirichlet(), fn.FisherInformation() + fn.Entropy()):
        step = jko.flow(F, start, jko.steps.Cvxpy(formulation="eulerian"), tau=0.002, n_steps=1)
        volume = jko.flow(F, start, FV, tau=0.002, n_steps=1)
        moved = np.abs(step.final.values - start.values).sum()
        assert step.info.relative_gap.max() < 1e-6
        assert np.abs(step.final.values - volume.final.values).sum() < 0.06 * moved


def test_what_is_not_taken_says_what_is():
    rho = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 30), 0.0, std=1.0)
    well_alone = fn.InternalEnergy(well, convex=False)
    with pytest.raises(UnsupportedFunctional, match=r"add c \* fn\.Dirichlet\(\)"):
        jko.flow(well_alone, rho, FV, tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match="takes no cap beside an energy of the gradient"):
        jko.flow(fn.Dirichlet() + fn.Cap(2.0), rho, FV, tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match=r"limits\.FiniteVolume"):
        jko.flow(fn.Dirichlet(), rho, jko.steps.PrimalDual(), tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match=r"fn\.Dirichlet\(\) and fn\.FisherInformation\(\)"):
        jko.flow(fn.GradientEnergy(lambda s: s**1.5), rho, jko.steps.Cvxpy(), tau=0.1, n_steps=1)
    with pytest.raises(ValueError, match="convex=False"):
        fn.InternalEnergy(well)
    with pytest.raises(ValueError, match="g must rise"):
        fn.GradientEnergy(lambda s: -s)
