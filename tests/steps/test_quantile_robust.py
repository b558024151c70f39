"""Quantile where it is hard: tails crushed at walls, near-vacuum, stiff powers, gaps, caps from above."""

import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, flow, steps
from jko.loops.elliptic import rigid_blocks
from tests.first_step import first_step

QUADRATIC = fn.Potential("quadratic", stiffness=1.0)


def test_a_long_step_after_short_ones_crushes_the_tails_at_the_wall():
    mu = Density.gaussian(Grid.uniform(-8.0, 8.0, 2000), 3.0, std=0.3)
    F, scheme = fn.Entropy() + QUADRATIC, steps.Quantile()
    problem = scheme.prepare(F, mu)
    state = problem.start
    for tau in [0.01] * 10 + [0.1, 2.0]:
        mu, state, info = scheme.step(problem, mu, 0.0, tau, state)
        assert info.converged
        assert info.relative_gap < 1e-9
        assert info.iterations < 20


POWERS = (0.5, 0.75, 2.0, 3.0, 10.0)


def random_case(generator):
    """A convex functional, a start of any kind, and τ over eight orders of magnitude."""
    grid = Grid.uniform(*(10.0 ** generator.uniform(-0.3, 1.0) * np.array([-1.0, 1.0])), 120)
    lower, upper = grid.lower[0], grid.upper[0]
    kind = generator.integers(4)
    if kind == 0:
        mu = Density.gaussian(
            grid, generator.uniform(lower, upper), std=(upper - lower) * 10.0 ** generator.uniform(-2, 0)
        )
    elif kind == 1:
        means, stds = (
            generator.uniform(lower, upper, (2, 1)),
            (upper - lower) * 10.0 ** generator.uniform(-2, -1, 2),
        )
        mu = Density.mixture(grid, means, stds)
    elif kind == 2:
        mu = Density.uniform(
            grid, *np.sort(generator.uniform(lower, upper, 2)) + np.array([-1.0, 1.0]) * grid.spacing[0]
        )
    else:
        mu = Density(grid, generator.random(120) * (generator.random(120) < 0.8)).normalized()
    U = fn.Entropy() if generator.random() < 0.3 else fn.Power(generator.choice(POWERS))
    F = 10.0 ** generator.uniform(-2, 0) * U + 10.0 ** generator.uniform(-1, 2) * QUADRATIC
    return F, mu, 10.0 ** generator.uniform(-6, 2)


@pytest.mark.parametrize("capped", [False, True])
def test_convex_steps_of_all_kinds_close_their_gaps(capped):
    """50 random steps of each kind; a solver that fails one in 17 would be found with 95 %."""
    generator = np.random.default_rng(20 + capped)
    for _ in range(25):
        F, mu, tau = random_case(generator)
        if capped:
            F = F + fn.Cap(
                float(mu.mass / (mu.grid.upper[0] - mu.grid.lower[0]) * generator.uniform(1.3, 20.0))
            )
        scheme = steps.Quantile()
        problem = scheme.prepare(F, mu)
        state, rho = problem.start, mu
        for _ in range(2):
            rho, state, info = scheme.step(problem, rho, 0.0, tau, state)
            assert info.converged, (F, tau, info)
            assert info.mass_error < 1e-12
            assert info.dissipation > -1e-9 * max(1.0, abs(F.parts.temperature))


def test_a_crowd_far_above_its_cap_is_spread_to_the_cap():
    """A block of twice the cap, at rest but for it: every mass keeps its rank, and the block doubles."""
    grid = Grid.uniform(-3.0, 3.0, 300)
    F, mu = fn.Cap(1.25) + 1e-6 * QUADRATIC, Density(grid, 2.5 * (np.abs(grid.axes[0]) < 0.2))
    scheme = steps.Quantile()
    after, state, info = first_step(scheme, F, mu, 0.1)
    assert info.converged
    assert state["edges"][[0, -1]] == pytest.approx([-0.4, 0.4], abs=1e-6)
    assert after.values.max() <= 1.25 * (1.0 + 1e-9)
    assert info.gap < 1e-9


def test_near_vacuum_under_a_cap():
    grid = Grid.uniform(-8.0, 8.0, 600)
    F = 0.05 * fn.Entropy() + fn.Cap(0.6) + QUADRATIC
    run = flow(F, Density.gaussian(grid, 3.0, std=0.25), steps.Quantile(), tau=0.2, n_steps=15)
    assert run.info.relative_gap.max() < 1e-7
    assert max(m.values.max() for m in run.measures[1:]) <= 0.6 * (1.0 + 1e-9)
    assert np.all(np.diff(run.energy[1:]) < 1e-12)


def test_rigid_blocks_minimise_the_model_under_its_bounds():
    generator = np.random.default_rng(8)
    for _ in range(200):
        n = int(generator.integers(1, 30))
        masses = 10.0 ** generator.uniform(-4.0, 0.0, n)
        rows = np.append(masses, 0.0) / 2 + np.append(0.0, masses) / 2
        upper = masses / 6.0 - 10.0 ** generator.uniform(-6.0, 3.0, n) * (generator.random(n) < 0.5)
        gradient = generator.standard_normal(n + 1) * rows
        room = np.where(
            generator.random(n + 2) < 0.7, generator.random(n + 2) * (generator.random(n + 2) < 0.6), np.inf
        )
        room[[0, -1]] = generator.random(2)
        active, out = np.zeros(n + 2, bool), np.empty(n + 1)
        assert rigid_blocks.bounded_direction(rows, upper, gradient, masses, room, active, 100, out)
        growth = np.diff(out, prepend=0.0, append=0.0)
        assert np.all(room + growth >= -1e-12)
        pull = np.append(upper * np.diff(out), 0.0) - np.append(0.0, upper * np.diff(out))
        after = gradient + rows * out + pull
        pressure, residual = np.empty(n + 2), np.empty(n + 1)
        assert rigid_blocks.multipliers(after, masses, active, pressure, residual) < 1e-12
        assert np.abs(residual).max() < 1e-10
        balance = after - (pressure[:-1] - pressure[1:])
        assert balance == pytest.approx(np.zeros(n + 1), abs=1e-10)
        assert np.all((room + growth)[active] < 1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_fronts_that_meet_under_the_entropy(periodic):
    """Blocks fill the vacua between them in one step: the light cells at shut gaps keep digits of their own,
    as they do on finer cells."""
    on, found = np.array([4, 10, 13, 44, 48, 58]), []
    for refined in (1, 8):
        grid = Grid.uniform(0.0, 1.0, 60 * refined, periodic=periodic)
        values = np.zeros(60)
        values[on] = 10.0
        run = flow(
            fn.Entropy(), Density(grid, np.repeat(values, refined)), steps.Quantile(), tau=0.01, n_steps=1
        )
        found.append(run.final.masses.reshape(60, refined).sum(axis=1))
    assert run.info.status[0] == "converged"
    assert np.abs(found[0] - found[1]).sum() < 0.01
