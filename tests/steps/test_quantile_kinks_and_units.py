"""Quantile where V is flat near the origin, has kinks or stands far away; beside vacuum; in any units."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Gaussian, Grid, flow, steps
from jko.steps.quantile.duality import duality_gap
from jko.steps.quantile.energy import AveragedPotential
from tests.first_step import first_step


def test_a_potential_that_is_flat_where_it_might_be_probed():
    """V = .1 max(|x| − 40, 0)², seen as 0 on |x| ≤ 30: F must fall, and the rest is e^{−V}/Z."""
    grid = Grid.uniform(-100.0, 100.0, 400)
    F = fn.Entropy() + fn.Potential(lambda x: 0.1 * jnp.maximum(jnp.abs(x[0]) - 40.0, 0.0) ** 2)
    run = flow(F, Gaussian.of(0.0, 30.0).on(grid), steps.Quantile(), tau=1e4, n_steps=2)
    assert np.all(np.diff(run.energy) <= 0.0)
    rest = np.exp(-0.1 * np.maximum(np.abs(grid.axes[0]) - 40.0, 0.0) ** 2)
    assert run.final.values == pytest.approx(Density(grid, rest).normalized().values, rel=2e-2, abs=2e-5)


def test_two_wells_far_from_the_origin():
    F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.minimum((x[0] - 55.0) ** 2, (x[0] - 75.0) ** 2))
    run = flow(
        F, Gaussian.of(65.0, 8.0).on(Grid.uniform(0.0, 100.0, 500)), steps.Quantile(), tau=1.0, n_steps=9
    )
    assert run.final.mean() == pytest.approx([65.0], abs=1e-2)


def test_a_kink_holds_the_mass_of_its_prox():
    """No energy but V = |x|: each point moves by τ towards 0 and stays there."""
    grid, tau = Grid.uniform(-2.0, 2.0, 200), 0.3
    mu = Density.uniform(grid, -1.0, 1.0)
    scheme = steps.Quantile()
    problem = scheme.prepare(fn.Potential(lambda x: jnp.abs(x[0])), mu)
    state = problem.start
    before = state["edges"]
    _, state, info = scheme.step(problem, mu, 0.0, tau, state)
    exact = np.sign(before) * np.maximum(np.abs(before) - tau, 0.0)
    assert info.converged
    assert state["edges"] == pytest.approx(exact, abs=0.02)  # V is averaged over half a cell
    assert info.relative_gap < 1e-9


@pytest.mark.parametrize(("length", "energy"), [(1.0, 1.0), (1e3, 1e-9)])
def test_a_kink_within_cells_of_ones_own(length, energy):
    """∫ρ² + |x − a| at rest is ρ = (√2 − |x − a|)₊/2, a within a cell; steps of all lengths lead there."""
    widths = np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.1, 60)))
    faces, a = np.append(0.0, np.cumsum(widths)) / widths.sum() * 6.0 - 3.0, 0.17
    grid = Grid.from_edges(length * faces)
    mu = grid.density(np.where(np.abs(grid.points[:, 0] / length + 0.5) < 1.2, 1.0, 0.0)).normalized()
    V = fn.Potential(lambda x: jnp.abs(x[0] / length - a))
    F = energy * (length * fn.Power(2.0) + V)
    run = flow(F, mu, steps.Quantile(), tau=4.0 * length**2 / energy, n_steps=12)
    assert np.all(run.info.relative_gap[:2] < 1e-6)  # before it rests
    z = np.linspace(-3.0, 3.0, 60_001)
    rest = np.maximum(np.sqrt(2.0) - np.abs(z - a), 0.0) / 2.0
    cells = np.histogram(z, faces, weights=rest)[0] / np.histogram(z, faces)[0]
    off = np.abs(run.final.values * length - cells) @ np.diff(faces)
    assert off < 2.0 * np.diff(faces).max() ** 2


def test_averages_over_unequal_nodes_keep_lines_and_convexity():
    nodes = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, 40))

    def line(x):
        return 2.0 - 3.0 * x, np.full_like(x, -3.0), np.zeros_like(x)

    def kink(x):
        return np.abs(x - 17.3), np.sign(x - 17.3), np.zeros_like(x)

    x = np.linspace(nodes[0], nodes[-1], 1001)
    for part, expected in zip(AveragedPotential(line, nodes)(x), line(x), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-10)
    averaged = AveragedPotential(kink, nodes)
    value, slope, bend = averaged(x)
    assert -1e-12 < averaged.modulus <= bend.min() + 1e-12
    far = np.abs(x - 17.3) > 4.5
    np.testing.assert_allclose(value[far], kink(x)[0][far], atol=1e-10)
    assert np.trapezoid(bend, x) == pytest.approx(2.0, abs=1e-3)  # the change of slope
    assert np.all(np.diff(slope) >= -1e-12)


@pytest.mark.slow
def test_the_energy_distance_to_a_density_ends():
    """½‖ρ − ν‖² of −|z| on the line is ∫(F_ρ − F_ν)²dx: it falls, and to 0."""
    grid = Grid.uniform(-4.0, 4.0, 100)
    bumps = jnp.exp(-2.0 * (grid.axes[0] - 1.0) ** 2) + jnp.exp(-4.0 * (grid.axes[0] + 1.5) ** 2)
    target = Density(grid, np.asarray(bumps)).normalized()
    F = fn.MMD(target, "power", exponent=1.0, strength=-1.0)
    run = flow(F, Gaussian.of(0.0, 0.5).on(grid), steps.Quantile(), tau=2.0, n_steps=4)
    gaps = [np.sum(np.cumsum(m.values - target.values) ** 2) * grid.spacing[0] ** 3 for m in run.measures]
    assert run.energy == pytest.approx(gaps, abs=2e-3)
    assert gaps[-1] < 1e-2 * gaps[0]


@pytest.mark.parametrize("m", [0.3, 0.6])
def test_fast_diffusion_into_vacuum_gains_what_the_dual_says(m):
    """Two blocks: the gap to all densities, a proof, is below 1 % of what the step gains."""
    grid = Grid.uniform(-4.0, 4.0, 100)
    mu = Density(grid, (np.abs(np.abs(grid.axes[0]) - 2.0) < 0.5) * 1.0).normalized()
    scheme, F = steps.Quantile(), fn.Power(m)
    prepared = scheme.prepare(F, mu)
    state, energy = prepared.start, prepared.at(0.0)
    problem, solution, _ = scheme._solved(mu, 0.01, state, energy)
    gain = energy.value(*state.values()) - solution.energy - solution.cost
    assert duality_gap(problem, solution.edges, solution.widths, grid.edges[0]) < 0.01 * gain


@pytest.mark.parametrize("tau", [1e-8, 1e-6])
def test_a_short_step_of_fast_diffusion_into_vacuum_gains_on_few_cells_what_it_gains_on_many(tau):
    """A block whose steep tail of 1e-12 of its mass is where the step gains."""
    block, gains = (np.abs(Grid.uniform(-3.0, 3.0, 60).axes[0] - 0.2) < 0.8) * 1.0, []
    for finer in (1, 16):
        mu = Density(Grid.uniform(-3.0, 3.0, 60 * finer), np.repeat(block, finer)).normalized()
        scheme, F = steps.Quantile(), fn.Power(0.3)
        _, _, info = first_step(scheme, F, mu, tau)
        gains.append(info.dissipation)
    assert gains[0] == pytest.approx(gains[1], rel=1e-3)


def test_a_step_below_the_resolution_of_the_grid_does_not_raise_the_energy():
    grid = Grid.uniform(-3.0, 3.0, 60)
    F = 0.01 * fn.Power(3.0) + fn.Potential("quadratic")
    mu = Density(
        grid, np.exp(-4.0 * (grid.axes[0] - 1.0) ** 2) * (1.2 + np.sin(20.0 * grid.axes[0]))
    ).normalized()
    for tau in (1e-13, 1e-9, 1e-5):
        run = flow(F, mu, steps.Quantile(), tau=tau, n_steps=3)
        assert np.all(np.diff(run.energy) <= 0.0)


def scaled(name, length, energy, offset, constant):
    """One step of the same problem in other units, as the density over a unit length."""
    grid = Grid.uniform(offset - 3.0 * length, offset + 3.0 * length, 60)
    x = (np.arange(60) + 0.5) * 0.1 - 3.0
    mu = Density(grid, np.exp(-2.0 * (x - 0.5) ** 2) + 0.3 * np.exp(-8.0 * (x + 1.2) ** 2)).normalized()

    def V(function):
        return fn.Potential(lambda p: energy * (function((p[0] - offset) / length) + constant))

    F = {
        "wells": lambda: energy * fn.Entropy() + V(lambda z: (z**2 - 1.0) ** 2),
        "a kink": lambda: energy * length**-0.5 * fn.Power(0.5) + V(lambda z: jnp.abs(z - 0.3)),
        "a repulsion": lambda: energy * fn.Interaction("logarithmic") + V(lambda z: 0.5 * z**2),
        "a cap": lambda: fn.Cap(0.6 / length) + V(lambda z: z**2),
    }[name]()
    return flow(F, mu, steps.Quantile(), tau=0.3 * length**2 / energy, n_steps=1).final.values * length


@pytest.mark.parametrize("name", ["wells", "a kink", "a cap"])
def test_the_same_step_in_other_units(name):
    plain = scaled(name, 1.0, 1.0, 0.0, 0.0)
    assert scaled(name, 1e-6, 1e12, 0.0, 0.0) == pytest.approx(plain, rel=1e-9, abs=1e-9)
    # 1e5 lengths away a position has eleven digits
    assert scaled(name, 1e6, 1e-12, 1e11, 1e2) == pytest.approx(plain, rel=3e-8, abs=3e-8)
