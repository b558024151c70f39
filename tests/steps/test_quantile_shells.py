"""JKO steps between edges of one's own: exact steps in shells and on half lines, in two systems of units."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import steps
from jko.errors import UnsupportedFunctional
from jko.steps.quantile.shells import shell_energy

QUANTILE = steps.Quantile()


def averages(exact, grid, t, length):
    """Cell averages of a solution in units of `length`, over 64 thin shells a cell, of mass 1."""
    edges, parts = grid.edges[0], np.linspace(0.0, 1.0, 65)
    thin = (edges[:-1, None] + np.diff(edges)[:, None] * parts).T
    middle = 0.5 * (thin[1:] + thin[:-1])
    points = np.pad(middle.reshape(-1, 1) / length, [(0, 0), (0, grid.dimension - 1)])
    values = exact.density(t, points).reshape(middle.shape) / length**grid.dimension
    masses = (values * np.diff(grid.volume_within(thin), axis=0)).sum(axis=0)
    return grid.density(masses / grid.cell_volume).normalized()


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def graded(n, reach):
    s = np.linspace(0.0, 1.0, n + 1)
    return reach * (0.4 * s + 0.6 * s**2)


def test_the_energy_of_shells_and_its_derivatives():
    """Forces and stiffness against differences, in every dimension; the cells convex in their edges."""
    grid_of, U = (lambda d: jko.Grid.radial(np.linspace(0.0, 2.0, 6), d)), fn.Power(1.7)
    edges, masses = np.array([0.0, 0.3, 0.5, 1.1, 1.2, 2.0]), np.array([0.1, 0.3, 0.0, 0.4, 0.2])

    def at(grid, x):
        return shell_energy(U, grid, x, np.diff(x), masses)

    for d in (1, 2, 3, 4):
        grid = grid_of(d)
        value, _, rigidity, (force, stiffness) = at(grid, edges)
        sphere = {1: 2.0, 2: 2.0 * np.pi, 3: 4.0 * np.pi, 4: 2.0 * np.pi**2}[d]
        held = masses > 0.0
        volumes = sphere * np.diff(edges**d)[held] / d
        assert value == pytest.approx(np.sum(volumes * U.density(masses[held] / volumes)), rel=1e-12)
        hessian = np.diag(np.append(rigidity, 0.0) + np.append(0.0, rigidity) + stiffness)
        hessian -= np.diag(rigidity, 1) + np.diag(rigidity, -1)
        for i in range(1, 6):
            step = 1e-5 * np.eye(6)[i]
            up, down = at(grid, edges + step), at(grid, edges - step)
            assert force[i] == pytest.approx((up[0] - down[0]) / 2e-5, rel=1e-6, abs=1e-8)
            slope = (up[3][0] - down[3][0]) / 2e-5
            assert np.allclose(hessian[i, 1:], slope[1:], rtol=1e-6, atol=1e-6 * np.abs(hessian).max())
        assert np.linalg.eigvalsh(hessian)[0] > -1e-10 * np.abs(hessian).max()


@pytest.mark.parametrize(
    ("d", "length", "energy"),
    [
        pytest.param(1, 1.0, 1.0, marks=pytest.mark.long),
        (2, 40.0, 3e-3),
        pytest.param(3, 1.0, 1.0, marks=pytest.mark.long),
    ],
)
def test_steps_of_gaussians(d, length, energy):
    """(1 + λτ)σ′² − σσ′ − θτ = 0 four times, at any τ, to second order in the cells."""
    theta, stiffness, tau = 0.7 * energy, 0.3 * energy / length**2, 0.5 * length**2 / energy
    F, sigma, errors = theta * fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness), length, []
    for _ in range(4):
        a = 1.0 + stiffness * tau
        sigma = (sigma + np.sqrt(sigma**2 + 4.0 * a * theta * tau)) / (2.0 * a)
    for n in (40, 80, 160):
        grid = jko.Grid.radial(graded(n, 9.0 * length), d)
        run = jko.flow(F, jko.Gaussian.of(0.0, length, dimension=d).on(grid), QUANTILE, tau=tau, n_steps=4)
        exact = jko.Gaussian.of(0.0, sigma, dimension=d).on(grid)
        errors.append(np.abs(run.final.values - exact.values) @ grid.cell_volume)
        assert run.info.mass_error.max() < 1e-12
        assert run.info.relative_gap.max() <= 1e-9
    assert np.all(orders(errors) > 1.8), errors
    assert errors[-1] < 1.5e-3


@pytest.mark.parametrize(
    ("d", "length", "energy"), [pytest.param(2, 1.0, 1.0, marks=pytest.mark.long), (3, 40.0, 3e-3)]
)
def test_steps_of_barenblatt(d, length, energy):
    """(r′ − r)/τ = c r′^{−d(m−1)−1} for the scale of the state, to second order; the outermost edge, in a
    cell of constant density, to first."""
    start = jko.exact.Barenblatt(2.0, d, start_time=0.1)
    end = start
    for _ in range(4):
        end = end.jko_step(0.05)
    F, radii, scales, distances = energy * length**d * fn.Power(2.0), [], [], []
    for n in (40, 80, 160):
        h = start.radius() / n
        edges = length * h * np.arange(int(1.05 * end.radius() / h) + 2.0)
        grid = jko.Grid.radial(edges, d)
        mu = averages(start, grid, 0.0, length)
        problem = QUANTILE.prepare(F, mu)
        state, tau = problem.start, 0.05 * length**2 / energy
        for k in range(4):
            mu, state, info = QUANTILE.step(problem, mu, k * tau, tau, state)
            assert info.converged
        exact = averages(end, grid, 0.0, length)
        radii.append(abs(state["edges"][-1] / length / end.radius() - 1.0))
        scales.append(abs(mu.covariance()[0, 0] / exact.covariance()[0, 0] - 1.0))
        distances.append(float(jko.wasserstein(mu, exact)) / length)
    assert np.all(orders(radii) > 0.9), radii
    assert radii[-1] < 3e-3
    assert orders(scales)[-1] > 1.8, scales
    assert orders(distances)[-1] > 1.7, distances
    assert distances[-1] < 5e-5


@pytest.mark.long
def test_orders_in_tau():
    """1 towards the flow, and 2 by reflected steps."""
    d, exact = 3, jko.exact.OrnsteinUhlenbeck(mean=[0.0] * 3, std=0.6)
    grid = jko.Grid.radial(np.linspace(0.0, 6.0, 241), d)
    F, found = fn.Entropy() + fn.Potential("quadratic"), {}
    for scheme in (QUANTILE, steps.SecondOrder(QUANTILE)):
        finals = [jko.flow(F, exact.on(grid), scheme, tau=0.8 / n, n_steps=n).final for n in (4, 8, 16, 32)]
        found[scheme.order] = [float(jko.wasserstein(a, b)) for a, b in itertools.pairwise(finals)]
        error = float(jko.wasserstein(finals[-1], exact.on(grid, 0.8)))
        assert error < (0.02, 2e-3)[scheme.order - 1]
    assert orders(found[1])[-1] == pytest.approx(1.0, abs=0.15)
    assert orders(found[2])[-1] == pytest.approx(2.0, abs=0.35)


@pytest.mark.parametrize(
    "F", [fn.Power(2.0), fn.Entropy() + fn.Potential("quadratic"), fn.Potential("quadratic")]
)
def test_balls_and_shells_of_mass(F):
    """Vacuum inside and between: energies fall by what the steps paid, no hole opens at a full centre, and
    finite volumes end near."""
    grid = jko.Grid.radial(np.linspace(0.0, 5.0, 101), 3)
    ball, shell = (jko.Density.uniform(grid, *ends).values for ends in ((0.0, 1.0), (2.0, 3.0)))
    for values in (shell, 0.5 * ball + 0.5 * shell):
        mu = grid.density(values)
        run = jko.flow(F, mu, QUANTILE, tau=0.01, n_steps=20)
        costs = run.info.dissipation
        assert costs.min() >= -1e-9 * abs(run.energy[0])
        assert (run.final.values[0] > 0.0) == bool(values[0] > 0.0 or F.parts.temperature)
        other = jko.flow(F, mu, jko.limits.FiniteVolume(), tau=0.01, n_steps=20).final
        assert float(jko.wasserstein(run.final, other)) < 0.02


@pytest.mark.parametrize(("length", "energy"), [(1.0, 1.0), pytest.param(40.0, 3e-3, marks=pytest.mark.long)])
def test_rest_on_a_log_spaced_half_line(length, energy):
    """Maxwell's law of V = r²/2 − 2 log r, in ten long steps."""
    V = fn.Potential(lambda x: energy * (0.5 * (x[0] / length) ** 2 - 2.0 * jnp.log(x[0] / length)))
    errors = []
    for n in (40, 80):
        grid = jko.Grid.from_edges(length * np.append(0.0, np.geomspace(2e-2, 8.0, n)))
        r = grid.axes[0] / length
        law = grid.density(r**2 * np.exp(-0.5 * r**2)).normalized()
        start = grid.density(r**2 * np.exp(-1.5 * r**2)).normalized()
        run = jko.flow(energy * fn.Entropy() + V, start, QUANTILE, tau=2.0 * length**2 / energy, n_steps=10)
        errors.append(np.abs(run.final.values - law.values) @ grid.cell_volume)
    assert np.all(orders(errors) > 1.6), errors
    assert errors[-1] < 6e-3


def test_a_cap_on_edges_of_one_s_own():
    """A crowd pressed to the left end stands at its cap."""
    grid = jko.Grid.from_edges(np.append(0.0, np.geomspace(0.05, 4.0, 60)))
    mu = jko.Density.uniform(grid, 1.0, 3.0)
    run = jko.flow(fn.Cap(1.0) + fn.Potential(lambda x: x[0]), mu, QUANTILE, tau=0.5, n_steps=8)
    assert run.final.values.max() <= 1.0 + 1e-9
    within = np.interp([0.5, 0.9], grid.edges[0], np.append(0.0, np.cumsum(run.final.masses)))
    assert np.allclose(within, [0.5, 0.9], atol=0.01)


def test_interactions_on_edges_of_one_s_own():
    """Attraction to the mean, W = |z|²/2 with an entropy: variance at rest 1."""
    grid = jko.Grid.from_edges(np.sinh(np.linspace(-2.5, 2.5, 121)))
    mu = jko.Gaussian.of(0.5, 1.6).on(grid)
    run = jko.flow(fn.Entropy() + fn.Interaction("quadratic"), mu, QUANTILE, tau=2.0, n_steps=8)
    assert run.final.mean()[0] == pytest.approx(0.5, abs=2e-3)
    assert run.final.covariance()[0, 0] == pytest.approx(1.0, abs=5e-3)


def shells(d=3):
    return jko.Gaussian.of(0.0, 1.0, dimension=d).on(jko.Grid.radial(np.linspace(0.0, 6.0, 41), d))


@pytest.mark.parametrize(
    ("F", "why"),
    [
        (fn.Entropy() + fn.Interaction("quadratic"), "take limits.FiniteVolume"),
        (fn.Entropy() + fn.Cap(0.5), "take limits.FiniteVolume"),
        (fn.InternalEnergy(lambda s: s**2), "declare displacement_convex=True"),
        (fn.Potential(lambda x: x[0] ** 2), r"no function of \|x\| alone"),
    ],
)
def test_refusals(F, why):
    with pytest.raises((UnsupportedFunctional, ValueError), match=why):
        QUANTILE.prepare(F, shells())


def test_refusals_of_tau_and_of_caps_that_vary():
    F = fn.Entropy() + fn.Potential(lambda x: -jnp.sum(x**2))
    with pytest.raises(ValueError, match=r"tau: .* take less than 0\.5"):
        jko.flow(F, shells(), QUANTILE, tau=0.6, n_steps=1)
    line = jko.Density.uniform(jko.Grid.from_edges(np.geomspace(0.1, 4.0, 30)))
    with pytest.raises(UnsupportedFunctional, match="a cap that is a number"):
        QUANTILE.prepare(fn.Cap(lambda x: 1.0 + x[0]), line)
