"""Quantile steps with interactions: exact recursions, the semicircle, a convex solver, and certificates."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, exact, flow, steps
from jko.loops.elliptic import banded
from jko.loops.sums import line_sums
from jko.steps.quantile import interaction_passes as passes
from jko.steps.quantile.energy import LineEnergy
from jko.steps.quantile.interaction import LineInteraction
from jko.steps.quantile.lagrangian import Problem
from tests.first_step import first_step

REPELLED = fn.Interaction("quadratic_logarithmic")
KERNELS = [
    REPELLED,
    fn.Interaction("power", exponent=1.0, strength=-0.7),
    fn.Interaction("power", exponent=-0.5, strength=-1.0),
    fn.Interaction("power", exponent=1.5),
    fn.Interaction("power", exponent=4.0),
    fn.Interaction("morse"),
    fn.Interaction("gaussian", width=0.2),
    fn.Interaction(lambda z: jnp.cos(3.0 * jnp.sum(z))) + 2.0 * fn.Interaction("logarithmic", strength=-0.5),
]


def w(atom, z):
    """Σ c W at distances z, from the functionals themselves."""
    from functionals import pointwise

    terms = ((c, pointwise.values(a.W, z.reshape(-1, 1)).reshape(z.shape)) for c, a in atom.parts.interaction)
    return sum(c * value for c, value in terms)


def random_cells(generator, n):
    widths = generator.uniform(0.2, 1.0, n)
    widths *= 6.0 / widths.sum()
    masses = generator.uniform(0.1, 1.0, n)
    return np.append(-3.0, -3.0 + np.cumsum(widths)), widths, masses / masses.sum()


def cell_means(F, edges, points=30):
    """W̄ over all pairs of cells by tensor Gauss quadrature; on the diagonal over distances t = u⁶."""
    (s, a), (t, b) = (np.polynomial.legendre.leggauss(k) for k in (points, points + 1))
    left, width = edges[:-1, None], np.diff(edges)[:, None]
    x, y = left + 0.5 * width * (1.0 + s), left + 0.5 * width * (1.0 + t)
    values = w(F, x[:, None, :, None] - y[None, :, None, :])
    means = 0.25 * np.einsum("ijpq,p,q->ij", values, a, b)
    u = 0.5 * (1.0 + s)
    np.fill_diagonal(means, w(F, width * u**6) @ (6.0 * a * u**5 * (1.0 - u**6)))
    return means


@pytest.mark.parametrize("F", [pytest.param(KERNELS[0], marks=pytest.mark.long), *KERNELS[1:]], ids=repr)
def test_the_energy_of_cells_is_the_double_integral(F):
    edges, widths, masses = random_cells(np.random.default_rng(2), 24)
    found = LineInteraction(F.parts.interaction, Grid.uniform(-6.0, 6.0, 50), 1.0).at(edges, widths, masses)
    wanted = 0.5 * masses @ cell_means(F, edges) @ masses
    assert found.energy == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("F", KERNELS, ids=repr)
def test_distant_blocks_sum_as_pairs_do_and_forces_are_the_gradient(F):
    generator = np.random.default_rng(3)
    edges, widths, masses = random_cells(generator, 700)
    pairs = LineInteraction(F.parts.interaction, Grid.uniform(-6.0, 6.0, 50), 1.0)
    found = pairs.at(edges, widths, masses)
    x, m = banded.gauss_points(edges).T.ravel(), np.repeat(0.5 * masses, 2)
    cell = np.arange(m.size) // 2
    i, j = np.nonzero(cell[None, :] - cell[:, None] > line_sums.REACH)
    far = float(np.sum(m[i] * m[j] * w(F, x[j] - x[i])))
    kernel = pairs.kernel
    slope = np.zeros((2, masses.size))
    near = line_sums.near_sums(
        widths, masses, kernel.logarithm, kernel.powers, kernel.table, kernel.spacing, slope
    )
    for a in range(masses.size):  # what moments and order statistics hold, pair by pair
        b = np.arange(max(0, a - line_sums.REACH), min(masses.size, a + line_sums.REACH + 1))
        z = np.abs(x[None, [2 * a, 2 * a + 1]].T - x[np.concatenate([2 * b, 2 * b + 1])])
        own = kernel.constant + 0.5 * kernel.quadratic * z**2 + kernel.absolute * z
        near += 0.25 * masses[a] * float(own.sum(axis=0) @ np.tile(masses[b], 2)) / 2.0
    near += kernel.absolute * 0.5 * float(masses**2 @ widths) * (1.0 / 3.0 - 0.5 / np.sqrt(3.0))
    assert found.energy == pytest.approx(near + far, abs=2e-12 * max(1.0, abs(far)))
    nudge = 1e-3 * generator.uniform(-1.0, 1.0, edges.size) * widths.min()
    there = [pairs.at(e, np.diff(e), masses, model=False).energy for e in (edges + nudge, edges - nudge)]
    force = passes.edge_forces(masses, found.slope)
    assert 0.5 * (there[0] - there[1]) == pytest.approx(force @ nudge, rel=1e-5, abs=1e-13)


def test_attraction_and_entropy_follow_the_exact_recursion_at_order_two_in_h():
    stiffness, tau, errors = 1.5, 0.2, []
    F = 0.3 * fn.Entropy() + fn.Interaction("quadratic", strength=stiffness)
    for n in (250, 500, 1000):
        mu = Density.gaussian(Grid.uniform(-7.0, 9.0, n), mean=1.0, std=0.6)
        run = flow(F, mu, steps.Quantile(), tau=tau, n_steps=5)
        iterates = exact.GaussianJKO(0.0, 0.6, tau, stiffness=stiffness, temperature=0.3)
        std = [np.sqrt(m.covariance()[0, 0] / iterates.at(tau * k).covariance()[0, 0]) - 1.0
               for k, m in enumerate(run.measures)]  # fmt: skip
        mean = [m.mean()[0] - 1.0 for m in run.measures]
        errors.append(np.abs(std).max())
        assert np.abs(mean).max() < 1e-6
        assert run.info.relative_gap.max() < 2e-9
    assert errors[-1] < 2e-5
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(2.0, abs=0.15)


def test_repulsion_with_attraction_settles_in_the_semicircle():
    grid = Grid.uniform(-2.5, 2.5, 200)
    mu = Density.from_function(grid, lambda x: jnp.maximum(2.25 - x[0] ** 2, 0.0)).normalized()
    scheme, rho = steps.Quantile(), mu
    problem = scheme.prepare(REPELLED, mu)
    state = problem.start
    for _ in range(12):
        rho, state, info = scheme.step(problem, rho, 0.0, 1.0, state)
        assert info.converged
        assert info.dissipation > -1e-11
    assert info.iterations < 10
    x = np.clip(state["edges"] / np.sqrt(2.0), -1.0, 1.0)
    law = 0.5 + (x * np.sqrt(1.0 - x**2) + np.arcsin(x)) / np.pi
    assert np.abs(law - np.append(0.0, np.cumsum(state["masses"]))).max() < 3e-5
    steady = exact.AggregationSteadyState().on(grid)
    assert np.abs(rho.values - steady.values).sum() * grid.cell_volume < 1e-3
    problem = scheme.prepare(REPELLED, rho)
    energy = problem.at(0.0).value(*(state[k] for k in ("edges", "widths", "masses")))
    assert energy == pytest.approx(0.375 + 0.25 * np.log(2.0), abs=1e-4)


@pytest.mark.parametrize("strength", [-1.0, 0.5])
def test_an_absolute_value_moves_cells_by_their_rank(strength):
    F = fn.Interaction(lambda z: strength * jnp.abs(z[0]))
    mu = Density.uniform(Grid.uniform(-4.0, 4.0, 400), -1.0, 1.0)
    scheme = steps.Quantile()
    problem = scheme.prepare(F, mu)
    start = problem.start
    _, after, info = scheme.step(problem, mu, 0.0, 0.3, start)
    edges = start["edges"]
    # x′ = x − τ s (mass on the left − mass on the right): the mass on the left is (1 + x)/2
    assert after["edges"] == pytest.approx(edges - 0.3 * strength * edges, abs=1e-10)
    assert info.converged
    assert info.dissipation > 0.0


@pytest.mark.parametrize("F", [fn.Interaction("logarithmic"), KERNELS[2]], ids=repr)
def test_a_block_bursts_in_as_many_steps_at_any_number_of_cells(F):
    iterations, energies = [], []
    for n in (150, 600, 2400):
        mu = Density.uniform(Grid.uniform(-4.0, 4.0, n), -1.0, 1.0)
        scheme = steps.Quantile()
        prepared = scheme.prepare(F, mu)
        problem, solution, _ = scheme._solved(mu, 0.1, prepared.start, prepared.at(0.0))
        assert solution.closed
        iterations.append(solution.iterations)
        energies.append(solution.energy + solution.cost)
        if n == 150:  # the same by another method
            other, _ = passes.minimise(problem, scheme._minimise, 1e-9)
            assert energies[0] == pytest.approx(other.energy + other.cost, rel=1e-7)
    assert max(iterations) < 18
    assert iterations[2] <= iterations[0] + 4
    assert abs(energies[2] - energies[1]) < 0.5 * abs(energies[1] - energies[0])


def test_two_points_of_mass_would_be_one_after_a_finite_time():
    F = fn.Interaction("power", exponent=1.0, strength=1.0)
    mu = Density.uniform(Grid.uniform(-2.0, 2.0, 100), -1.0, 1.0)
    run = flow(F, mu, steps.Quantile(), tau=0.4, n_steps=4)
    assert run.final.covariance()[0, 0] < 1e-3
    assert run.info.mass_error.max() < 1e-12
    assert np.all(np.diff(run.energy) < 1e-9)


def test_the_same_step_as_a_convex_solver():
    # Ŵ ≥ 0: a convex problem in the density, too
    F = 0.5 * fn.Entropy() + fn.Interaction("gaussian", strength=1.5, width=0.7)
    mu = Density.gaussian(Grid.uniform(-4.0, 4.0, 160), mean=0.5, std=0.6)
    densities = []
    for scheme in (steps.Quantile(), steps.Cvxpy(formulation="eulerian", slices=3)):
        densities.append(first_step(scheme, F, mu, 0.1)[0].values)
    assert np.abs(densities[0] - densities[1]).sum() * mu.grid.cell_volume < 2e-3
    assert np.abs(densities[0] - mu.values).sum() * mu.grid.cell_volume > 0.05


SMOOTH = [fn.Interaction("gaussian", strength=s, width=0.8) for s in (-1.0, 1.0)]
APART = fn.Interaction("power", exponent=1.0, strength=-1.0)


def random_problem(generator, tau=0.02):
    edges, widths, masses = random_cells(generator, int(generator.integers(3, 40)))
    a, b = generator.uniform(0.2, 1.0, 2)
    F = a * REPELLED + SMOOTH[generator.integers(2)] + b * APART
    F = F + generator.uniform(0.01, 0.2) * fn.Entropy()
    energy = LineEnergy(F.parts, Grid.uniform(-6.0, 6.0, 100))
    return Problem(energy, edges, widths, masses, tau, (-6.0, 6.0))


def test_the_gap_bounds_the_suboptimality_of_unfinished_passes(monkeypatch):
    generator, unfinished = np.random.default_rng(5), 0
    for _ in range(8):
        problem, scheme = random_problem(generator), steps.Quantile()
        assert problem.convexity > 0.0
        best, _ = passes.minimise(problem, scheme._minimise, 1e-9)
        assert best.closed
        for most in (1, 2, 3):
            with monkeypatch.context() as patch:
                patch.setattr(passes, "TOLERANCES", replace(passes.TOLERANCES, most_passes=most))
                early, _ = passes.minimise(problem, scheme._minimise, 1e-9)
            excess = (early.energy + early.cost) - (best.energy + best.cost)
            assert early.gap >= excess - 1e-12
            unfinished += excess > 1e-9
    assert unfinished > 5


def test_gaps_and_caps_go_with_an_interaction():
    grid = Grid.uniform(-3.0, 3.0, 200)
    halves = [Density.uniform(grid, *ends).values for ends in ((-2.0, -1.0), (1.0, 2.0))]
    mu = Density(grid, 0.5 * sum(halves))
    attraction = fn.Interaction("quadratic", strength=2.0)
    crowd = flow(attraction + fn.Cap(0.8), mu, steps.Quantile(), tau=0.3, n_steps=12)
    assert max(m.values.max() for m in crowd.measures) <= 0.8 * (1.0 + 1e-9)
    block = Density.uniform(grid, -0.625, 0.625)
    assert np.abs(crowd.final.values - block.values).sum() * grid.cell_volume < 0.03
    assert np.all(np.diff(crowd.energy) < 1e-8)
    met = flow(REPELLED + 0.1 * fn.Power(2.0), mu, steps.Quantile(), tau=0.5, n_steps=6)
    assert np.all(met.info.dissipation > -1e-10)


def test_second_order_in_time_with_an_interaction():
    mu = Density.gaussian(Grid.uniform(-7.0, 7.0, 600), mean=0.0, std=0.6)
    F = fn.Entropy() + fn.Interaction("quadratic")
    errors = []
    for n in (4, 8, 16):
        run = flow(F, mu, steps.SecondOrder(steps.Quantile()), tau=0.8 / n, n_steps=n)
        variance = 1.0 + (0.36 - 1.0) * np.exp(-1.6)
        errors.append(abs(run.final.covariance()[0, 0] - variance))
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(2.0, abs=0.3)


def test_a_kernel_that_is_nowhere_convex_enough_has_no_certificate():
    F = fn.Entropy() + 0.5 * fn.Interaction("logarithmic", strength=-1.0)
    mu = Density.gaussian(Grid.uniform(-6.0, 6.0, 200), std=0.6)
    _, _, info = first_step(steps.Quantile(), F, mu, 0.05)
    assert info.converged
    assert np.isnan(info.gap)
    assert info.details["convexity"] <= 0.0
    assert info.dissipation > 0.0


def test_refusals():
    mu = Density.uniform(Grid.uniform(-1.0, 1.0, 40))
    with pytest.raises(ValueError, match="differences W"):
        steps.Quantile().prepare(fn.Interaction(lambda x, y: jnp.sum(x * y), general=True), mu)
    with pytest.raises(ValueError, match="powers above"):
        steps.Quantile().prepare(fn.Interaction("power", exponent=-1.5, strength=-1.0), mu)
    with pytest.raises(ValueError, match="infinite at 0"):
        steps.Quantile().prepare(fn.Interaction(lambda z: jnp.exp(-(z[0] ** 2)) - jnp.log(jnp.abs(z[0]))), mu)
    with pytest.raises(ValueError, match="must be even"):
        steps.Quantile().prepare(fn.Interaction(lambda z: jnp.sum(z) ** 3), mu)


@pytest.mark.parametrize(("length", "energy"), [(1.0, 1.0), (1e-3, 1e6)])
def test_repulsion_shares_mass_between_two_wells(length, energy):
    """V = k(|x| − 1)², W = −cz²/2, a uniform start on [l, r]: x goes right where x > cτm, to (x/τ − cm ±
    2k)/(1/τ + 2k − c), and the mean m of where all go solves a linear equation. Cells do not cross the
    ridge."""
    k, c, tau, left, right = 0.7, 0.9, 1.4, -0.8, 2.4
    share = 2.0 * k / (right - left)
    mean = (0.5 * (left + right) / tau + 2.0 * k + 2.0 * left * share) / (
        1.0 / tau + 2.0 * k + 2.0 * c * tau * share
    )
    V = fn.Potential(lambda x: k * (jnp.abs(x[0] / length) - 1.0) ** 2)
    W = fn.Interaction(lambda z: -0.5 * c * jnp.sum((z / length) ** 2))
    grid = Grid.uniform(-3.0 * length, 3.0 * length, 60)
    x = grid.axes[0] / length
    mu = Density(grid, ((x > left) & (x < right)).astype(float)).normalized()
    run = flow(energy * V + energy * W, mu, steps.Quantile(), tau=tau * length**2 / energy, n_steps=1)
    h = grid.spacing[0] / length
    assert run.final.mean()[0] / length == pytest.approx(mean, abs=0.5 * h**2)
    low = float(run.final.masses[x < 0.0].sum())
    assert low == pytest.approx((c * tau * mean - left) / (right - left), abs=0.5 * h**2)


@pytest.mark.parametrize("atom", KERNELS, ids=repr)
def test_the_field_of_cells_is_that_of_their_gauss_points(atom):
    sums = LineInteraction(atom.parts.interaction, Grid.uniform(-2.0, 2.0, 40), 1.0)
    edges, masses = np.array([-0.7, -0.25, 0.4]), np.array([0.3, 0.7])
    x = np.linspace(1.0, 2.0, 9)
    points = banded.gauss_points(edges).ravel()
    expected = w(atom, np.abs(x[:, None] - points)) @ np.tile(0.5 * masses, 2)
    np.testing.assert_allclose(sums.field(edges, masses, x), expected, rtol=1e-6, atol=1e-6)
