"""The entropic step against its own closed form between Gaussians, and against the exact step."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import functionals as fn
import jko
from jko.errors import StepFailed
from jko.steps import Entropic
from tests.first_step import first_step
from tests.steps.grid_steps import attracted, distance, ornstein_uhlenbeck, quadratic, take_step


def one_step(F, rho, tau, **settings):
    return take_step(Entropic(**settings), F, rho, tau)


def gaussian(dimension, cells):
    return ornstein_uhlenbeck(dimension, cells, half_width=5.0)


def entropic_iterate(std, tau, epsilon, share):
    """The std after a step of Entropy + ½x²: precisions of e^g, blurred, of e^f ρ_k, blurred."""

    def precision(P):
        g = (1.0 - P + share * epsilon / tau * P) * tau / epsilon
        f = 1.0 / std**2 - g / (1.0 + epsilon * g)
        return g + f / (1.0 + epsilon * f)

    return brentq(lambda P: precision(P) - P, 0.5 / std**2, 1.5 / std**2, xtol=1e-14) ** -0.5


@pytest.mark.parametrize(("debias", "share"), [(False, 0.0), (True, 0.5)])
@pytest.mark.parametrize("epsilon", [0.05, 0.01])
def test_the_closed_form_of_the_entropic_step(debias, share, epsilon):
    F, rho, _ = gaussian(1, 200)
    new, info = one_step(F, rho, 0.1, epsilon=epsilon, debias=debias, tolerance=1e-9)
    std = entropic_iterate(0.6, 0.1, epsilon, share)
    assert distance(new, jko.Density.gaussian(rho.grid, 1.0 / 1.1, std=std)) < 1e-7
    assert 0.0 <= info.gap < 1e-12
    assert info.mass_error < 1e-12


@pytest.mark.parametrize(("debias", "order"), [(False, 1.0), (True, 2.0)])
def test_the_bias_and_what_is_left_of_it(debias, order):
    F, rho, exact = gaussian(1, 400)
    settings = {"debias": debias, "tolerance": 1e-9}
    errors = [distance(one_step(F, rho, 0.1, epsilon=e, **settings)[0], exact) for e in (0.01, 0.005, 0.0025)]
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), order, atol=0.1)


def test_the_bias_is_half_alpha_times_the_laplacian():
    # pure diffusion at temperature θ: an entropic step diffuses as one of θ + α/2, to first order in ε and τ
    grid = jko.Grid.uniform(-5.0, 5.0, 400)
    rho = jko.Density.gaussian(grid, 0.0, std=0.8)
    epsilon, tau = 0.004, 0.01
    new, info = one_step(fn.Potential(lambda x: 0.0 * x[0]), rho, tau, epsilon=epsilon, debias=False)
    gained = new.covariance()[0, 0] - rho.covariance()[0, 0]
    assert gained == pytest.approx(2.0 * tau * 0.5 * epsilon / tau, rel=1e-3)
    assert info.details["alpha"] == pytest.approx(0.4)


@pytest.mark.parametrize(("dimension", "sizes"), [(1, (100, 200, 400)), (2, (50, 100, 200))])
def test_the_exact_step_at_fourth_order(dimension, sizes):
    errors = []
    for cells in sizes:
        F, rho, exact = gaussian(dimension, cells)
        new, info = one_step(F, rho, 0.1, tolerance=1e-8)
        errors.append(distance(new, exact))
        assert info.status == "converged"
        assert info.relative_gap < 1e-6
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 3.5), errors
    assert errors[-1] < 1e-4


@pytest.mark.parametrize(("exponent", "bound"), [(0.75, 3e-3), (1.5, 4e-4), (2.0, 1.2e-3), (3.0, 4e-3)])
def test_barenblatt_step(exponent, bound):
    fast = exponent < 1.0
    start, tau = (0.2, 0.05) if fast else (0.002, 0.002)
    half_width = 4.0 if fast else 0.8
    grid = jko.Grid.uniform((-half_width,) * 2, (half_width,) * 2, (128, 128))
    solution = jko.exact.Barenblatt(exponent, 2, 1.0, start)
    new, info = one_step(fn.Power(exponent), solution.on(grid), tau)
    assert distance(new, solution.jko_step(tau).on(grid)) < bound
    assert info.status == "converged"
    assert info.relative_gap < 1e-5
    assert info.mass_error < 1e-12
    assert info.min_density >= 0.0


def objective_fall(F, rho, new, tau):
    return float(F(rho) - F(new)) - 0.5 * float(jko.wasserstein(rho, new)) ** 2 / tau


def test_dissipation_is_that_of_the_exact_cost_to_second_order():
    F, rho, _ = gaussian(1, 500)
    errors = []
    for epsilon in (0.04, 0.02, 0.01):
        new, info = one_step(F, rho, 0.1, epsilon=epsilon, tolerance=1e-8)
        errors.append(abs(info.dissipation - objective_fall(F, rho, new, 0.1)))
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2.0, atol=0.2), errors
    assert errors[-1] < 1e-3 * info.dissipation


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "within"), [(16, 0.03), (32, 0.004)])
@pytest.mark.parametrize(("length", "mass"), [(2.0, 1.0), (3e-4, 50.0)])
def test_the_transport_cost_is_that_of_the_line_however_short_the_step(cells, within, length, mass):
    """A wave along one axis of a square, whose W₂ is its marginals'; the cost of some was negative."""
    line = jko.Grid.uniform(0.0, length, cells)
    plane = jko.Grid.uniform((0.0, 0.0), (length, length), (cells, cells))
    for tau, wave in ((10.0, 0.01), (100.0, 0.001), (100.0, 0.01), (10.0, 0.5)):
        values = np.repeat((1.0 + wave * np.cos(np.pi * line.axes[0] / length))[:, None], cells, 1)
        rho, tau = jko.Density(plane, values * mass / length**2), tau * (0.5 * length) ** 2
        new, info = one_step(fn.Entropy(), rho, tau, debias=True)
        ends = [jko.Density(line, m.values.sum(axis=1)).normalized() for m in (rho, new)]
        exact = mass * float(jko.wasserstein(*ends)) ** 2 / (2.0 * tau)
        assert info.status == "converged"
        assert info.transport_cost == pytest.approx(exact, rel=within)


def test_with_its_bias_the_objective_includes_the_entropy():
    F, rho, _ = gaussian(1, 300)
    epsilon, tau = 0.004, 0.1
    new, info = one_step(F, rho, tau, epsilon=epsilon, debias=False, tolerance=1e-8)
    followed = F + 0.5 * epsilon / tau * fn.Entropy()
    assert info.dissipation == pytest.approx(objective_fall(followed, rho, new, tau), rel=1e-3)


@pytest.mark.parametrize("debias", [True, False])
def test_the_objective_falls_from_the_equilibrium_too(debias):
    # where W₂ of the biased plan would make it negative: staying costs what the best plan to itself costs
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 60), 0.0, std=1.0)
    F = fn.Entropy() + fn.Potential(quadratic)
    new, info = one_step(F, rho, 0.05, debias=debias)
    assert -1e-9 < info.dissipation < 1e-2
    assert info.status == "converged"
    if debias:
        assert abs(info.dissipation) < 1e-4
        assert F(new) < F(rho) + 1e-5


@pytest.mark.parametrize("tau", [1e-12, 1e-5, 1e-3])
def test_a_step_that_the_bias_exceeds_is_not_converged(tau):
    # at τ = 1e-3, 60 cells, F falls by twice what the exact step takes
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 60), 0.5, std=0.5)
    F = fn.Entropy() + fn.Potential(quadratic)
    _, info = one_step(F, rho, tau)
    assert info.status == "not converged"
    assert "take a larger tau or a finer grid" in info.note
    assert info.dissipation > 0.0


@pytest.mark.parametrize("scheme", [Entropic, jko.steps.BackAndForth, jko.steps.MongeAmpere])
@pytest.mark.parametrize("tau", [1e-310, 1e-300, 1e300])
def test_a_tau_beyond_floats_is_refused(scheme, tau):
    F, rho, _ = gaussian(1, 60)
    with pytest.raises(ValueError, match="tau: expected between"):
        take_step(scheme(), F, rho, tau)


def test_potentials_that_overflow_are_a_record():
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 60), 0.5, std=0.5)
    new, info = one_step(fn.Power(2.0) + fn.Potential(quadratic), rho, 1e10)
    assert info.status == "not converged"
    assert "raise epsilon" in info.note
    np.testing.assert_array_equal(new.values, rho.values)


def test_other_engines_agree_where_there_is_a_cap():
    grid = jko.Grid.uniform(-2.0, 2.0, 400)
    rho = jko.Density.gaussian(grid, mean=-0.4, std=0.5)
    F = fn.Cap(0.9) + fn.Potential(lambda x: 2.0 * x[0] ** 2) + 0.1 * fn.Entropy()
    new, _ = one_step(F, rho, 0.05)
    reference = jko.flow(F, rho, jko.steps.Quantile(), tau=0.05, n_steps=1).final
    assert distance(new, reference) < 2e-4
    assert new.values.max() <= 0.9 * (1.0 + 1e-12)


@pytest.mark.parametrize("cap", [1.05, None])
def test_without_an_internal_energy(cap):
    grid = jko.Grid.uniform(-4.0, 4.0, 200)
    rho = jko.Density.gaussian(grid, 1.0, std=0.5)
    F = fn.Potential(quadratic) if cap is None else fn.Potential(quadratic) + fn.Cap(cap)
    # the map x/(1 + τ), whose density stays below the cap
    new, info = one_step(F, rho, 0.1, tolerance=1e-7)
    assert distance(new, jko.Density.gaussian(grid, 1.0 / 1.1, std=0.5 / 1.1)) < 1e-4
    assert info.relative_gap < 1e-3


def test_auto_takes_it_where_nothing_holds_many_cells_together():
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (72, 72))
    rho = jko.Density.gaussian(grid, (1.0, 0.0), std=0.5)
    chosen = jko.steps.auto(fn.Potential(quadratic), rho)
    assert isinstance(chosen.scheme, Entropic)
    run = jko.flow(fn.Potential(quadratic), rho, chosen, tau=0.1, n_steps=1)
    assert distance(run.final, jko.Density.gaussian(grid, (1.0 / 1.1, 0.0), std=0.5 / 1.1)) < 1e-2
    assert run.info.detail("chosen")[0] == "steps.Entropic"


def test_self_attraction_by_passes():
    grid = jko.Grid.uniform((-3.0, -3.0), (4.0, 3.0), (70, 60))
    rho = jko.Density.gaussian(grid, mean=(1.0, 0.0), std=0.6)
    F = fn.Entropy() + fn.Interaction(lambda z: 0.5 * jnp.sum(z**2))
    new, info = one_step(F, rho, 0.1)
    assert distance(new, attracted(rho)) < 3e-3
    assert info.details["passes"] > 0


def test_the_gap_of_the_exact_step_is_bounded():
    # strong convexity of the entropy: half the squared L1 distance is no more than the gap
    F, rho, exact = gaussian(1, 200)
    new, info = one_step(F, rho, 0.1)
    bound = info.details["exact_gap"]
    internal = fn.Entropy() + fn.Potential(quadratic)
    excess = [internal(m) + 0.5 * float(jko.wasserstein(rho, m)) ** 2 / 0.1 for m in (new, exact)]
    assert excess[0] - excess[1] < bound
    assert 0.5 * distance(new, exact) ** 2 < bound
    assert bound < 0.5 * 0.5 * float(jko.wasserstein(rho, new)) ** 2 / 0.1


def test_mass_is_a_scale_and_the_density_all_there_is():
    F, rho, _ = gaussian(1, 100)
    unit, _ = one_step(F, rho, 0.1)
    heavy, _ = one_step(F, rho.with_values(2.5 * rho.values), 0.1)
    np.testing.assert_allclose(heavy.values, 2.5 * unit.values, rtol=1e-6, atol=1e-12)
    scheme = Entropic()
    problem = scheme.prepare(F, rho)
    state = problem.start
    _, state, _ = scheme.step(problem, rho, 0.0, 0.1, state)
    again, state, _ = scheme.step(problem, rho, 0.0, 0.1, state)
    np.testing.assert_array_equal(again.values, unit.values)
    assert state == {}


def test_what_does_not_converge_says_so():
    F, rho, _ = gaussian(1, 100)
    with pytest.raises(StepFailed, match="rounds: raise"):
        jko.flow(F, rho, Entropic(max_iterations=1, tolerance=1e-12), tau=0.1, n_steps=1)


def test_refusals():
    F, rho, _ = gaussian(1, 100)
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        Entropic(epsilon=0.0)
    with pytest.raises(ValueError, match=r"epsilon: expected at least \(0.7 h\)²"):
        Entropic(epsilon=1e-4).prepare(F, rho)
    with pytest.raises(ValueError, match="cap: the box holds a mass"):
        Entropic().prepare(F + fn.Cap(0.05), rho)
    with pytest.raises(ValueError, match="tau: expected a positive number"):
        first_step(Entropic(), F, rho, -0.1)
    with pytest.raises(TypeError, match=r"steps\.Entropic"):
        Entropic().prepare(F, rho.sample(10, seed=0))


@pytest.mark.parametrize("tau", [2.0, 5.0])
def test_a_cap_at_large_tau_keeps_the_mass(tau):
    grid = jko.Grid.uniform(-3.0, 3.0, 90)
    rho = jko.Density.gaussian(grid, 1.2, std=0.5)
    F = fn.Cap(1.0) + fn.Potential(quadratic)
    new, info = one_step(F, rho, tau)
    exact, _ = take_step(jko.steps.Quantile(), F, rho, tau)
    assert info.status == "converged"
    assert info.mass_error < 1e-12
    assert distance(new, exact) < 5e-3


def test_a_cap_that_leaves_little_room_on_a_ring():
    grid = jko.Grid.uniform(0.0, 1.0, 64, periodic=True)
    F = fn.Cap(1.3) + fn.Potential(lambda x: jnp.cos(2.0 * jnp.pi * x[0]))
    new, info = one_step(F, jko.Density.uniform(grid), 0.1)
    assert info.status == "converged"
    assert new.mass == pytest.approx(1.0, abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tau", [1e-20, 1e-18, 1e-12])
def test_a_step_below_rounding_is_told_so_without_warnings(tau):
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 60), 1.0, 0.5)
    F = fn.Entropy() + fn.Potential("quadratic")
    run = jko.flow(F, rho, Entropic(), tau=tau, n_steps=1, throw=False)
    info = run.info.row(0)
    assert not info.converged
    assert "take a larger tau" in info.note
    assert "nan" not in info.note
    assert "smaller tau" not in info.note
