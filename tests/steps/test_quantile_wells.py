"""Quantile where V is less convex than the step: the duality gap, and the second start that lowers it."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, exact, flow, steps
from jko.steps.quantile.duality import duality_gap
from jko.steps.quantile.lagrangian import Point
from jko.steps.quantile.newton import minimise
from jko.steps.quantile.safeguard import rough_step

WELLS = fn.Potential("double_well")
QUADRATIC = fn.Potential("quadratic", stiffness=1.0)


def taken(F, mu, tau):
    """The problem of a step, its solution and the objective there."""
    scheme = steps.Quantile()
    problem = scheme.prepare(F, mu)
    state = problem.start
    problem, solution, note = scheme._solved(mu, tau, state, problem.at(0.0))
    return problem, solution, note, solution.energy + solution.cost


def test_the_duality_gap_bounds_the_distance_from_the_exact_minimum_and_falls_at_order_two():
    F, tau, gaps = fn.Entropy() + QUADRATIC, 0.1, []
    start, end = exact.GaussianJKO(0.5, 0.5, tau).at(0.0), exact.GaussianJKO(0.5, 0.5, tau).at(tau)
    std = [float(np.sqrt(g.covariance()[0, 0])) for g in (start, end)]
    least = F(end) + 0.5 / tau * (float((start.mean() - end.mean())[0] ** 2) + (std[1] - std[0]) ** 2)
    for n in (100, 200, 400):
        grid = Grid.uniform(-6.0, 6.0, n)
        problem, solution, _, value = taken(F, Density.gaussian(grid, 0.5, 0.5), tau)
        gaps.append(duality_gap(problem, solution.edges, solution.widths, grid.edges[0]))
        assert gaps[-1] >= value - least
        halfway = 0.5 * (problem.start + solution.edges)
        early = Point(problem, halfway, np.diff(halfway))
        assert duality_gap(problem, halfway, np.diff(halfway), grid.edges[0]) >= early.value - least > 1e-2
    assert np.log2(np.divide(gaps[:-1], gaps[1:])) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("hold", [0.2 * fn.Entropy(), 0.2 * fn.Power(2.0), fn.Cap(1.0)], ids=repr)
def test_a_step_across_a_barrier_is_the_lowest_of_many_and_says_so(hold):
    grid, generator = Grid.uniform(-3.0, 3.0, 200), np.random.default_rng(2)
    F, mu = hold + WELLS, Density.gaussian(grid, -0.3, 0.5)
    problem, solution, _, value = taken(F, mu, 5.0)
    assert solution.closed
    assert solution.details["start"] == "rough"
    assert problem.convexity < 0.0
    for _ in range(12):
        shifted = problem.start + generator.uniform(-1.0, 1.0) * np.sign(problem.start)
        first = np.sort(np.clip(shifted, -2.9, 2.9) + 1e-6 * np.arange(problem.start.size))
        other = steps.Quantile()._minimise(problem, 1e-9, (first, np.diff(first)))[0]
        assert value <= other.energy + other.cost + 1e-9
    alone = steps.Quantile()._minimise(problem, 1e-9)[0]
    assert alone.energy + alone.cost > value + 1e-3
    assert -1e-12 < solution.gap < 0.01


def test_in_wells_alone_every_point_goes_to_its_own_lowest_well():
    grid = Grid.uniform(-2.0, 2.0, 200)
    mu = Density.gaussian(grid, 0.2, 0.4)
    scheme, tau = steps.Quantile(), 4.0
    problem = scheme.prepare(WELLS, mu)
    state = problem.start
    _, after, info = scheme.step(problem, mu, 0.0, tau, state)
    levels = [np.append(0.0, np.cumsum(data["masses"])) for data in (state, after)]
    x = np.interp(levels[1], levels[0], state["edges"])  # cells that are torn were cut
    assert x.size > state["edges"].size
    y = np.linspace(-2.0, 2.0, 40_001)
    nearest = y[np.argmin((y[None, :] - x[:, None]) ** 2 / (2.0 * tau) + WELLS.values(y[:, None]), axis=1)]
    assert info.converged
    assert np.abs(after["edges"] - nearest).max() < 0.02
    assert 0.0 <= info.gap < 0.02


def test_torn_cells_are_cut_so_that_the_energy_of_near_atoms_does_not_rise():
    """Two far wells without diffusion: one cell, stretched from well to well, has 1/50 of the mass."""

    def wells(x):
        return 1.5 * jnp.minimum(jnp.sum((x - 1.6) ** 2), jnp.sum((x + 1.6) ** 2))

    mu = Density.gaussian(Grid.uniform(-3.0, 3.0, 60), 0.1, 0.8)
    run = flow(fn.Potential(wells), mu, steps.Quantile(), tau=6.0, n_steps=4)
    rises = np.diff(run.energy)
    assert rises.max() <= 1e-12
    assert run.energy[-1] < 2e-3 * run.energy[0] + 1.5 * mu.grid.spacing[0] ** 2


def test_the_rough_step_is_the_step_to_the_grid_and_needs_no_convexity():
    grid = Grid.uniform(-3.0, 3.0, 400)
    for F, tau in ((fn.Entropy() + QUADRATIC, 0.1), (0.3 * fn.Power(2.0) + WELLS, 0.2)):
        problem, solution, _, value = taken(F, Density.gaussian(grid, 0.5, 0.4), tau)
        edges, widths = rough_step(problem, grid.edges[0])
        assert value - 1e-9 < Point(problem, edges, widths).value < value + 2e-3
        assert minimise(problem, 1e-9, 60, (edges, widths)).edges == pytest.approx(solution.edges, abs=1e-6)
