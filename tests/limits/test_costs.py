"""Finite volumes of costs |y − x|^p: Barenblatt's solutions, units, agreement with steps of that cost."""

import warnings

import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, Mobility, exact, flow, limits, steps


def functional(m):
    return fn.Entropy() if m == 1.0 else fn.Power(m)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "p"),
    [(1.5, 1.5), (2.0, 3.0), (1.0, 1.5), (1.4, 4.0), pytest.param(1.0, 3.0, marks=pytest.mark.long)],
)
def test_order_two_in_cells_and_steps_over_a_whole_run(m, p):
    law, errors = exact.Barenblatt(m, start_time=0.3, cost_exponent=p), []
    reach = 1.3 * law.radius(0.4) if m > 1.0 else 8.0
    for n in (40, 80, 160):
        grid = Grid.uniform(-reach, reach, n)
        scheme, steps_taken = limits.FiniteVolume(cost_exponent=p), n // 5
        run = flow(functional(m), law.on(grid), scheme, tau=0.4 / steps_taken, n_steps=steps_taken)
        errors.append(np.abs(run.final.values - law.on(grid, 0.4).values).sum() * grid.spacing[0])
        assert run.info.mass_error.max() < 1e-13
        assert run.info.dissipation.min() >= 0.0
        assert run.final.values.min() >= 0.0
    assert np.log2(errors[0] / errors[2]) / 2.0 > 1.6, errors
    assert errors[2] < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("p", [1.5, 3.0])
def test_it_agrees_with_steps_of_that_cost_in_a_potential(p):
    grid = Grid.uniform(-3.0, 3.0, 150)
    F, mu = fn.Power(2.0) + fn.Potential("quadratic", stiffness=1.0), Density.gaussian(grid, 0.8, 0.4)
    scheme = steps.SecondOrder(steps.Quantile(cost_exponent=p))
    runs = [flow(F, mu, s, tau=0.02, n_steps=20) for s in (scheme, limits.FiniteVolume(cost_exponent=p))]
    assert np.abs(runs[0].final.values - runs[1].final.values).sum() * grid.spacing[0] < 8e-3
    assert runs[0].final.mean() == pytest.approx(runs[1].final.mean(), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("length", "energy"), [(4.0, 4.0), (0.25, 16.0)])
@pytest.mark.parametrize("p", [1.5, 3.0])
def test_in_other_units_it_is_the_same(p, length, energy):
    time, found = (length**p / energy) ** (1.0 / (p - 1.0)), []
    for s, e, tau in ((1.0, 1.0, 0.0625), (length, energy, 0.0625 * time)):
        grid = Grid.uniform(-3.0 * s, 3.0 * s, 96)
        mu = Density(grid, np.exp(-2.0 * (np.round(64.0 * grid.axes[0] / s) / 64.0 - 0.5) ** 2) / s)
        F = e * (fn.Entropy() + fn.Potential(lambda x, s=s: 0.5 * (x[0] / s) ** 2))
        found.append(flow(F, mu, limits.FiniteVolume(cost_exponent=p), tau=tau, n_steps=3).final.values * s)
    assert found[1] == pytest.approx(found[0], rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [
        limits.FiniteVolume(cost_exponent=1.5),
        limits.FiniteVolume(cost_exponent=3.0),
        limits.FiniteVolume(mobility=lambda s: s),
        limits.FiniteVolume(metric=[[2.0]]),
    ],
)
def test_next_to_nothing_spreads_as_nothing_does(scheme):
    grid, found = Grid.uniform(-3.0, 3.0, 60), []
    for least in (0.0, 1e-320, 1e-309, 1e-307, 1e-50):
        mu = Density(grid, np.where(np.abs(grid.axes[0]) < 1.0, 0.5, least))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            run = flow(fn.Entropy(), mu, scheme, tau=0.02, n_steps=1)
        assert run.info.mass_error.max() < 1e-14
        found.append(run.final.values)
    for values in found[1:]:
        assert values == pytest.approx(found[0], abs=1e-13)


def test_tails_that_underflow_are_vacuum():
    grid = Grid.uniform(-4.0, 4.0, 200)
    mu = Density.gaussian(grid, 0.0, 0.1)
    subnormal = (mu.values > 0.0) & (mu.values < np.finfo(float).tiny)
    assert subnormal.any()
    scheme = limits.FiniteVolume(metric=[[2.0]])
    starts = mu, Density(grid, np.where(subnormal, 0.0, mu.values))
    runs = [flow(fn.Entropy(), start, scheme, tau=0.0005, n_steps=2) for start in starts]
    assert runs[0].final.values == pytest.approx(runs[1].final.values, abs=1e-12)


def test_on_a_torus_it_keeps_its_mass_and_comes_to_rest_level():
    circle = Grid.uniform(0.0, 1.0, 64, periodic=True)
    mu = Density(circle, 1.0 + 0.5 * np.cos(2.0 * np.pi * circle.axes[0]))
    run = flow(fn.Entropy(), mu, limits.FiniteVolume(cost_exponent=3.0), tau=0.05, n_steps=20)
    assert np.abs(run.final.values - 1.0).max() < 1e-3
    assert np.all(np.diff(run.energy) <= 0.0)


def test_refusals():
    line, mu = limits.FiniteVolume(cost_exponent=3.0), Density.gaussian(Grid.uniform(-3.0, 3.0, 30), 0.0, 0.5)
    with pytest.raises(ValueError, match="cost_exponent: expected a number above 1"):
        limits.FiniteVolume(cost_exponent=0.5)
    with pytest.raises(ValueError, match="no cap beside a cost_exponent"):
        line.prepare(fn.Entropy() + fn.Cap(2.0), mu)
    with pytest.raises(ValueError, match="on the line, got 2 dimensions"):
        line.prepare(fn.Entropy(), Density.uniform(Grid.uniform((0.0, 0.0), (1.0, 1.0), (4, 4))))
    with pytest.raises(ValueError, match="leave them out"):
        limits.FiniteVolume(cost_exponent=3.0, mobility=Mobility(lambda s: s)).prepare(fn.Entropy(), mu)
    with pytest.raises(ValueError, match="edges of one's own"):
        line.prepare(fn.Entropy(), Density.gaussian(Grid.from_edges(np.linspace(-3.0, 3.0, 9)), 0.0, 0.5))
