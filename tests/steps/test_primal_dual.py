"""steps.PrimalDual against free boundaries in closed form, exact steps, another solver, and itself in other
units."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual


def ellipse(grid, a, b, parts=4):
    """The indicator of (x/a)² + (y/b)² < 1, averaged over parts² points of each cell."""
    values = np.zeros(grid.cells)
    shifts = (np.arange(parts) + 0.5) / parts - 0.5
    for i in shifts:
        for j in shifts:
            x, y = np.moveaxis(grid.centers + np.array([i, j]) * grid.spacing, -1, 0)
            values += ((x / a) ** 2 + (y / b) ** 2 < 1.0) / parts**2
    return jko.Density(grid, values)


def l1(mu, values):
    return float(np.abs(mu.values - values).sum() * mu.grid.cell_volume)


def one_step(F, mu, tau, **settings):
    scheme = PrimalDual(**settings)
    return scheme.step(F, mu, tau, scheme.init(F, mu))


def test_a_full_ellipse_under_a_quadratic_potential_follows_its_ode():
    # mathematics.md 20: ab constant, sinh log(a/b) ∝ e^{−2t}
    grid = jko.Grid.uniform((-1.25, -0.95), (1.25, 0.95), (50, 38))
    run = jko.flow(
        fn.Cap(1.0) + fn.Potential("quadratic"), ellipse(grid, 1.0, 0.5), PrimalDual(), tau=0.05, n_steps=10
    )
    ratio = np.exp(np.arcsinh(0.75 * np.exp(-1.0)))
    exact = 0.125 * np.array([ratio, 1.0 / ratio])
    np.testing.assert_allclose(np.diag(run.final.covariance()), exact, rtol=0.035)
    assert np.all(run.info.status == "converged")
    assert np.all(run.info.dissipation >= 0.0)
    assert run.final.values.max() <= 1.0 + 1e-12


def corridor_error(n, slices):
    """L1 distance at t = ¼ from the full part [0, t] and the half-full one [t, 1 − t]."""
    grid = jko.Grid.uniform(0.0, 1.5, n)
    mu = jko.Density(grid, np.where(grid.axes[0] < 1.0, 0.5, 0.0))
    F = fn.Cap(1.0) + fn.Potential(lambda x: x[0])
    run = jko.flow(F, mu, PrimalDual(slices=slices), tau=0.0125, n_steps=20)
    assert np.all(run.info.status == "converged")
    edges = grid.edges[0]
    filled = np.minimum(edges, 0.25) + 0.5 * np.clip(edges - 0.25, 0.0, 0.5)
    return l1(run.final, np.diff(filled) / grid.spacing[0])


def test_a_corridor_fills_from_its_end():
    assert corridor_error(300, 1) <= 0.0085
    assert corridor_error(300, 2) <= 0.0065


def test_gaussian_iterates_follow_the_exact_recursion():
    grid = jko.Grid.uniform(-6.0, 6.0, 120)
    exact = jko.exact.GaussianJKO(mean=1.5, std=0.7, tau=0.1)
    F = fn.Entropy() + fn.Potential("quadratic")
    run = jko.flow(F, exact.on(grid, 0.0), PrimalDual(tolerance=1e-5), tau=0.1, n_steps=5)
    for t, mu in zip(run.times, run.measures, strict=True):
        assert l1(mu, exact.on(grid, t).values) <= 4e-3


def test_a_barenblatt_step():
    start = jko.exact.Barenblatt(exponent=2, dimension=1, start_time=0.06)
    grid = jko.Grid.uniform(-1.5, 1.5, 200)
    after, _, _ = one_step(fn.Power(2), start.on(grid, 0.0), 0.01, slices=4, tolerance=1e-6)
    assert l1(after, start.jko_step(0.01).on(grid, 0.0).values) <= 3e-4


LINE = jko.Grid.uniform(-3.0, 3.0, 40)
PLANE = jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (14, 10))
SPACE = jko.Grid.uniform((-2.0,) * 3, (2.0,) * 3, (6, 5, 7))
REPULSION = fn.Interaction(lambda z: jnp.exp(-jnp.sum(z**2)), linearly_convex=True)
VARIED = fn.Cap(lambda x: 0.5 + 0.1 * jnp.sin(3.0 * x[0]))
WAVES = fn.Potential(lambda x: jnp.cos(2.0 * x[0]) + 0.3 * jnp.sum((x - 0.4) ** 2))
PROBLEMS = {
    "entropy": (0.7 * fn.Entropy() + 1.7 * fn.Potential("quadratic"), LINE, 0.04, 1),
    "entropy and power": (fn.Entropy() + 0.3 * fn.Power(0.8) + WAVES, LINE, 0.2, 2),
    "cap": (fn.Cap(0.45) + WAVES, LINE, 0.1, 1),
    "a cap that varies": (VARIED + fn.Power(3.0) + WAVES, LINE, 0.05, 1),
    "cap, two slices": (fn.Cap(0.45) + 0.2 * fn.Entropy() + WAVES, LINE, 0.1, 2),
    "any U": (fn.InternalEnergy(lambda s: s**2 + s**3) + WAVES, LINE, 0.1, 1),
    "interaction": (REPULSION + fn.Power(2.0) + fn.Potential("quadratic"), LINE, 0.2, 1),
    "plane": (fn.Cap(0.3) + WAVES, PLANE, 0.1, 1),
    "plane, tiny tau": (fn.Power(2.0) + WAVES, PLANE, 1e-3, 1),
    "plane, huge tau": (0.5 * fn.Entropy() + fn.Potential("quadratic"), PLANE, 30.0, 1),
    "space": (0.2 * fn.Entropy() + fn.Cap(0.3) + fn.Potential("quadratic"), SPACE, 0.1, 1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_agrees_with_a_conic_program_to_both_gaps(name):
    F, grid, tau, slices = PROBLEMS[name]
    mu = jko.Density.gaussian(grid, mean=(0.4, -0.2, 0.1)[: grid.dimension], std=0.9)
    after, _, info = one_step(F, mu, tau, slices=slices, tolerance=1e-4)
    scheme = Cvxpy(formulation="eulerian", slices=slices)
    _, _, other = scheme.step(F, mu, tau, scheme.init(F, mu))
    missed = other.dissipation - info.dissipation  # by how much the value is above that of the other
    assert info.status == "converged", info.note
    assert -other.gap - 1e-12 <= missed <= info.gap + 1e-12
    assert info.mass_error <= 1e-13
    assert info.min_density >= 0.0
    assert F(after) <= F(mu)
