"""Reflected half-steps and two-step formulae on the line and between Gaussians: order, energy, state."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Gaussian, Grid, exact, flow, steps, wasserstein
from jko.steps.quantile.lagrangian import displaced
from tests.first_step import first_step

CONFINED = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
A = np.array([[2.0, 0.5], [0.5, 1.0]])
S = np.array([[0.5, -0.3], [-0.3, 1.2]])
WRAPPERS = [steps.SecondOrder, steps.VariationalBDF2]
LINES = {
    "ornstein-uhlenbeck": (CONFINED, exact.OrnsteinUhlenbeck(), 8.0, 0.8),
    "heat": (fn.Entropy(), exact.GaussianMixture([-1.0, 1.0], [0.8, 0.6], stiffness=0.0), 9.0, 0.4),
    "barenblatt": (fn.Power(2.0), exact.Barenblatt(2.0, start_time=0.1), 2.5, 0.4),
}


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def runs_on_the_line(wrapper, name, counts, cells):
    F, solution, reach, time = LINES[name]
    grid = Grid.uniform(-reach, reach, cells)
    for n in counts:
        yield n, flow(F, solution.on(grid), wrapper(steps.Quantile()), tau=time / n, n_steps=n), solution


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", LINES)
def test_order_two_in_tau_on_the_line(wrapper, name):
    time, errors = LINES[name][3], []
    counts = (4, 8, 16) if wrapper is steps.SecondOrder else (16, 32, 64)
    for _, run, solution in runs_on_the_line(wrapper, name, counts, 3000):
        errors.append(wasserstein(run.final, solution.on(run.final.grid, time)))
        assert run.info.dissipation.min() > 0.0
        assert np.all(np.diff(run.energy) < 0.0)
        assert run.info.mass_error.max() < 1e-13
        assert not any(run.info.note)
    assert orders(errors)[-1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_order_two_in_tau_between_gaussians_that_do_not_commute(wrapper):
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=A)
    limit, errors = exact.OrnsteinUhlenbeck([1.0, 0.0], stiffness=A, covariance=S).at(0.8), []
    for n in (8, 16, 32, 64):
        run = flow(F, Gaussian([1.0, 0.0], S), wrapper(steps.Gaussian()), tau=0.8 / n, n_steps=n)
        errors.append(wasserstein(run.final, limit))
        assert run.info.dissipation.min() > 0.0
    assert orders(errors)[1:] == pytest.approx(2.0, abs=0.02)


def test_a_reflection_is_exact_for_the_heat_of_a_gaussian():
    # of σσ′ = 1 the midpoint rule keeps σ² + 2t
    run = flow(fn.Entropy(), Gaussian.of(0.0, 0.5), steps.SecondOrder(steps.Gaussian()), tau=0.5, n_steps=4)
    assert run.final.covariance()[0, 0] == pytest.approx(0.25 + 4.0, rel=1e-13)
    # and F falls by W₂²/τ, twice the promise of a JKO step, up to O(τ³)
    F = fn.Potential("quadratic")
    scheme, mu = steps.SecondOrder(steps.Gaussian()), Gaussian.of(1.0, 0.5)
    new, _, info = first_step(scheme, F, mu, 0.1)
    assert info.dissipation == pytest.approx(wasserstein(mu, new) ** 2 / 0.2, rel=1e-12)


def test_far_data_fall_back_to_half_steps_and_say_so():
    solution = exact.GaussianMixture([-2.0, 1.5], [0.3, 0.4])
    grid, errors = Grid.uniform(-7.0, 7.0, 800), []
    for n in (4, 8, 16, 32):
        run = flow(CONFINED, solution.on(grid), steps.SecondOrder(steps.Quantile()), tau=0.8 / n, n_steps=n)
        errors.append(wasserstein(run.final, solution.on(grid, 0.8)))
        assert run.info.dissipation.min() > 0.0
        assert np.all(np.diff(run.energy) < 0.0)
        if n == 4:
            assert run.info.detail("plain_steps")[0] == 2
            assert run.info.detail("plain_steps")[2] is None
    assert orders(errors).mean() == pytest.approx(2.0, abs=0.3)
    assert not any(run.info.note)


def test_asked_for_third_steps_are_the_plain_scheme():
    grid = Grid.uniform(-8.0, 8.0, 200)
    mu = Density.gaussian(grid, mean=1.5, std=0.5)
    run = flow(CONFINED, mu, steps.SecondOrder(steps.Quantile(), plain_steps=2), tau=0.15, n_steps=3)
    plain = flow(CONFINED, mu, steps.Quantile(), tau=0.15 / 3, n_steps=6)
    assert np.array_equal(run.measures[2].values, plain.final.values)
    assert [bool(note) for note in run.info.note] == [True, True, False]
    assert run.info.dissipation[0] == pytest.approx(plain.info.dissipation[:3].sum())


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_cap_and_rough_data(wrapper):
    grid = Grid.uniform(-2.0, 2.0, 400)
    mu = Density.uniform(grid, -1.0, 0.2)
    rough = flow(CONFINED, mu, wrapper(steps.Quantile()), tau=0.02, n_steps=10)
    assert np.all(np.diff(rough.energy) < 0.0)
    assert rough.info.dissipation.min() > 0.0
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=5.0) + fn.Cap(0.9)
    crowd = flow(F, mu, wrapper(steps.Quantile()), tau=0.02, n_steps=10)
    assert max(m.values.max() for m in crowd.measures) <= 0.9 * (1.0 + 1e-9)
    assert crowd.info.dissipation.min() > -1e-12


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(wrapper, tmp_path):
    mu = Density.gaussian(Grid.uniform(-8.0, 8.0, 150), mean=1.5, std=0.5)
    scheme = wrapper(steps.Quantile())
    whole = flow(CONFINED, mu, scheme, tau=0.1, n_steps=6)
    flow(CONFINED, mu, scheme, tau=0.1, n_steps=3, checkpoint=tmp_path / "run")
    resumed = flow(CONFINED, mu, scheme, tau=0.1, n_steps=6, checkpoint=tmp_path / "run")
    assert np.array_equal(whole.final.values, resumed.final.values)
    assert np.array_equal(whole.info.gap, resumed.info.gap)


def test_a_displacement_keeps_cells_open_and_order():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    masses, walls = np.array([0.49, 0.02, 0.49]), (-9.0, 9.0)
    later = np.array([0.4, 1.4, 1.6, 2.6])
    before = edges, np.diff(edges)
    moved, widths, bent = displaced(before, (later, np.diff(later)), masses, 1.0, walls)
    assert widths.min() > 0.0
    assert np.diff(moved) == pytest.approx(widths)
    assert 0.0 < bent < 0.5
    assert moved @ np.array([1, 1, 1, 1]) == pytest.approx((2 * later - edges).sum(), abs=0.1)
    straight, widths, bent = displaced(before, (edges + 0.1, np.diff(edges)), masses, 1.0, walls)
    assert straight == pytest.approx(edges + 0.2)
    assert bent == 0.0


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_refusals(wrapper):
    with pytest.raises(TypeError, match=r"scheme: steps\.\w+ wraps .*steps.Quantile.*, got Cvxpy"):
        wrapper(steps.Cvxpy())
    with pytest.raises(TypeError, match="got the class Quantile"):
        wrapper(steps.Quantile)
    mu = Density.uniform(Grid.uniform(-3.0, 3.0, 50))
    with pytest.raises(ValueError, match="Quantile takes an interaction of differences"):
        wrapper(steps.Quantile()).prepare(fn.Interaction(lambda x, y: jnp.sum(x * y), general=True), mu)
    scheme, mu = wrapper(steps.Gaussian()), Gaussian.of(0.0, 1.0)
    with pytest.raises(ValueError, match="tau: expected a positive number, got -1"):
        first_step(scheme, CONFINED, mu, -1.0)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("cells", [30, 60])
def test_the_energy_of_the_stored_densities_does_not_rise_by_the_grid_at_a_large_step(wrapper, cells):
    mu = Density.mixture(Grid.uniform(-3.0, 3.0, cells), [-1.5, 1.0], [0.4, 0.6])
    F = fn.Power(3.0) + fn.Potential("quadratic")
    run = flow(F, mu, wrapper(steps.Quantile()), tau=0.8, n_steps=8)
    assert np.diff(run.energy).max() <= 0.0
    assert any("F would rise by" in note for note in run.info.note)
