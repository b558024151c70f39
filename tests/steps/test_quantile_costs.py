"""Steps in W_p: doubly nonlinear diffusion, the Laplacian of q, straight paths; certificates of other
costs."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import functionals as fn
from jko import Density, Grid, exact, flow, steps, wasserstein
from jko.loops.elliptic import banded, power_cost
from jko.sensitivity import value_and_gradient
from jko.steps.quantile import newton
from jko.steps.quantile.lagrangian import Point
from tests.first_step import first_step
from tests.steps.test_quantile import l1, random_problem

COSTS = (1.5, 3.0)


@pytest.mark.parametrize("p", [1.2, 1.5, 2.7, 6.0])
@pytest.mark.parametrize(
    "ends", [(0.3, 0.4), (-0.2, 0.5), (0.0, 0.7), (1e-9, -1.0), (0.3, 0.3), (-2.0, -0.5)]
)
def test_the_cost_of_a_cell_and_its_gradient_are_exact(p, ends):
    start, edges, masses = np.zeros(2), np.array(ends), np.array([1.7])

    def integral(weight):
        return quad(weight, 0.0, 1.0, points=[0.5], epsabs=1e-13, epsrel=1e-12, limit=400)[0]

    def move(s):
        return (1.0 - s) * ends[0] + s * ends[1]

    assert power_cost.cost(masses, start, edges, p) == pytest.approx(
        1.7 * integral(lambda s: abs(move(s)) ** p), rel=1e-9
    )
    gradient = np.zeros(2)
    power_cost.add_gradient(masses, start, edges, p, 0.5, gradient)
    for i, share in enumerate((lambda s: 1.0 - s, lambda s: s)):
        force = integral(lambda s, share=share: abs(move(s)) ** (p - 1.0) * np.sign(move(s)) * share(s))
        assert gradient[i] == pytest.approx(0.85 * force, rel=1e-8, abs=1e-12)


def test_at_two_the_cost_and_its_certificate_are_those_of_the_square():
    generator = np.random.default_rng(3)
    start = np.cumsum(generator.random(30))
    edges, masses = start + generator.standard_normal(30), generator.random(29)
    assert 0.5 * power_cost.cost(masses, start, edges, 2.0) == pytest.approx(
        0.5 * banded.transport_cost(masses, start, edges), rel=1e-14
    )
    gradient = 0.3 * generator.standard_normal(30)
    defect = power_cost.defect(masses, start, edges, banded.force(masses, gradient), 2.0, 4.0)
    assert defect == pytest.approx(0.5 * banded.dual_norm_squared(masses, gradient) / 4.0, rel=1e-12)


def test_a_run_tends_to_that_of_the_square():
    grid = Grid.uniform(-6.0, 6.0, 200)
    F, mu = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0), Density.gaussian(grid, 1.0, 0.5)
    runs = [flow(F, mu, steps.Quantile(cost_exponent=p), tau=0.1, n_steps=8) for p in (2.0, 2.0 + 1e-10)]
    assert np.abs(runs[0].final.values - runs[1].final.values).max() < 1e-8
    assert runs[0].info.dissipation == pytest.approx(runs[1].info.dissipation, abs=1e-8)


@pytest.mark.parametrize("p", [1.3, 1.5, 3.0, 5.0])
def test_a_potential_alone_sends_points_straight_at_the_speed_of_its_slope_to_the_power(p):
    """v = −|V′|^{q−2}V′ at the end of the step: |y − x|^{p−2}(y − x)/τ^{p−1} = −V′(y), in every step."""
    grid, tau, q = Grid.uniform(-3.0, 3.0, 300), 0.3, p / (p - 1.0)
    mu = Density.uniform(grid, 0.5, 1.5)
    run = flow(fn.Potential(lambda x: 0.7 * x[0]), mu, steps.Quantile(cost_exponent=p), tau=tau, n_steps=4)
    assert run.final.mean()[0] == pytest.approx(1.0 - 1.2 * 0.7 ** (q - 1.0), abs=2e-4)
    assert run.final.covariance()[0, 0] == pytest.approx(1.0 / 12.0, abs=2e-4)
    scheme, F = steps.Quantile(cost_exponent=p), fn.Potential("quadratic", stiffness=2.0)
    problem = scheme.prepare(F, mu)
    _, after, info = scheme.step(problem, mu, 0.0, tau, problem.start)
    wanted = [
        brentq(lambda y, x=x: y + tau * (2.0 * y) ** (q - 1.0) - x, 0.0, x) for x in problem.start["edges"]
    ]
    assert after["edges"] == pytest.approx(np.array(wanted), abs=3e-5)
    assert info.converged
    assert info.relative_gap < 1e-9


LAWS = [(1.0, 1.5), (1.5, 1.5), (2.0, 3.0), (1.0, 3.0), (1.3, 2.5)]  # (1.5, 1.5): the Laplacian of 3


def functional(m):
    return fn.Entropy() if m == 1.0 else fn.Power(m)


@pytest.mark.parametrize(("m", "p"), LAWS)
def test_a_whole_run_is_that_of_the_exact_steps_to_second_order_in_the_cells(m, p):
    errors, law = [], exact.Barenblatt(m, start_time=0.3, cost_exponent=p)
    step = law
    for _ in range(5):
        step = step.jko_step(0.05)
    reach = 1.4 * step.radius() if m > 1.0 else 9.0
    for n in (100, 200, 400):
        grid = Grid.uniform(-reach, reach, n)
        run = flow(functional(m), law.on(grid), steps.Quantile(cost_exponent=p), tau=0.05, n_steps=5)
        errors.append(wasserstein(run.final, step.on(grid)))
        assert run.info.relative_gap.max() < 1e-8
        assert run.info.dissipation.min() > 0.0
        assert run.info.mass_error.max() < 1e-12
    assert errors[-1] < 4e-4 * reach
    assert np.log2(errors[0] / errors[-1]) / 2.0 > 1.5, errors


@pytest.mark.parametrize(("m", "p"), LAWS[1:4])
def test_order_one_in_tau_against_the_equation(m, p):
    law = exact.Barenblatt(m, start_time=0.3, cost_exponent=p)
    grid = Grid.uniform(-4.0, 4.0, 800)
    errors = []
    for n in (4, 8, 16):
        run = flow(functional(m), law.on(grid), steps.Quantile(cost_exponent=p), tau=0.4 / n, n_steps=n)
        errors.append(wasserstein(run.final, law.on(grid, 0.4)))
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("p", COSTS)
def test_the_laplacian_of_q_in_the_plane_by_shells(p):
    """p = 1.5, m = 1.5 is ∂_tρ = 1.5² ∇·(|∇ρ|∇ρ); p = 3, m = 2 doubly nonlinear."""
    m, errors = (1.5, 2.0)[p > 2.0], []
    law = exact.Barenblatt(m, dimension=2, start_time=0.1, cost_exponent=p)
    step = law
    for _ in range(4):
        step = step.jko_step(0.02)
    for n in (50, 100):
        grid = Grid.radial(np.linspace(0.0, 1.5 * step.radius(), n + 1), 2)
        run = flow(fn.Power(m), law.on(grid), steps.Quantile(cost_exponent=p), tau=0.02, n_steps=4)
        errors.append(wasserstein(run.final, step.on(grid)))
        assert run.info.relative_gap.max() < 1e-8
    assert errors[1] < 3e-3 * step.radius()
    assert errors[0] / errors[1] > 2.5, errors


@pytest.mark.parametrize("p", COSTS)
@pytest.mark.parametrize("tau", [1e-3, 0.1])
def test_the_gap_bounds_the_suboptimality_of_unfinished_steps(p, tau):
    generator, unfinished = np.random.default_rng(5), 0
    for _ in range(15):
        problem = random_problem(generator, tau)
        problem.energy.potential = lambda x: (0.5 * x**2 + x, x + 1.0, np.ones_like(x))
        problem.energy.modulus = 1.0
        problem = problem._replace(exponent=p)
        best = newton.minimise(problem, 1e-12, 300)
        for iterations in (0, 1, 2, 3):
            early = newton.minimise(problem, 1e-12, iterations)
            excess = early.energy + early.cost - best.energy - best.cost
            assert early.gap >= excess - 1e-12
            unfinished += excess > 1e-8
    assert unfinished > 15


@pytest.mark.parametrize("p", COSTS)
def test_a_potential_that_is_not_convex_has_the_duality_gap_among_all_densities(p):
    grid = Grid.uniform(-3.0, 3.0, 300)
    F, mu = 0.3 * fn.Entropy() + fn.Potential("double_well"), Density.gaussian(grid, 0.6, 0.4)
    scheme = steps.Quantile(cost_exponent=p)
    _, _, info = first_step(scheme, F, mu, 0.05)
    assert info.converged
    assert 0.0 < info.relative_gap < 1e-2
    assert info.dissipation > 0.0
    problem = scheme.prepare(F, mu)
    found, solution, _ = scheme._solved(mu, 0.05, problem.start, problem.at(0.0))
    value = solution.energy + solution.cost
    # no other edges do better than the gap says
    generator = np.random.default_rng(1)
    for size in (1e-3, 1e-2):
        for _ in range(10):
            moved = solution.edges + size * np.sin(generator.uniform(1.0, 6.0) * solution.edges)
            other = Point(found, moved, np.diff(moved))
            assert other.value >= value - solution.gap


@pytest.mark.parametrize("p", COSTS)
def test_a_cap_and_a_wall(p):
    """A full crowd against a wall: nothing moves, and a half full one fills up to the cap."""
    grid, V = Grid.uniform(0.0, 2.0, 100), fn.Potential(lambda x: 3.0 * x[0])
    F, scheme = fn.Cap(1.0) + V, steps.Quantile(cost_exponent=p)
    full, _, info = first_step(
        scheme, F, Density.uniform(grid, 0.0, 1.0).with_values(1.0 * (grid.axes[0] < 1.0)), 0.1
    )
    assert np.abs(full.values - (grid.axes[0] < 1.0)).max() < 1e-9
    half = Density(grid, 0.5 * np.ones(100))
    run = flow(F, half, scheme, tau=1.0, n_steps=4)
    assert l1(run.final, 1.0 * (grid.axes[0] < 1.0)) < 1e-6
    assert info.converged


@pytest.mark.parametrize("p", COSTS)
@pytest.mark.parametrize(("length", "energy"), [(4.0, 4.0), (0.25, 16.0)])
def test_in_other_units_it_is_the_same(p, length, energy):
    """Lengths × s, energies × e: times × (s^p/e)^{1/(p−1)}, densities of one mass / s."""
    time = (length**p / energy) ** (1.0 / (p - 1.0))
    found = []
    for s, e, tau in ((1.0, 1.0, 0.125), (length, energy, 0.125 * time)):
        grid = Grid.uniform(-4.0 * s, 4.0 * s, 128)
        mu = Density(grid, np.exp(-2.0 * (np.round(64.0 * grid.axes[0] / s) / 64.0 - 0.5) ** 2) / s)
        F = e * (fn.Entropy() + fn.Potential(lambda x, s=s: 0.5 * (x[0] / s) ** 2))
        found.append(flow(F, mu, steps.Quantile(tolerance=1e-12, cost_exponent=p), tau=tau, n_steps=3))
    assert found[1].final.values * length == pytest.approx(found[0].final.values, rel=1e-9, abs=1e-12)
    assert found[1].info.transport_cost / energy == pytest.approx(found[0].info.transport_cost, rel=1e-9)


@pytest.mark.parametrize("p", COSTS)
def test_the_reflected_half_step_has_order_two(p):
    law, errors = exact.Barenblatt(1.0, start_time=0.5, cost_exponent=p), []
    grid = Grid.uniform(-16.0, 16.0, 1600) if p < 2.0 else Grid.uniform(-7.0, 7.0, 1600)
    scheme = steps.SecondOrder(steps.Quantile(cost_exponent=p), plain_steps=0)
    for n in (2, 4, 8):
        run = flow(fn.Entropy(), law.on(grid), scheme, tau=0.8 / n, n_steps=n)
        errors.append(wasserstein(run.final, law.on(grid, 0.8)))
    assert np.log2(errors[0] / errors[1]) > 1.7, errors


def test_a_run_has_no_bounds_of_w2_and_refusals_name_the_argument():
    grid = Grid.uniform(-3.0, 3.0, 60)
    mu = Density.gaussian(grid, 0.0, 0.5)
    run = flow(fn.Entropy(), mu, steps.Quantile(cost_exponent=3.0), tau=0.1, n_steps=2)
    assert np.isnan(run.error_bound[1:]).all()
    assert np.isnan(run.flow_error_bound[1:]).all()
    cubic = steps.Quantile(cost_exponent=3.0)
    with pytest.raises(ValueError, match="which is not quadratic"):
        value_and_gradient(
            lambda mu: mu.mean()[0], lambda a: a * fn.Entropy(), 1.0, mu, cubic, tau=0.1, n_steps=1
        )
    with pytest.raises(ValueError, match="cost_exponent: expected a number above 1"):
        steps.Quantile(cost_exponent=1.0)
    for part in (fn.Interaction("quadratic"), fn.Cap(lambda x: 2.0 + jnp.sin(x[0]))):
        with pytest.raises(ValueError, match="cost_exponent=2"):
            steps.Quantile(cost_exponent=3.0).prepare(fn.Entropy() + part, mu)
    with pytest.raises(ValueError, match=r"cost_exponent: powers of 1e\+06 of tau = 0.1 are beyond"):
        flow(fn.Entropy(), mu, steps.Quantile(cost_exponent=1e6), tau=0.1, n_steps=1)
