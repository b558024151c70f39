"""steps.PrimalDual against free boundaries in closed form, exact steps, another solver, and itself in other
units."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual, Quantile
from jko.steps.primal_dual.certificate import next_to_empty
from jko.steps.primal_dual.discretisation import CellEnergies
from jko.steps.primal_dual.grids import box_of_mass
from tests.first_step import first_step


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
    return first_step(scheme, F, mu, tau)


def test_a_full_ellipse_under_a_quadratic_potential_follows_its_ode():
    # mathematics.md 20: ab constant, sinh log(a/b) ∝ e^{−2t}
    grid = jko.Grid.uniform((-1.25, -0.95), (1.25, 0.95), (50, 38))
    run = jko.flow(
        fn.Cap(1.0) + fn.Potential("quadratic"), ellipse(grid, 1.0, 0.5), PrimalDual(), tau=0.05, n_steps=10
    )
    ratio = np.exp(np.arcsinh(0.75 * np.exp(-1.0)))
    exact = 0.125 * np.array([ratio, 1.0 / ratio])
    np.testing.assert_allclose(np.diag(run.final.covariance()), exact, rtol=0.018)
    assert np.all(run.info.status == "converged")
    assert np.all(run.info.dissipation >= 0.0)
    assert run.final.values.max() <= 1.0 + 1e-12


def corridor(n, slices):
    """(x, what each cell holds at t = ¼ beyond the full part [0, t] and the half-full one [t, 1 − t])."""
    grid = jko.Grid.uniform(0.0, 1.5, n)
    mu = jko.Density(grid, np.where(grid.axes[0] < 1.0, 0.5, 0.0))
    F = fn.Cap(1.0) + fn.Potential(lambda x: x[0])
    run = jko.flow(F, mu, PrimalDual(slices=slices), tau=0.0125, n_steps=20)
    assert np.all(run.info.status == "converged")
    edges = grid.edges[0]
    filled = np.minimum(edges, 0.25) + 0.5 * np.clip(edges - 0.25, 0.0, 0.5)
    return grid.axes[0], run.final.values * grid.spacing[0] - np.diff(filled)


@pytest.mark.slow
def test_a_corridor_fills_from_its_end():
    # .0082 and .0057 of the converged steps in L1 at the contact that the drift carries; a tenth and a
    # seventh for the solver
    (_, one), (_, two) = corridor(300, 1), corridor(300, 2)
    assert np.abs(one).sum() <= 0.009
    assert np.abs(two).sum() <= 8 / 7 * 0.0057155


@pytest.mark.slow
def test_a_corridor_is_of_order_one_where_mass_is():
    moved = []
    for n, slices in ((75, 2), (150, 3)):
        x, beyond = corridor(n, slices)
        assert np.abs(beyond[x < 0.5]).sum() <= 5e-4  # the front of the full region, L1
        moved.append(np.abs(np.cumsum(beyond)).sum() * 1.5 / n)  # W₁
    assert np.log2(moved[0] / moved[1]) >= 0.9


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


@pytest.mark.slow
@pytest.mark.parametrize(("n_steps", "rate", "unit"), [(24, 160, 1.0), (32, 320, 1e3)])
def test_over_a_run_of_short_steps_the_solver_adds_little_to_the_error_of_tau(n_steps, rate, unit):
    # steps that stop short do so on one side: by the gap alone W₂/τ is 6 to 15 % off
    grid, tau = jko.Grid.uniform(-2.2 * unit, 2.2 * unit, 800), unit / rate
    mu = jko.Density.gaussian(grid, 0.4 * unit, 0.35 * unit)
    F = unit * (0.5 * fn.Entropy() + fn.Potential(lambda x: ((x[0] / unit) ** 2 - 1.0) ** 2))
    flow = jko.flow(F, mu, Quantile(), tau=0.1 * tau, n_steps=10 * n_steps).final
    exact, found = (jko.flow(F, mu, s, tau=tau, n_steps=n_steps) for s in (Quantile(), PrimalDual()))
    assert np.all(found.info.status == "converged")
    of_tau = jko.wasserstein(exact.final, flow)
    assert abs(jko.wasserstein(found.final, flow) - of_tau) <= 0.02 * of_tau
    assert jko.wasserstein(found.final, exact.final) <= 0.03 * of_tau
    missed, shift = (float(a.mean()[0] - exact.final.mean()[0]) for a in (found.final, flow))
    assert abs(missed) <= 0.02 * abs(shift)


LINE = jko.Grid.uniform(-3.0, 3.0, 40)
PLANE = jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (14, 10))
SPACE = jko.Grid.uniform((-2.0,) * 3, (2.0,) * 3, (6, 5, 7))
WIDE = jko.Grid.uniform(-9.0, 15.0, 160)
WIDE_PLANE = jko.Grid.uniform((-4.0, -9.0), (4.0, 3.0), (16, 48))
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
    "cap, much vacuum": (fn.Cap(0.45) + WAVES, WIDE, 0.1, 1),
    "cap and power, much vacuum, two slices": (fn.Cap(0.45) + 0.2 * fn.Power(2.0) + WAVES, WIDE, 0.05, 2),
    "plane, much vacuum": (fn.Cap(0.3) + WAVES, WIDE_PLANE, 0.1, 1),
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
    _, _, other = first_step(scheme, F, mu, tau)
    missed = other.dissipation - info.dissipation  # by how much the value is above that of the other
    assert info.status == "converged", info.note
    assert -other.gap - 1e-12 <= missed <= info.gap + 1e-12
    assert info.mass_error <= 1e-13
    assert info.min_density >= 0.0
    assert F(after) <= F(mu)


@pytest.mark.parametrize(("grid", "cap", "slices"), [(LINE, 0.6, 1), (LINE, 0.5, 2), (PLANE, 0.45, 1)])
def test_a_start_above_its_cap_comes_below_it(grid, cap, slices):
    mu = jko.Density.gaussian(grid, mean=(0.2, -0.1)[: grid.dimension], std=0.5)
    F = fn.Cap(cap) + fn.Potential("quadratic")
    after, _, info = one_step(F, mu, 0.05, slices=slices)
    wanted, _, other = first_step(Cvxpy(formulation="eulerian", slices=slices), F, mu, 0.05)
    assert mu.values.max() > 1.2 * cap
    assert info.status == "converged", info.note
    missed = info.transport_cost + F(after) - other.transport_cost - F(wanted)
    assert -other.gap - 1e-6 <= missed <= info.gap + 1e-6  # a cap is held to 1e-6


def test_a_box_holds_the_mass_and_what_it_may_reach():
    values = np.zeros((1, 96, 64))
    values[0, 40:44, 3:6] = 1.0
    values[0, 90, 60] = 1e-8  # stays where it is
    assert box_of_mass(values, (0, 8, 2)) == [slice(0, 1), slice(32, 64), slice(0, 16)]
    assert box_of_mass(values, (0, 32, 50)) is None
    values[0, 90, 60] = 1e-3
    assert box_of_mass(values, (0, 0, 0)) == [slice(0, 1), slice(32, 96), slice(0, 64)]


def crowd(lengths=1.0, energies=1.0):
    """A crowd that a wall with a gap holds back, in units of length and energy: F, density, obstacle, τ."""
    n = 24
    grid = jko.Grid.uniform((0.0, 0.0), (lengths, lengths), (n, n))
    x, y = grid.centers[..., 0] / lengths, grid.centers[..., 1] / lengths
    obstacle = (np.abs(x - 0.55) < 0.03) & (np.abs(y - 0.5) > 0.15)
    values = np.where((x < 0.5) & (np.abs(y - 0.5) < 0.4), 1.0, 0.0) / lengths**2
    V = fn.Potential(lambda z: -energies * z[0] / lengths)
    return fn.Cap(1.5 / lengths**2) + V, jko.Density(grid, values), obstacle, 0.05 * lengths**2 / energies


def test_a_wall_lets_no_mass_in_and_none_through():
    F, mu, _, tau = crowd()
    wall = np.abs(mu.grid.centers[..., 0] - 0.55) < 0.03
    run = jko.flow(F, mu, PrimalDual(obstacle=wall), tau=tau, n_steps=4)
    assert not run.final.values[wall].any()
    assert run.final.values[mu.grid.centers[..., 0] > 0.55].sum() == 0.0
    assert run.final.mean()[0] > mu.mean()[0] + 0.02
    through = jko.flow(F, mu, PrimalDual(obstacle=crowd()[2]), tau=tau, n_steps=4).final
    assert through.values[mu.grid.centers[..., 0] > 0.6].sum() * mu.grid.cell_volume > 0.02


def test_other_units_give_the_same_crowd():
    F, mu, obstacle, tau = crowd()
    plain, _, info = one_step(F, mu, tau, obstacle=obstacle)
    G, nu, _, sigma = crowd(lengths=3e4, energies=7e-9)
    other, _, record = one_step(G, nu, sigma, obstacle=obstacle)
    np.testing.assert_allclose(other.values * 9e8, plain.values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(record.gap / 7e-9, info.gap, rtol=1e-6)


def block(reach, obstacle=None, **settings):
    """A step that moves a block of width ½ by `reach` of it under V = −x, and its decrease over the exact
    τ/2."""
    grid = jko.Grid.uniform(-1.0, 2.0, 150)
    mu = jko.Density.uniform(grid, lower=-0.5, upper=0.0)
    tau, F = 0.5 * reach, fn.Potential(lambda x: -x[0])
    after, _, info = one_step(F, mu, tau, obstacle=obstacle, **settings)
    return after, info, info.dissipation / (0.5 * tau)


def test_a_step_whose_slices_are_too_few_says_so():
    _, info, share = block(2.0)
    assert share < 0.9
    assert info.status == "not converged"
    assert info.details["overpaid"] > 0.1
    assert "take slices=2 or a smaller tau" in info.note
    _, info, share = block(2.0, slices=4)
    assert share > 0.97
    assert info.status == "converged", info.note
    _, info, share = block(0.4)
    assert share > 0.95
    assert info.status == "converged", info.note


def test_a_way_that_an_obstacle_closes_is_no_loss():
    wall = np.zeros(150, bool)
    wall[54:56] = True  # the block would pass it
    x = jko.Grid.uniform(-1.0, 2.0, 150).axes[0]
    ways = x[None, :54] - x[25:50, None]
    least = (ways - 0.5 * ways**2 / 0.4).max(axis=1).mean()  # what the exact step lowers F + W₂²/2τ by
    held, info, _ = block(0.8, wall)
    assert held.values[56:].sum() == 0.0
    assert 0.1 < info.details["overpaid"] < 1.0 - info.dissipation / least < 0.14
    _, info, share = block(0.8, wall, slices=2)
    assert share * 0.2 > 0.94 * least
    assert info.status == "converged", info.note
    far = np.zeros(150, bool)
    far[145:] = True
    assert "take slices=2" in block(2.0, far)[1].note


def test_a_resumed_run_has_the_same_bits():
    F, mu, obstacle, tau = crowd()
    scheme = PrimalDual(obstacle=obstacle)
    problem = scheme.prepare(F, mu)
    state = problem.start
    half, state, _ = scheme.step(problem, mu, 0.0, tau, state)
    whole, _, _ = scheme.step(problem, half, 0.0, tau, state)
    problem = scheme.prepare(F, mu)
    again, _, _ = scheme.step(problem, half, 0.0, tau, jko.State(state))
    np.testing.assert_array_equal(again.values, whole.values)


def test_what_cannot_be_is_refused_before_any_work():
    F, mu, obstacle, _ = crowd()
    with pytest.raises(ValueError, match="obstacle: expected no mass in it"):
        PrimalDual(obstacle=mu.values > 0.0).prepare(F, mu)
    with pytest.raises(ValueError, match="obstacle: expected a boolean array of shape"):
        PrimalDual(obstacle=obstacle[1:]).prepare(F, mu)
    with pytest.raises(ValueError, match="cap: the box holds a mass of"):
        PrimalDual().prepare(fn.Cap(0.1), mu)
    with pytest.raises(ValueError, match="slices"):
        PrimalDual(slices=0)
    with pytest.raises(TypeError, match="moves Density"):
        PrimalDual().prepare(F, jko.Particles(np.zeros((3, 2))))


@pytest.mark.parametrize("tau", [1e3, 1e5])
def test_the_gap_of_a_huge_step_is_small_beside_what_it_gains(tau):
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 160), 0.5, 0.5)
    run = jko.flow(fn.Entropy() + fn.Potential("quadratic"), rho, PrimalDual(), tau=tau, n_steps=1)
    assert run.info.gap[0] < 1e-3 * (run.energy[0] - run.energy[1])


def test_what_a_crowd_left_behind_is_a_vacuum_and_its_front_is_none():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (24, 24))
    values = np.zeros(grid.cells)
    values[12:] = 1.0
    values[11], values[4, 5] = 5e-3, 5e-3  # a front that has just come, a residue
    mu = jko.Density(grid, values)
    problem = PrimalDual().prepare(fn.Potential("linear", slope=[1.0, 0.0]), mu).at(0.0)
    empty = next_to_empty(problem, values.reshape(problem.shape))[..., 0]
    assert empty[:11].all()
    assert not empty[11:].any()


def test_a_gap_that_tails_off_below_the_tolerance_is_let_be():
    """A tenth of the tolerance is striven for as long again as the tolerance itself took."""
    grid = jko.Grid.uniform(0.0, 1.5, 75)
    mu = jko.Density(grid, np.where(grid.axes[0] < 1.0, 0.5, 0.0))
    F = fn.Cap(1.0) + fn.Potential(lambda x: x[0])
    full = jko.flow(F, mu, PrimalDual(), tau=0.0125, n_steps=1).info
    spent = int(full.iterations[0])
    short = jko.flow(F, mu, PrimalDual(max_iterations=spent - 1), tau=0.0125, n_steps=1).info
    assert full.relative_gap[0] < short.relative_gap[0] <= 1e-3


def test_the_prox_of_an_energy_of_ones_own_ends_once_newtons_method_stands(monkeypatch):
    """Three digits a second iteration: 16 are reached after some eight, 100 were taken."""
    energy = fn.InternalEnergy(lambda s: s**4 / 12.0 + 0.5 * s**2)
    cells, asked = CellEnergies(energy.parts.internal_energy), []
    bend = energy.second_derivative
    monkeypatch.setattr(energy, "second_derivative", lambda s: asked.append(s) or bend(s))
    b = np.linspace(-1.0, 3.0, 50)
    for start in (b, b[::-1]):
        r = cells.prox(b, np.maximum(start, 0.0), np.full(50, np.inf), 2.0)
        np.testing.assert_allclose(r**3 / 3.0 + 3.0 * r, np.maximum(2.0 * b, 0.0), rtol=1e-13, atol=1e-15)
        assert len(asked) < 20
        asked.clear()
        cells.prox(b, r, np.full(50, np.inf), 2.0)  # from the answer itself
        assert len(asked) < 4
        asked.clear()
