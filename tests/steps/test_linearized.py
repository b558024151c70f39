"""Linearized against the PDE's exact solution, the exact step, and what it guarantees."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, exact, flow, steps
from tests.first_step import first_step

DRIFT = fn.Entropy() + fn.Potential(lambda x: -x[0])
QUADRATIC = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)


def l1(a, b):
    return np.abs(a.values - b.values).sum() * a.grid.cell_volume


def one_step(F, mu, tau, **settings):
    scheme = steps.Linearized(**settings)
    new, _, info = first_step(scheme, F, mu, tau)
    return new, info


def error_in_the_box(cells, tau, time=0.25, scheme=None):
    """L1 in time and space from the exact solution with a boundary, point values at the centres."""
    answer = exact.FokkerPlanckBoundary(1.0)
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (cells, cells))
    scheme = scheme or steps.Linearized()
    run = flow(DRIFT, answer.on(grid, 0.0), scheme, tau=tau, n_steps=round(time / tau))
    errors = [
        np.abs(mu.values - answer.density(t, grid.points).reshape(grid.cells)).mean()
        for t, mu in zip(run.times[1:], run.measures[1:], strict=True)
    ]
    return tau * sum(errors), run


@pytest.mark.long
def test_fokker_planck_in_a_box_is_of_second_order_and_no_worse_than_published():
    found, run = error_in_the_box(30, 7.8125e-4)
    assert found < 5.27e-4  # the published scheme's at 30² cells
    coarse, _ = error_in_the_box(15, 4.0 * 7.8125e-4)
    assert np.log2(coarse / found) == pytest.approx(2.0, abs=0.1)  # order 2 in h, tau as its square
    assert run.info.dissipation.min() > 0.0
    assert run.info.mass_error.max() < 1e-12
    assert run.info.min_density.min() > 0.0
    assert run.info.relative_gap.max() < 1e-5
    assert np.all(np.diff(run.energy) < 0.0)


def test_order_one_in_tau():
    errors = [error_in_the_box(32, tau)[0] for tau in (0.0125, 0.00625, 0.003125)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.15)


def test_reflected_half_steps_are_of_second_order_and_better_than_published_at_every_level():
    published, errors = (3.846e-2, 1.432e-2, 6.277e-3), []
    for level, bound in enumerate(published):
        found, run = error_in_the_box(
            5 * 2**level, 0.05 / 2**level, scheme=steps.SecondOrder(steps.Linearized())
        )
        assert found < 0.1 * bound
        assert run.info.dissipation.min() > 0.0
        assert run.info.mass_error.max() < 1e-12
        assert np.all(run.info.note == "")
        errors.append(found)
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(2.0, abs=0.15)


def test_reflections_of_rough_data_keep_mass_sign_and_decay():
    generator = np.random.default_rng(6)
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (12, 12))
    mu = Density(grid, generator.random((12, 12)) ** 4 + 1e-6).normalized()
    run = flow(DRIFT, mu, steps.SecondOrder(steps.Linearized()), tau=0.01, n_steps=12)
    assert run.info.detail("plain_steps")[0] == 3
    assert np.all(np.diff(run.energy) < 0.0)
    assert run.info.dissipation.min() > 0.0
    assert run.info.min_density.min() > 0.0
    assert run.info.mass_error.max() < 1e-12


@pytest.mark.parametrize("shape", [(40,), (6, 9), (3, 4, 5)])
def test_elimination_and_multigrid_agree(shape, monkeypatch):
    from jko.steps.linearized import newton as linearized_newton
    from jko.steps.linearized.tolerances import TOLERANCES

    generator = np.random.default_rng(2)
    density, V = 1.0 + generator.random(shape), generator.random(shape)
    found = []
    for limit in (0, 1e9):
        monkeypatch.setattr(linearized_newton, "TOLERANCES", replace(TOLERANCES, direct_work=limit))
        U, spacing = fn.Entropy().parts.internal_energy, tuple(1.0 / n for n in shape)
        newton = linearized_newton.LinearizedNewton(U, 0.02, spacing, density, V)
        assert newton.direct == (limit > 0)
        found.append(newton.eliminated(1e-18, 60) if limit else newton.solve(newton.start(), 1e-18, 60))
    assert found[0].pressure == pytest.approx(found[1].pressure, abs=1e-7)
    assert found[1].gap < 1e-12 * found[1].transport


def test_it_solves_its_optimality_system():
    """ρ − τ∇·(ρ∇φ) = ρ_k with U′(ρ) = φ + (τ/2)|∇φ|² − V, by plain differences on a line."""
    from jko.steps.linearized.newton import LinearizedNewton

    grid, tau = Grid.uniform(0.0, 1.0, 64), 0.01
    mu = Density.from_function(grid, lambda x: 1.5 + jnp.cos(jnp.pi * x[0]))
    V, h = np.sin(3.0 * grid.axes[0]), grid.spacing[0]
    newton = LinearizedNewton(fn.Entropy().parts.internal_energy, tau, grid.spacing, mu.values, V)
    phi = newton.solve(newton.start(), 1e-20, 30).phi.ravel()
    slope = np.diff(phi) / h
    square = np.concatenate([[0.0], slope**2]) + np.concatenate([slope**2, [0.0]])
    rho = np.exp(phi + 0.25 * tau * square - V - 1.0)
    flux = np.concatenate([[0.0], 0.5 * (rho[1:] + rho[:-1]) * slope, [0.0]])
    assert rho - tau * np.diff(flux) / h == pytest.approx(mu.values, abs=2e-7)


def test_its_distance_from_the_exact_step_is_of_second_order_in_tau():
    grid, distances = Grid.uniform(-6.0, 6.0, 800), []
    for tau in (0.02, 0.01, 0.005):
        answer = exact.GaussianJKO(0.5, 0.8, tau)
        new, info = one_step(QUADRATIC, answer.on(grid, 0.0), tau)
        assert info.status == "converged"
        distances.append(l1(new, answer.on(grid, tau)))
    orders = np.log2(np.divide(distances[:-1], distances[1:]))
    assert orders.min() > 1.6


def test_three_dimensions_and_interaction():
    grid = Grid.uniform((-4.0,) * 3, (4.0,) * 3, (20,) * 3)
    mu = Density.gaussian(grid, (0.3, 0.0, -0.2), std=0.9)
    F = QUADRATIC + fn.Interaction("quadratic", strength=0.5)
    new, info = one_step(F, mu, 0.02)
    assert info.status == "converged"
    assert info.details["passes"] > 1
    assert info.mass_error < 1e-12
    assert info.dissipation > 0.0
    assert new.mean() == pytest.approx(mu.mean() / 1.02, abs=2e-3)


def test_entropy_and_a_power_together():
    F = fn.Entropy() + fn.Power(2) + fn.Potential("quadratic", stiffness=1.0)
    mu = Density.gaussian(Grid.uniform(-5.0, 5.0, 200), 0.5, std=0.8)
    new, info = one_step(F, mu, 0.005)
    scheme = steps.Quantile()
    other, _, _ = first_step(scheme, F, mu, 0.005)
    assert info.status == "converged"
    assert l1(new, other) < 0.05 * l1(mu, other)


def test_refusals():
    grid = Grid.uniform((-1.0, -1.0), (1.0, 1.0), (16, 16))
    mu = Density.gaussian(grid, (0.0, 0.0), std=0.5)
    with pytest.raises(ValueError, match="does not take Cap"):
        steps.Linearized().prepare(fn.Entropy() + fn.Cap(1.0), mu)
    with pytest.raises(ValueError, match="keeps the density positive"):
        steps.Linearized().prepare(fn.Power(2), mu)
    with pytest.raises(ValueError, match="tau: expected a positive number"):
        one_step(QUADRATIC, mu, -1.0)
    with pytest.raises(ValueError, match="tolerance: expected a positive number"):
        steps.Linearized(tolerance=0.0)


@pytest.mark.slow
def test_a_step_that_fails_says_so_and_moves_nothing():
    grid = Grid.uniform((-3.0, -3.0), (3.0, 3.0), (12, 12))
    F = fn.Entropy() + fn.Potential(lambda x: 1e4 * (x[0] ** 2 - 1.0) ** 2 + 1e4 * x[1] ** 2)
    mu = Density.gaussian(grid, (0.2, 0.1), std=0.5)
    new, info = one_step(F, mu, 0.1)
    assert info.status == "not converged"
    assert "take tau smaller" in info.note
    assert np.array_equal(new.values, mu.values)


def test_an_infinite_gap_over_an_infinite_cost_is_no_convergence(monkeypatch):
    from jko.steps.linearized.newton import LinearizedLadder, Pair

    lost = Pair(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)), gap=np.inf, transport=np.inf)
    for way in ("climb", "follow"):
        monkeypatch.setattr(LinearizedLadder, way, lambda *_: (lost, 1))
    mu = Density.gaussian(Grid.uniform((-3.0, -3.0), (3.0, 3.0), (16, 16)), (0.0, 0.0), std=1.0)
    new, info = one_step(QUADRATIC, mu, 0.1)
    assert info.status == "not converged"
    assert new is mu
