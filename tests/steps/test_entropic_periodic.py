"""The entropic step on a torus: the flow in the limit, turns, its certificate across the ends, refusals."""

import numpy as np
import pytest

import functionals as fn
from jko import flow
from jko.measures import Density, Grid
from jko.steps import Entropic

LENGTH = 2.0


def attraction(z):
    return (1.0 - abs(z[0])) ** 2


def start(periodic, cells=64):
    grid = Grid.uniform(0.0, LENGTH, cells, periodic=periodic)
    return Density.gaussian(grid, 1.0, std=0.09)


def turned(mu, cells):
    return mu.with_values(np.roll(mu.values, cells))


def test_steps_follow_the_heat_equation_as_tau_falls():
    grid, time, amplitude = Grid.uniform(0.0, LENGTH, 96, periodic=True), 0.1, 0.6
    mode = np.cos(2.0 * np.pi * grid.axes[0] / LENGTH + 0.7)
    left = amplitude * np.exp(-4.0 * np.pi**2 * time / LENGTH**2)
    errors = []
    for n in (2, 4, 8):
        mu = Density(grid, (1.0 + amplitude * mode) / LENGTH)
        run = flow(fn.Entropy(), mu, Entropic(), tau=time / n, n_steps=n)
        errors.append(np.abs(run.final.values - (1.0 + left * mode) / LENGTH).sum() * grid.cell_volume)
        assert np.all(run.info.dissipation > 0.0)
        assert np.all(run.info.mass_error < 1e-12)
    assert np.all(np.diff(np.log2(errors)) < -0.8)
    assert errors[-1] < 8e-3


@pytest.mark.parametrize(
    "F",
    [fn.Entropy(), fn.Power(2), fn.Entropy() + fn.Interaction(attraction), fn.Entropy() + fn.Cap(3.0)],
    ids=["entropy", "power", "interaction", "cap"],
)
def test_half_a_turn_changes_neither_the_step_nor_its_certificate(F):
    """The bump lies across the ends of the box then, and all of its transport goes through them."""
    mu = start(True)
    if F.parts.constraints:
        mu = mu.with_values(np.minimum(mu.values, 2.9)).normalized()
        mu = mu.with_values(np.minimum(mu.values, 3.0))
    scheme = Entropic(tolerance=1e-10)
    first, second = (flow(F, m, scheme, tau=0.02, n_steps=1) for m in (mu, turned(mu, 32)))
    assert np.abs(np.roll(first.final.values, 32) - second.final.values).max() < 1e-8
    one, two = first.info.row(0), second.info.row(0)
    assert two.dissipation == pytest.approx(one.dissipation, rel=1e-6)
    assert two.gap == pytest.approx(one.gap, abs=1e-8)
    assert one.gap < 1e-6
    slack = [info.details["exact_gap"] for info in (one, two)]
    assert slack[0] == pytest.approx(slack[1], rel=1e-3)
    assert slack[0] > 0.0


def test_far_from_the_ends_the_step_is_the_one_between_walls():
    F, scheme = fn.Power(2), Entropic(tolerance=1e-10)
    torus, box = (flow(F, start(p), scheme, tau=0.005, n_steps=1) for p in (True, False))
    assert np.abs(torus.final.values - box.final.values).max() < 1e-7
    assert torus.info.dissipation[0] == pytest.approx(box.info.dissipation[0], rel=1e-6)
    assert torus.info.detail("passes") == box.info.detail("passes")


def test_one_axis_may_turn_and_the_other_have_walls():
    grid = Grid.uniform((0.0, 0.0), (LENGTH, 1.0), (40, 16), periodic=(True, False))
    mu = Density.gaussian(grid, (1.0, 0.3), std=0.2)
    scheme, F = Entropic(tolerance=1e-10, epsilon=0.01), fn.Entropy()
    first, second = (
        flow(F, m, scheme, tau=0.02, n_steps=1) for m in (mu, mu.with_values(np.roll(mu.values, 20, 0)))
    )
    assert np.abs(np.roll(first.final.values, 20, axis=0) - second.final.values).max() < 1e-8
    assert second.info.dissipation[0] == pytest.approx(first.info.dissipation[0], rel=1e-6)


def test_an_epsilon_that_would_see_itself_is_refused():
    with pytest.raises(ValueError, match=r"epsilon: expected at most \(length/16\)² = 0.016"):
        Entropic(epsilon=0.05).prepare(fn.Entropy(), start(True))
    with pytest.raises(ValueError, match="finer grid"):
        Entropic().prepare(fn.Entropy(), start(True, cells=16))
    Entropic(epsilon=0.05).prepare(fn.Entropy(), start(False))
