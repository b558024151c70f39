"""Newton's method on the edges: accuracy against exact steps, certificates, fronts, gaps, caps and walls."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Density, Grid, exact, flow, steps, wasserstein
from jko.loops.elliptic import banded
from jko.steps.quantile import newton
from jko.steps.quantile.energy import LineEnergy
from jko.steps.quantile.lagrangian import Point, Problem
from tests.first_step import first_step

QUADRATIC = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
CONFINED = fn.Entropy() + QUADRATIC


def l1(found, values):
    return np.abs(found.values - values).sum() * found.grid.cell_volume


def blocks(grid, *intervals):
    return Density(grid, sum(Density.uniform(grid, *i).values for i in intervals) / len(intervals))


def gaussian_run(n):
    mu = Density.gaussian(Grid.uniform(-8.0, 8.0, n), mean=1.5, std=0.5)
    run = flow(CONFINED, mu, steps.Quantile(), tau=0.1, n_steps=20)
    iterates = exact.GaussianJKO(1.5, 0.5, 0.1)
    std = [np.sqrt(m.covariance()[0, 0]) - np.sqrt(iterates.at(0.1 * k).covariance()[0, 0])
           for k, m in enumerate(run.measures)]  # fmt: skip
    distance = [l1(m, iterates.on(mu.grid, 0.1 * k).values) for k, m in enumerate(run.measures)]
    return np.abs(std).max(), max(distance), run


def test_gaussian_iterates_to_1e_5_at_1000_cells_and_order_two_in_h():
    results = [gaussian_run(n) for n in (500, 1000, 2000)]
    std, distance = np.array([r[0] for r in results]), np.array([r[1] for r in results])
    assert std[1] < 1e-5
    assert distance[1] < 1e-5
    assert np.log2(std[:-1] / std[1:]) == pytest.approx(2.0, abs=0.15)
    assert np.all(np.log2(distance[:-1] / distance[1:]) > 1.85)
    info = results[1][2].info
    assert info.relative_gap.max() < 1e-9
    assert info.dissipation.min() > 0.0
    assert info.mass_error.max() < 1e-14
    assert np.all(np.diff(results[1][2].energy) < 0.0)


@pytest.mark.slow
def test_gaussian_iterates_to_1e_8_at_100_000_cells():
    assert gaussian_run(100_000)[0] < 1e-8


@pytest.mark.parametrize(
    ("F", "solution", "reach", "time"),
    [
        (CONFINED, exact.OrnsteinUhlenbeck(), 6.0, 0.8),
        (fn.Entropy(), exact.Heat(std=0.8), 9.0, 0.8),
        (fn.Power(2.0), exact.Barenblatt(2.0, start_time=0.1), 2.5, 0.4),
    ],
)
def test_order_one_in_tau(F, solution, reach, time):
    grid = Grid.uniform(-reach, reach, 1500)
    errors = []
    for n in (8, 16, 32, 64):
        run = flow(F, solution.on(grid), steps.Quantile(), tau=time / n, n_steps=n, store_every=n)
        errors.append(wasserstein(run.final, solution.on(grid, time)))
    assert np.log2(np.divide(errors[:-1], errors[1:]))[-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("m", "bound"), [(2.0, 3e-4), (1.5, 3e-4), (3.0, 2e-3)])
def test_one_barenblatt_step_at_200_cells(m, bound):
    solution, grid = exact.Barenblatt(m), Grid.uniform(-2.0, 2.0, 200)
    scheme, mu, F = steps.Quantile(), solution.on(grid), fn.Power(m)
    after, _, info = first_step(scheme, F, mu, 0.01)
    assert l1(after, solution.jko_step(0.01).on(grid).values) < bound
    assert info.relative_gap < 1e-9
    front = grid.axes[0][after.values > 0.0]
    assert abs(front[-1] - solution.jko_step(0.01).radius()) < 1.5 * grid.spacing[0]


def test_one_step_of_fast_diffusion_and_of_a_users_energy():
    grid = Grid.uniform(-20.0, 20.0, 1000)
    solution = exact.Barenblatt(0.7, start_time=0.3)
    scheme, F = steps.Quantile(), fn.Power(0.7)
    after, _, _ = first_step(scheme, F, solution.on(grid), 0.01)
    assert l1(after, solution.jko_step(0.01).on(grid).values) < 1e-5
    user = fn.InternalEnergy(lambda s: jnp.where(s > 0, s, 1.0) ** 2 * (s > 0))
    solution, grid = exact.Barenblatt(2.0), Grid.uniform(-2.0, 2.0, 400)
    after, _, _ = first_step(scheme, user, solution.on(grid), 0.01)
    assert l1(after, solution.jko_step(0.01).on(grid).values) < 1e-4


def random_problem(generator, tau):
    """A potential that is not convex, energies mixed, masses over six orders of magnitude."""
    n = int(generator.integers(2, 40))
    edges = np.cumsum(generator.random(n + 1) + 0.05) / n
    masses = 10.0 ** generator.uniform(-6.0, 0.0, n)
    a, b, c = generator.standard_normal(3)
    F = generator.random() * fn.Entropy() + 0.01 * fn.Power(generator.choice([0.6, 2.0, 3.0]))
    energy = LineEnergy(F.parts, Grid.uniform(-1.0, 3.0, 400))
    energy.potential = lambda x: (
        a * np.sin(3.0 * x) + b * x + c**2 * x**2,
        3.0 * a * np.cos(3.0 * x) + b + 2.0 * c**2 * x,
        -9.0 * a * np.sin(3.0 * x) + 2.0 * c**2,
    )
    energy.modulus = -9.0 * abs(a) + 2.0 * c**2
    return Problem(energy, edges, np.diff(edges), masses / masses.sum(), tau, (-1.0, 3.0))


def objective(problem, solution):
    return solution.energy + solution.cost


def test_the_gap_bounds_the_suboptimality_of_unfinished_steps():
    generator = np.random.default_rng(11)
    unfinished = 0
    for _ in range(60):
        problem = random_problem(generator, tau=0.03)
        assert problem.convexity > 0.0
        best = newton.minimise(problem, 1e-12, 300)
        assert best.closed
        for iterations in (0, 1, 2, 3):
            early = newton.minimise(problem, 1e-12, iterations)
            excess = objective(problem, early) - objective(problem, best)
            assert early.gap >= excess - 1e-12
            unfinished += excess > 1e-8
    assert unfinished > 60


def test_gradient_and_hessian_are_those_of_the_objective():
    generator = np.random.default_rng(4)
    problem = random_problem(generator, tau=0.05)
    step = 1e-5

    def at(edges):
        point = Point(problem, edges, np.diff(edges))
        point.assemble(problem)
        return point

    edges = problem.start + 1e-3 * generator.random(problem.start.size)
    point = at(edges)
    diagonal = point.rows - np.append(point.upper, 0.0) - np.append(0.0, point.upper)
    for i in range(edges.size):
        nudge = np.zeros(edges.size)
        nudge[i] = step * problem.widths.min()
        ahead, behind = at(edges + nudge), at(edges - nudge)
        slope = (ahead.value - behind.value) / (2.0 * nudge[i])
        assert point.gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6)
        column = (ahead.gradient - behind.gradient) / (2.0 * nudge[i])
        assert diagonal[i] == pytest.approx(column[i], rel=1e-4)
        if i:
            assert point.upper[i - 1] == pytest.approx(column[i - 1], rel=1e-4, abs=1e-6)


def test_the_banded_solver_against_a_dense_one():
    generator = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 5, 50):
        upper, rows = -generator.random(n - 1), 0.1 + generator.random(n)
        diagonal = rows - np.append(upper, 0.0) - np.append(0.0, upper)
        right, out = generator.standard_normal(n), np.empty(n)
        assert banded.solve(rows, upper, right, out)
        dense = np.diag(diagonal) + np.diag(upper, 1) + np.diag(upper, -1)
        assert out == pytest.approx(np.linalg.solve(dense, right), rel=1e-12)
    assert not banded.solve(-rows, upper, right, out)


def test_the_banded_solver_keeps_its_digits_between_stiff_cells():
    # springs of 1e22 between masses of 1e-5 to 1: as one block, all move by Σ right / Σ rows
    rows = np.array([1e-5, 0.3, 1e-4, 0.7, 1e-5, 1.0])
    right, out = np.array([1.0, -0.5, 0.25, 2.0, -1.0, 1.5]), np.empty(6)
    assert banded.solve(rows, np.full(5, -1e22), right, out)
    assert out == pytest.approx(np.full(6, right.sum() / rows.sum()), rel=1e-14)


def test_a_potential_alone_moves_every_point_by_its_proximal_map():
    grid = Grid.uniform(-3.0, 3.0, 300)
    mu = blocks(grid, (-2.0, -1.0), (0.5, 1.5))
    scheme = steps.Quantile()
    after, state, info = first_step(scheme, QUADRATIC, mu, 0.25)
    problem = scheme.prepare(QUADRATIC, mu)
    assert state["edges"] == pytest.approx(problem.start["edges"] / 1.25, abs=1e-6)
    assert l1(after, blocks(grid, (-1.6, -0.8), (0.4, 1.2)).values) < 1e-3
    assert info.converged


def test_two_bumps_meet_and_become_one():
    grid = Grid.uniform(-3.0, 3.0, 300)
    mu = blocks(grid, (-2.0, -1.0), (0.5, 1.5))
    for F in (fn.Power(2.0) + QUADRATIC, CONFINED):
        scheme = steps.Quantile()
        problem = scheme.prepare(F, mu)
        state, rho = problem.start, mu
        assert np.count_nonzero(state["masses"] == 0.0) == 1
        for _ in range(40):
            rho, state, info = scheme.step(problem, rho, 0.0, 0.1, state)
            assert info.converged
            assert info.dissipation > 0.0
        assert np.all(state["masses"] > 0.0)
        assert abs(rho.mean()[0]) < 0.02
        middle = np.abs(grid.axes[0]) < 0.5
        assert rho.values[middle].min() > 0.3


def test_crowds_stop_at_the_cap_and_fill_a_block():
    grid = Grid.uniform(-3.0, 3.0, 400)
    F = fn.Cap(1.25) + QUADRATIC
    run = flow(F, Density.gaussian(grid, mean=1.0, std=0.45), steps.Quantile(), tau=0.1, n_steps=60)
    assert max(m.values.max() for m in run.measures[1:]) <= 1.25 * (1.0 + 1e-9)
    assert np.all(np.diff(run.energy) < 1e-12)
    assert run.info.mass_error.max() < 1e-12
    assert l1(run.final, Density.uniform(grid, -0.4, 0.4).values) < 0.02
    over = Density.uniform(grid, -0.2, 0.2)
    after, _, info = first_step(steps.Quantile(), F, over, 0.1)
    assert after.values.max() <= 1.25 * (1.0 + 1e-9)
    assert info.dissipation == np.inf


@pytest.mark.parametrize("slope", [-2.0, 2.0])
def test_mass_that_gathers_at_a_wall_is_kept(slope):
    grid = Grid.uniform(-4.0, 4.0, 100)
    run = flow(
        fn.Potential("linear", slope=slope),
        Density.gaussian(grid, mean=-np.sign(slope), std=0.4),
        steps.Quantile(),
        tau=0.5,
        n_steps=6,
    )
    assert max(abs(rho.mass - 1.0) for rho in run.measures) < 1e-12
    assert np.all(np.diff(run.energy) < 1e-12)
    assert run.energy[-1] < -8.0 + 2.0 * grid.spacing[0]


def test_walls_let_nothing_through_and_the_gibbs_measure_is_reached():
    grid = Grid.uniform(-3.0, 3.0, 300)
    drift = fn.Potential(lambda x: -4.0 * x[0])
    run = flow(
        0.5 * fn.Entropy() + drift, Density.gaussian(grid, 0.0, 0.5), steps.Quantile(), tau=0.2, n_steps=40
    )
    gibbs = Density.from_function(grid, lambda x: jnp.exp(8.0 * (x[0] - 3.0)))
    assert l1(run.final, gibbs.values) < 5e-3
    assert run.info.mass_error.max() < 1e-13
    still = flow(fn.Entropy(), Density.uniform(grid), steps.Quantile(), tau=0.1, n_steps=2)
    assert still.final.values == pytest.approx(still.measures[0].values, rel=1e-12)


def test_a_step_depends_on_its_state_alone():
    grid = Grid.uniform(-3.0, 3.0, 200)
    F = 0.2 * fn.Entropy() + fn.Potential("double_well")
    mu = Density.gaussian(grid, 0.3, 0.3)
    scheme = steps.Quantile()
    problem = scheme.prepare(F, mu)
    rho, state = mu, problem.start
    for _ in range(3):
        rho, state, _ = scheme.step(problem, rho, 0.0, 0.05, state)
    problem = scheme.prepare(F, mu)
    resumed = jko.State({k: v.copy() for k, v in state.items()})
    one, after_one, _ = scheme.step(problem, rho, 0.0, 0.05, state)
    two, after_two, _ = scheme.step(problem, rho, 0.0, 0.05, resumed)
    assert np.array_equal(one.values, two.values)
    assert all(np.array_equal(after_one[k], after_two[k]) for k in after_one)


def test_a_step_beyond_convexity_has_its_gap_among_all_densities():
    grid = Grid.uniform(-3.0, 3.0, 200)
    F = 0.2 * fn.Entropy() + fn.Potential("double_well")
    mu = Density.gaussian(grid, 0.3, 0.3)
    scheme = steps.Quantile()
    _, _, info = first_step(scheme, F, mu, 0.5)
    assert info.converged
    assert 0.0 < info.relative_gap < 1e-3
    assert "all densities" in info.note
    assert info.dissipation > 0.0


def test_an_unfinished_step_does_not_pass_for_a_finished_one():
    mu = Density.gaussian(Grid.uniform(-6.0, 6.0, 200), 1.5, 0.5)
    scheme = steps.Quantile(most_iterations=1)
    _, _, info = first_step(scheme, CONFINED, mu, 0.1)
    assert info.status == "not converged"
    assert info.gap > 1e-6


def test_refusals():
    line, plane = Grid.uniform(-1.0, 1.0, 40), Grid.uniform((-1.0, -1.0), (1.0, 1.0), (4, 4))
    scheme = steps.Quantile()
    with pytest.raises(ValueError, match="moves densities on the line"):
        scheme.prepare(fn.Entropy(), Density.uniform(plane))
    with pytest.raises(ValueError, match="raise the cap"):
        scheme.prepare(fn.Cap(0.4) + QUADRATIC, Density.uniform(line))
    with pytest.raises(ValueError, match="not finite in 10 cells"):
        scheme.prepare(fn.Potential(lambda x: jnp.where(x[0] > 0.5, jnp.inf, 0.0)), Density.uniform(line))
    with pytest.raises(ValueError, match="tau: expected a positive number"):
        first_step(scheme, CONFINED, Density.uniform(line), 0.0)
    with pytest.raises(ValueError, match="tolerance"):
        steps.Quantile(tolerance=0.0)
