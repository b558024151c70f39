"""The Fisher–Rao step: optimality, closed forms, order, mass and refusals."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import lambertw

import functionals as fn
import jko
from jko import steps
from jko.errors import StepFailed
from jko.steps.fisher_rao import CellProblem, squared_distance
from tests import problems

LOGISTIC = 0.5 * fn.Power(2.0) + fn.Potential(lambda x: -1.0 + 0.0 * x[0])
TARGET = jko.Gaussian.of(0.0, 1.0, dimension=1)


def one_step(F, rho, tau, **how):
    return jko.flow(F, rho, steps.FisherRao(**how), tau=tau, n_steps=1)


def test_a_potential_has_a_closed_form():
    rho = problems.density(2)
    run = one_step(fn.Potential("quadratic", stiffness=2.0), rho, 0.3, length=0.7)
    V = np.sum(rho.grid.centers**2, axis=-1)
    exact = rho.values / (1 + 0.5 * 0.3 / 0.49 * V) ** 2
    assert np.allclose(run.final.values, exact, rtol=1e-14)
    cost = 0.49 * squared_distance(rho, run.final) / 0.6
    assert run.info.transport_cost[0] == pytest.approx(cost)
    assert run.info.gap[0] <= 1e-14 * cost


@pytest.mark.parametrize("theta", [1.0, 0.3])
def test_an_entropy_by_the_lambert_function(theta):
    rho, tau = problems.density(1), 0.4
    V = rho.grid.axes[0] ** 2
    new = one_step(theta * fn.Entropy() + fn.Potential("quadratic", stiffness=2.0), rho, tau).final.values
    # y = √(ρ/ρ′) solves θ(log ρ + 1) + V − 2θ log y = 2(y − 1)/τ
    inner = np.exp(0.5 * (np.log(rho.values) + 1 + V / theta) + 1 / (theta * tau)) / (theta * tau)
    y = theta * tau * np.real(lambertw(inner))
    assert np.allclose(new, rho.values / y**2, rtol=1e-12)


@pytest.mark.parametrize("units", [1.0, 1e-3])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("dimension", [1, 2])
def test_steps_of_any_length_converge(dimension, order, units):
    """The shortest ones stay, to rounding, the longest are at rest, where ξ = 0: ρ = e^{−1−V}, held to a
    mass m·e^{−V}/Σe^{−V}; of second order they may reflect about it."""
    grid = jko.Grid.uniform((-3.0 * units,) * dimension, (3.0 * units,) * dimension, 12)
    rho = jko.Density.gaussian(grid, (0.5 * units,) * dimension, units)
    rho = rho.with_values(rho.values * units**dimension)
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=units**-2)
    rest = np.exp(-1.0 - 0.5 * np.sum((grid.centers / units) ** 2, axis=-1).reshape(grid.cells))
    for conserving in (False, True):
        end = rest * (rho.values.sum() / rest.sum()) if conserving else rest
        for tau in (1e-300, 1e-100, 1e-30, 1e-18):
            short = one_step(F, rho, tau, order=order, conserving=conserving)
            np.testing.assert_allclose(short.final.values, rho.values, rtol=3e-16)
        for tau in (1e13, 1e20, 1e100, 1e300):
            long = one_step(F, rho, tau, order=order, conserving=conserving)
            if order == 1:
                np.testing.assert_allclose(long.final.values, end, rtol=1e-11)
            assert long.energy[1] < long.energy[0]
            assert long.info.gap[0] <= 1e-14 * long.final.mass


@pytest.mark.parametrize("s", [1e-6, 0.3, 1e3, 1e9])
@pytest.mark.parametrize("internal", [fn.Entropy(), fn.Power(3.0), fn.Power(0.5)])
def test_the_gap_is_a_bound_on_what_a_density_misses(internal, s):
    rho, rng = problems.density(1), np.random.default_rng(0)
    F = internal + fn.Potential("quadratic")
    cells, field = CellProblem(F, rho), np.zeros(rho.values.shape)
    best = one_step(F, rho, s).final

    def objective(values):
        new = rho.with_values(values)
        return squared_distance(rho, new) / (2.0 * s) + F(new)

    for size in (1e-3, 1e-2, 0.1):
        values = best.values * np.exp(size * rng.standard_normal(best.values.shape))
        missed = objective(values) - objective(best.values)
        assert 0.0 < missed <= cells.gap(rho.values, values, field, s)
    assert cells.gap(rho.values, values, field, s) < 1e3 * missed  # and not an idle one


@pytest.mark.parametrize("units", [1.0, 1e-3])
@pytest.mark.parametrize("F", [LOGISTIC, fn.KL(TARGET), LOGISTIC + fn.Interaction("gaussian", width=0.5)])
def test_the_step_is_a_minimum(F, units):
    """No small change in a cell lowers δ²FR²/2τ + F, from far and near, with τ as large as the flow's
    time."""
    rho = problems.density(1)
    run = one_step(F, rho, 0.5 * units**2, length=units)
    new = run.final

    def objective(values):
        return units**2 * squared_distance(rho, new.with_values(values)) / units**2 + F(
            new.with_values(values)
        )

    best, generator = objective(new.values), np.random.default_rng(0)
    for size in (1e-2, 1e-3):
        for _ in range(5):
            changed = new.values * (1 + size * generator.normal(size=new.values.shape))
            assert objective(changed) > best
    assert abs(run.info.gap[0]) <= 1e-9 * run.info.transport_cost[0]


@pytest.mark.parametrize("conserving", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_the_order_on_gaussians(order, conserving):
    """s′ = (1 − s)s/δ², m′ = −sm/δ² on probabilities; for free mass the same shape and (log M)′ from the
    mean."""
    grid, delta, T = jko.Grid.uniform(-7.0, 7.0, 280), 0.7, 0.3

    def right(t, y):
        mean, s = y
        return [-s * mean / delta**2, (1 - s) * s / delta**2]

    exact = solve_ivp(right, (0, T), [1.0, 0.36], rtol=1e-11, atol=1e-12).y[:, -1]
    errors = []
    for n in (8, 16, 32):
        scheme = steps.FisherRao(length=delta, conserving=conserving, order=order)
        run = jko.flow(fn.KL(TARGET), jko.Density.gaussian(grid, 1.0, 0.6), scheme, tau=T / n, n_steps=n)
        found = np.array([run.final.mean()[0], run.final.covariance()[0, 0]])
        errors.append(np.abs(found - exact).max())
        assert run.info.mass_error.max() < 1e-13
        assert run.info.dissipation.min() > -1e-12
        if conserving:
            assert abs(run.final.mass - 1.0) < 1e-12
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(rates - order) < 0.2), rates
    if order == 2:
        assert errors[-1] < 1e-4


@pytest.mark.parametrize("order", [1, 2])
def test_logistic_growth(order):
    rho, T = problems.density_with_vacuum(), 1.0
    e = np.exp(T)
    exact = rho.values * e / (1 + rho.values * (e - 1))
    errors = []
    for n in (8, 16, 32):
        run = jko.flow(LOGISTIC, rho, steps.FisherRao(order=order), tau=T / n, n_steps=n)
        errors.append(np.abs(run.final.values - exact).max())
        made, left = (np.sum(run.info.detail(name)) for name in ("made", "left"))
        assert run.final.mass == pytest.approx(rho.mass + made - left, abs=1e-13)
        assert made > 0.1
        assert np.all(run.final.values[rho.values == 0.0] == 0.0)
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - order) < 0.2)


def test_mass_enters_an_empty_cell_where_the_step_is_long():
    """τ > −2/ξ(0): the minimum of 2ρ/τ + ρ²/2 − ρ over ρ ≥ 0 is 1 − 2/τ."""
    rho = problems.density_with_vacuum()
    empty = rho.values == 0.0
    assert np.allclose(one_step(LOGISTIC, rho, 4.0).final.values[empty], 0.5, rtol=1e-12)


def test_a_cap_holds_and_its_pressure_is_in_the_gap():
    rho = problems.density(1)
    cap = 0.9 * rho.values.max()
    run = one_step(fn.Potential(lambda x: -1.0 + 0.0 * x[0]) + fn.Cap(cap), rho, 0.5)
    assert np.array_equal(run.final.values, np.minimum(rho.values / 0.75**2, cap))
    assert run.info.gap[0] < 1e-14


def test_two_halves_where_the_reflection_is_no_density():
    rho = problems.density(1)
    run = one_step(fn.Potential("quadratic", stiffness=8.0), rho, 1.0, order=2)
    assert run.info.detail("halves") == [1]
    V = 4.0 * rho.grid.axes[0] ** 2
    assert np.allclose(run.final.values, rho.values / (1 + 0.25 * V) ** 4)


def test_a_time_of_its_own():
    rho, tau = problems.density(1), 0.1
    F = fn.Potential(lambda x, t: t + 0.0 * x[0])
    run = jko.flow(F, rho, steps.FisherRao(), tau=tau, n_steps=2)
    assert np.allclose(run.final.values, rho.values / (1 + 0.05 * 0.1) ** 2 / (1 + 0.05 * 0.2) ** 2)


def test_growth_without_a_bound_is_refused():
    with pytest.raises(ValueError, match=r"tau/length² must stay below 2, got 2\.5: take a smaller tau"):
        one_step(fn.Potential(lambda x: -1.0 + 0.0 * x[0]), problems.density(1), 2.5)


def test_an_interaction_that_does_not_settle_says_so():
    F = fn.Interaction("gaussian", strength=-50.0, width=1.0)
    with pytest.raises((StepFailed, ValueError), match="take a smaller tau"):
        one_step(F, problems.density(1), 1.0, max_iterations=20)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"length": 0.0}, "length: expected a positive number"),
        ({"order": 3}, "order: expected 1 or 2, got 3"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        steps.FisherRao(**settings)
