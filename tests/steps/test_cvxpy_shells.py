"""The cone program in shells: the step of the quantiles to the gaps, exact steps, caps, and refusals."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko import Grid, flow, steps
from jko.loops.elliptic import banded
from tests.first_step import first_step


def wave(grid):
    """Positive in all shells, so that both engines keep the cells of the grid."""
    return grid.density(1.0 + 0.8 * np.cos(2.0 * np.pi * grid.axes[0] / grid.upper[0])).normalized()


@pytest.mark.parametrize(("length", "energy"), [(1.0, 1.0), (40.0, 3e-3)])
@pytest.mark.parametrize(("d", "m"), [(1, 2.0), (2, 1.0), (2, 0.7), (3, 1.0), (3, 3.0), (4, 2.0)])
def test_it_is_the_step_of_the_quantiles_to_the_gap(d, m, length, energy):
    """Of one discrete problem: its value within the gap of the least, its radii within what that says."""
    U = fn.Entropy() if m == 1.0 else length ** (d * (m - 1.0)) * fn.Power(m)
    F = energy * (U + fn.Potential("quadratic", stiffness=1.0 / length**2))
    mu, tau = wave(Grid.radial(length * np.linspace(0.0, 2.0, 25), d)), 0.2 * length**2 / energy
    _, state, exact = first_step(steps.Quantile(), F, mu, tau)
    _, radii, found = first_step(steps.Cvxpy(), F, mu, tau)
    assert found.converged
    assert found.gap < 1e-6 * found.transport_cost
    excess = exact.dissipation - found.dissipation  # of the value J above the least
    assert -1e-9 * found.transport_cost < excess < found.gap
    apart = banded.transport_cost(state["masses"], state["edges"], radii["edges"])
    assert apart < 2.0 * tau * found.gap


def test_a_resumed_run_has_the_same_bits():
    mu, F, scheme = wave(Grid.radial(np.linspace(0.0, 2.0, 13), 2)), fn.Entropy(), steps.Cvxpy()
    problem, states = scheme.prepare(F, mu), [(mu, None)]
    state = problem.start
    for _ in range(3):
        after, state, _ = scheme.step(problem, states[-1][0], 0.0, 0.2, state)
        states.append((after, state))
    again, _, _ = scheme.step(scheme.prepare(F, mu), states[2][0], 0.0, 0.2, states[2][1])
    np.testing.assert_array_equal(again.values, states[3][0].values)


@pytest.mark.parametrize(("d", "length"), [(2, 1.0), (3, 1e3)])
def test_steps_of_gaussians(d, length):
    """(1 + λτ)σ′² − σσ′ − θτ = 0, to second order in the cells."""
    theta, stiffness, tau, errors = 0.7, 0.3 / length**2, 0.5 * length**2, []
    F, a = theta * fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness), 1.0 + stiffness * tau
    sigma = (length + np.sqrt(length**2 + 4.0 * a * theta * tau)) / (2.0 * a)
    for n in (30, 60):
        grid = Grid.radial(length * np.linspace(0.0, 6.0, n + 1), d)
        new, _, _ = first_step(steps.Cvxpy(), F, jko.Gaussian.of(0.0, length, dimension=d).on(grid), tau)
        exact = jko.Gaussian.of(0.0, sigma, dimension=d).on(grid)
        errors.append(np.abs(new.values - exact.values) @ grid.cell_volume)
    assert np.log2(errors[0] / errors[1]) > 1.8, errors
    assert errors[1] < 1e-2


@pytest.mark.parametrize(("d", "length"), [(2, 1.0), (3, 1e3)])
def test_a_crowd_fills_a_ball_at_its_cap(d, length):
    """A hollow shell under V = r²/2 and ρ ≤ c: at rest c in the ball that holds the mass."""
    grid = Grid.radial(length * np.linspace(0.0, 3.0, 61), d)
    mu = jko.Density.uniform(grid, 1.5 * length, 2.5 * length)
    cap = 1.5 * mu.values.max()
    F = fn.Cap(cap) + fn.Potential("quadratic", stiffness=1.0 / length**2)
    run = flow(F, mu, steps.Cvxpy(), tau=2.0 * length**2, n_steps=6)
    assert run.final.values.max() < cap * (1.0 + 1e-6)
    radius = grid.radius_of(np.array(1.0 / cap))
    within = np.minimum(grid.volume_within(grid.edges[0]) * cap, 1.0)
    assert np.allclose(np.append(0.0, np.cumsum(run.final.masses)), within, atol=1e-4)
    assert 0.5 * length < radius < 2.5 * length


@pytest.mark.parametrize(
    ("F", "why"),
    [
        (fn.Entropy() + fn.Interaction("quadratic"), "does not take Interaction"),
        (fn.Power(0.5), "displacement convex in 3 dimensions"),
        (fn.InternalEnergy(lambda s: s**2), "the entropy and powers"),
        (fn.Entropy() + fn.Potential(lambda x: x[0]), r"no function of \|x\| alone"),
    ],
)
def test_refusals(F, why):
    with pytest.raises(ValueError, match=why):
        steps.Cvxpy().prepare(F, wave(Grid.radial(np.linspace(0.0, 2.0, 11), 3)))


@pytest.mark.parametrize("length", [1.0, 1e-3])
@pytest.mark.parametrize(("d", "m"), [(2, 1.0), (4, 1.0), (2, 0.8), (3, 0.8)])
def test_tails_down_to_nothing_do_not_keep_a_step_from_closing(d, m, length):
    """Masses of shells from .1 to 1e-12: the quantiles' step, which sees each in its own size, to √gap."""
    U = fn.Entropy() if m == 1.0 else length ** (d * (m - 1.0)) * fn.Power(m)
    F = U + fn.Potential("quadratic", stiffness=1.0 / length**2)
    grid = Grid.radial(length * np.linspace(0.0, 4.0, 41), d)
    mu, tau = grid.density(np.exp(-2.0 * (grid.axes[0] / length) ** 2)).normalized(), 0.5 * length**2
    exact, _, _ = first_step(steps.Quantile(), F, mu, tau)
    new, _, info = first_step(steps.Cvxpy(), F, mu, tau)
    assert info.converged
    assert np.abs(new.values - exact.values) @ grid.cell_volume < 1e-4  # the solver's own 1e-8 under the root


def test_what_the_solver_leaves_open_is_sent_to_the_quantiles():
    mu = wave(Grid.radial(np.linspace(0.0, 2.0, 25), 3))
    scheme = steps.Cvxpy(solver_options={"max_iter": 5})
    run = flow(fn.Entropy() + fn.Potential("quadratic"), mu, scheme, tau=0.1, n_steps=1, throw=False)
    assert run.info.status[0] != "converged"
    assert "steps.Quantile" in run.info.note[0]


def ring(n, d, length):
    grid = Grid.radial(length * np.linspace(0.0, 4.0, n + 1), d)
    return grid.density(np.where(np.abs(grid.axes[0] / length - 1.25) < 0.25, 1.0, 0.0)).normalized()


@pytest.mark.parametrize(("d", "length"), [(2, 1.0), (3, 1e3)])
def test_tails_into_a_vacuum_come_with_the_shells(d, length):
    """The step of the quantiles on many shells: 160 of them keep what lies far out, as 40 do."""
    F, tau = fn.Entropy(), 0.1 * length**2
    exact, _, _ = first_step(steps.Quantile(), F, ring(1280, d, length), tau)
    found = (first_step(steps.Cvxpy(), F, ring(n, d, length), tau)[0] for n in (40, 160))
    apart = [jko.wasserstein(mu, exact) / length for mu in found]
    assert apart[1] < 0.5 * apart[0]
    assert apart[1] < 3e-4


@pytest.mark.parametrize(("d", "length"), [(2, 1.0), (4, 1e-3), (6, 1.0), (3, 1e3)])
@pytest.mark.parametrize("tau", [0.1, 10.0])
def test_an_entropy_and_a_power_close_together(d, length, tau):
    """Light shells at the wall, under a power that weighs 1e-14 of the entropy there, are solved and bounded
    as heavy ones are."""
    F, grid = fn.Entropy() + length**d * fn.Power(2.0), Grid.radial(length * np.linspace(0.0, 4.0, 41), d)
    mu, tau = grid.density(np.exp(-1.4 * (grid.axes[0] / length) ** 2)).normalized(), tau * length**2
    _, _, exact = first_step(steps.Quantile(), F, mu, tau)
    _, _, info = first_step(steps.Cvxpy(), F, mu, tau)
    assert info.converged
    assert -1e-9 < exact.dissipation - info.dissipation < info.gap + 1e-6  # cells of less than 1e-7 apart
