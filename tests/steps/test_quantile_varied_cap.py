"""Caps that vary along the line: exact projections, other engines, interactions, second order, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, flow, steps
from jko.errors import UnsupportedFunctional
from jko.steps.quantile.cap import VariedCap
from tests.first_step import first_step

QUADRATIC = fn.Potential("quadratic", stiffness=1.0)


def wavy(x):
    return 0.6 + 0.4 * jnp.sin(3.0 * x[0])


def l1(one, other):
    return np.abs(one.values - other.values).sum() * one.grid.cell_volume


def test_the_integral_of_a_cap_its_inverse_and_its_means():
    grid, generator = Grid.uniform(-2.0, 3.0, 40), np.random.default_rng(4)
    values = 10.0 ** generator.uniform(-2.0, 1.0, 40)
    cap = VariedCap(values, grid)
    assert cap.room(grid.edges[0]) == pytest.approx(values * grid.spacing[0], rel=1e-12)
    x = np.sort(generator.uniform(-2.0, 3.0, 200))
    assert cap.position(cap.integral(x)) == pytest.approx(x, abs=1e-12)
    c, slope = cap.at(x)
    assert c.min() > 0.0
    assert cap.integral(x + 1e-6) - cap.integral(x - 1e-6) == pytest.approx(2e-6 * c, rel=1e-3)
    assert slope.shape == x.shape


def test_a_constant_given_as_a_function_is_the_constant():
    grid = Grid.uniform(-3.0, 3.0, 300)
    mu, ends = Density.gaussian(grid, 1.2, 0.3), []
    for cap in (fn.Cap(0.8), fn.Cap(lambda x: 0.8 + 0.0 * x[0])):
        run = flow(cap + 0.05 * fn.Entropy() + QUADRATIC, mu, steps.Quantile(), tau=0.2, n_steps=4)
        ends.append(run.final)
    assert l1(*ends) < 1e-6


def test_attraction_to_a_point_fills_the_cap_round_it():
    """At rest {|x| < r} is full, r with ∫c = 1: at order two in h."""
    errors = []
    for n in (100, 200, 400):
        grid = Grid.uniform(-3.0, 3.0, n)
        F = fn.Cap(lambda x: 0.3 + 0.2 * x[0] ** 2) + 4.0 * QUADRATIC
        run = flow(F, Density.gaussian(grid, 0.4, 0.4), steps.Quantile(), tau=2.0, n_steps=12)
        assert run.info.relative_gap[0] < 1e-3
        r = np.roots([0.4 / 3.0, 0.0, 0.6, -1.0])
        r = float(r[np.abs(r.imag) < 1e-9].real[0])
        full = 0.3 * r**3 * 2.0 / 3.0 + 0.4 * r**5 / 5.0
        errors.append(abs(run.final.covariance()[0, 0] + run.final.mean()[0] ** 2 - full))
        assert np.all(run.final.values <= (0.3 + 0.2 * grid.axes[0] ** 2) * (1.0 + 1e-9))
        assert np.all(np.diff(run.energy[1:]) < 1e-9)
    assert errors[2] < 1e-4
    assert errors[2] < 0.4 * errors[0]


@pytest.mark.parametrize("hold", [None, 0.1 * fn.Entropy(), 0.1 * fn.Power(2.0)], ids=repr)
def test_one_step_against_a_convex_program_with_its_gap(hold):
    F, gaps = fn.Cap(wavy) + QUADRATIC, []
    F = F if hold is None else F + hold
    for n in (100, 200, 400):
        mu = Density.gaussian(Grid.uniform(-3.0, 3.0, n), 0.2, 0.3)
        scheme = steps.Quantile()
        after, _, info = first_step(scheme, F, mu, 0.2)
        assert info.converged
        assert info.mass_error < 1e-12
        assert np.all(after.values <= fn.Cap(wavy).values(mu.grid.points) * (1.0 + 1e-9))
        gaps.append(info.relative_gap)
        if n == 200:
            reference = steps.Cvxpy(formulation="eulerian", slices=3)
            assert l1(after, first_step(reference, F, mu, 0.2)[0]) < 0.015
    assert -1e-12 < gaps[2] < 0.5 * gaps[0] < 1e-3


@pytest.mark.slow
def test_random_caps_with_jumps_from_starts_above_them():
    """6 random steps; gaps at least −1e-9, mass exact, no cell above."""
    generator = np.random.default_rng(6)
    for _ in range(3):
        grid = Grid.uniform(-2.0, 2.0, 120)
        low, high, at = generator.uniform(0.3, 0.6), generator.uniform(0.8, 2.0), generator.uniform(-1, 1)
        cap = fn.Cap(lambda x, a=low, b=high, s=at: jnp.where(x[0] < s, a, b))
        F = cap + generator.uniform(0.1, 4.0) * fn.Potential("double_well")
        F = F + 0.1 * fn.Power(2.0) if generator.random() < 0.5 else F
        mu = Density.mixture(grid, generator.uniform(-1.5, 1.5, (2, 1)), generator.uniform(0.03, 0.3, 2))
        scheme = steps.Quantile()
        problem = scheme.prepare(F, mu)
        state = problem.start
        for _ in range(2):
            mu, state, info = scheme.step(problem, mu, 0.0, 0.3, state)
            assert info.converged
            assert info.gap > -1e-9
            assert info.mass_error < 1e-12
            assert np.all(mu.values <= cap.values(grid.points) * (1.0 + 1e-9))


def test_interactions_and_second_order_keep_to_a_cap_that_varies():
    grid = Grid.uniform(-3.0, 3.0, 150)
    mu, allowed = Density.gaussian(grid, 0.5, 0.7), fn.Cap(wavy).values(grid.points) * (1.0 + 1e-9)
    F = fn.Cap(wavy) + fn.Interaction("quadratic", strength=2.0) + 0.02 * fn.Entropy()
    crowd = flow(F, mu, steps.Quantile(), tau=0.2, n_steps=3)
    assert np.isnan(crowd.info.gap[1])
    assert np.all(np.diff(crowd.energy[1:]) < 1e-9)
    second = flow(fn.Cap(wavy) + QUADRATIC, mu, steps.SecondOrder(steps.Quantile()), tau=0.05, n_steps=3)
    for run in (crowd, second):
        assert all(np.all(m.values <= allowed) for m in run.measures[1:])


def test_refusals():
    mu = Density.uniform(Grid.uniform(-1.0, 1.0, 40))
    with pytest.raises(ValueError, match="raise the cap"):
        steps.Quantile().prepare(fn.Cap(lambda x: 0.2 + 0.1 * x[0] ** 2) + QUADRATIC, mu)
    with pytest.raises(UnsupportedFunctional, match="PrimalDual takes obstacles"):
        steps.Quantile().prepare(fn.Cap(lambda x: jnp.where(x[0] < 0.0, 0.0, 3.0)) + QUADRATIC, mu)
