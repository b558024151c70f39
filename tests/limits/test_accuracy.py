"""Orders in h and τ by refinement, and the figures that the project promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import functionals as fn
import jko

FV = jko.limits.FiniteVolume()


def l1_error(exact, F, lower, upper, cells, time, n_steps):
    """L1 between the finite volumes and the exact point values at `time`."""
    grid = jko.Grid.uniform(lower, upper, cells)
    run = jko.flow(F, exact.on(grid, 0.0), FV, tau=time / n_steps, n_steps=n_steps, store_every=n_steps)
    reference = exact.density(time, grid.points).reshape(grid.cells)
    return np.abs(run.final.values - reference).sum() * grid.cell_volume


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_ornstein_uhlenbeck_on_256_squared():
    exact = jko.exact.OrnsteinUhlenbeck(mean=(1.5, 1.5), std=0.5)
    F = fn.Entropy() + fn.Potential("quadratic")
    grid = jko.Grid.uniform((-6.0, -6.0), (6.0, 6.0), 256)
    run = jko.flow(F, exact.on(grid, 0.0), FV, tau=0.01, n_steps=10, store_every=10)
    reference = exact.density(0.1, grid.points).reshape(grid.cells)
    error = np.linalg.norm(run.final.values - reference) / np.linalg.norm(reference)
    assert error <= 7e-5


@pytest.mark.parametrize(
    ("exact", "F", "lower", "upper", "time"),
    [
        (
            jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5, temperature=0.8),
            0.8 * fn.Entropy() + fn.Potential("quadratic"),
            -6.0,
            6.0,
            0.2,
        ),
        (
            jko.exact.OrnsteinUhlenbeck(mean=(0.5, -0.5), std=0.7, stiffness=[[1.0, 0.4], [0.4, 0.7]]),
            fn.Entropy() + fn.Potential("quadratic", stiffness=[[1.0, 0.4], [0.4, 0.7]]),
            (-6.0, -6.0),
            (6.0, 6.0),
            0.2,
        ),
        (jko.exact.FokkerPlanckBoundary(drift=1.0, dimension=1), "boundary", 0.0, 1.0, 0.1),
        (
            jko.exact.FokkerPlanckBoundary(drift=-3.0, dimension=2),
            "steep boundary",
            (0.0, 0.0),
            (1.0, 1.0),
            0.1,
        ),
    ],
    ids=["Ornstein-Uhlenbeck", "rotated in the plane", "boundary", "boundary in the plane"],
)
def test_order_two_with_tau_proportional_to_h(exact, F, lower, upper, time):
    if isinstance(F, str):
        g = exact.drift
        F = fn.Entropy() + fn.Potential("linear", slope=-g if exact.dimension == 1 else [-g, 0.0])
    errors = [l1_error(exact, F, lower, upper, n, time, n // 4) for n in (32, 64, 128)]
    assert np.all(orders(errors) > 1.9)
    assert orders(errors)[-1] < 2.6


def test_heat_beats_order_two_in_h():
    """The compact form of the fluxes is exact to h⁴ without a potential, away from the walls."""
    exact = jko.exact.Heat(mean=0.0, std=0.6)
    errors = [l1_error(exact, fn.Entropy(), -7.0, 7.0, n, 0.2, 400) for n in (32, 64)]
    assert orders(errors)[-1] > 3.0
    errors = [l1_error(exact, fn.Entropy(), -7.0, 7.0, n, 0.2, n // 8) for n in (128, 256, 512)]
    assert np.all(np.abs(orders(errors) - 2.0) < 0.15)


def cell_averages(exact, grid, time, points=64):
    """Averages over the cells of a line, so that the front's place inside a cell is seen."""
    offsets = ((np.arange(points) + 0.5) / points - 0.5) * grid.spacing[0]
    samples = (grid.axes[0][:, None] + offsets).reshape(-1, 1)
    return exact.density(time, samples).reshape(grid.size, points).mean(axis=1)


@pytest.mark.slow
def test_barenblatt():
    """Order 2 away from the front; in L1 the front's cell, met anywhere, leaves 1.85 over many grids."""
    exact = jko.exact.Barenblatt(exponent=2.0, dimension=1, start_time=0.1)
    sizes, l1, inside = np.array([50, 66, 80, 100, 132, 160, 200]), [], []
    for n in sizes:
        grid = jko.Grid.uniform(-2.5, 2.5, int(n))
        rho = jko.Density(grid, cell_averages(exact, grid, 0.0))
        steps = int(n) // 4
        run = jko.flow(fn.Power(2), rho, FV, tau=0.2 / steps, n_steps=steps, store_every=steps)
        error = np.abs(run.final.values - cell_averages(exact, grid, 0.2))
        l1.append(error.sum() * grid.cell_volume)
        inside.append(error[np.abs(grid.axes[0]) < 0.6].max())
    assert -np.polyfit(np.log(sizes), np.log(inside), 1)[0] == pytest.approx(2.0, abs=0.1)
    assert -np.polyfit(np.log(sizes), np.log(l1), 1)[0] > 1.6
    assert l1[-1] <= 1.5e-4


@pytest.mark.parametrize(
    "F",
    [
        fn.Entropy() + fn.Potential("double_well", height=0.5),
        fn.Power(2) + fn.Potential("quadratic"),
        fn.Power(0.6) + fn.Potential("quadratic"),
        pytest.param(
            fn.InternalEnergy(lambda s: s**2 + s**3 / 3.0) + fn.Interaction("quadratic"),
            marks=pytest.mark.long,
        ),
        fn.Entropy() + fn.Interaction("gaussian", strength=-2.0, width=0.8),
        fn.Entropy() + fn.Potential("quadratic") + fn.Cap(0.55),
    ],
    ids=repr,
)
def test_declared_order_in_tau(F):
    grid = jko.Grid.uniform(-3.0, 3.0, 64)
    rho = jko.Density.mixture(grid, [-0.6, 0.9], [0.5, 0.4])
    finals = [
        jko.flow(F, rho, FV, tau=0.2 / n, n_steps=n, store_every=n).final.values for n in (16, 32, 64, 128)
    ]
    changes = [np.abs(b - a).sum() for a, b in itertools.pairwise(finals)]
    assert np.all(np.abs(orders(changes) - jko.limits.FiniteVolume.order) < 0.15)


def test_pure_transport_follows_the_characteristics():
    """∂_tρ = ∂(ρx): ρ(t, x) = eᵗρ₀(eᵗx)."""
    errors = []
    for n in (100, 200, 400):
        grid = jko.Grid.uniform(-3.0, 3.0, n)
        rho = jko.Density.gaussian(grid, mean=0.8, std=0.5)
        run = jko.flow(fn.Potential("quadratic"), rho, FV, tau=0.05, n_steps=10, store_every=10)
        exact = jko.Gaussian(0.8 * np.exp(-0.5), 0.25 * np.exp(-1.0)).on(grid)
        errors.append(np.abs(run.final.values - exact.values).sum() * grid.cell_volume)
    assert np.all(orders(errors) > 1.7)


def test_aggregation_reaches_the_semicircle():
    grid = jko.Grid.uniform(-2.5, 2.5, 100)
    rho = jko.Density.gaussian(grid, mean=0.0, std=0.5)
    run = jko.flow(fn.Interaction("quadratic_logarithmic"), rho, FV, tau=0.05, n_steps=160, store_every=160)
    semicircle = np.sqrt(np.maximum(2.0 - grid.axes[0] ** 2, 0.0)) / np.pi
    assert np.abs(run.final.values - semicircle).sum() * grid.cell_volume < 0.03


def test_keller_segel_second_moment():
    """d/dt∫|x|² = 4(1 − χ/χ_c), with χ_c = 4 for W = χ log|z| and the ½ of the interaction."""
    grid = jko.Grid.uniform((-6.0, -6.0), (6.0, 6.0), 96)
    rho = jko.Density.gaussian(grid, mean=(0.0, 0.0), std=1.0)
    F = fn.Entropy() + fn.Interaction("logarithmic", strength=-2.0)
    run = jko.flow(F, rho, FV, tau=0.05, n_steps=4)
    moments = [np.trace(mu.covariance()) for mu in run.measures]
    slope = (moments[-1] - moments[0]) / (run.times[-1] - run.times[0])
    assert slope == pytest.approx(4.0 * (1.0 - 2.0 / 4.0), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("cap", [None, 1.2])
def test_a_strong_drift_against_a_weak_diffusion_at_any_tau(cap):
    """One step of τ = .5, in which the drift carries mass over forty cells, against a hundred."""
    grid = jko.Grid.uniform(-3.0, 3.0, 120)
    F = 0.02 * fn.Power(2) + 4.0 * fn.Potential("quadratic")
    F = F if cap is None else F + fn.Cap(cap)
    rho = jko.Density.uniform(grid, 0.8, 1.8)
    one, many = (jko.flow(F, rho, FV, tau=0.5 / n, n_steps=n, store_every=n).final.values for n in (1, 100))
    assert np.abs(many - rho.values).sum() * grid.cell_volume > 1.9
    assert np.abs(one - many).sum() * grid.cell_volume < 2e-3
