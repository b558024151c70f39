"""Functionals that depend on time, in every scheme, against the moving trap."""

from collections import deque

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals.expression import PointExpression
from jko import Density, Gaussian, Grid, descent, exact, flow, limits, steps
from jko.experiment import ExperimentError, parse

LINE = exact.MovingTrap(lambda t: jnp.sin(3.0 * t), mean=0.4, std=0.7, stiffness=1.5, temperature=0.5)
PLANE = exact.MovingTrap(
    lambda t: jnp.array([jnp.sin(3.0 * t), 1.0 - jnp.cos(2.0 * t)]),
    mean=[0.4, -0.2],
    std=0.7,
    stiffness=1.5,
    temperature=0.5,
)
END = 0.8


def functional(trap):
    return 0.5 * fn.Entropy() + fn.Potential(trap.potential)


def proximal_mean(trap, tau, n_steps):
    """m′ = (m + λτ c(t + τ))/(1 + λτ)."""
    m = trap.at(0.0).mean()
    for k in range(n_steps):
        m = (m + trap.rate * tau * trap.centre_at((k + 1) * tau)) / (1.0 + trap.rate * tau)
    return m


def explicit_mean(m, tau, n_steps, trap=LINE):
    """m′ = m − λτ(m − c(t))."""
    for k in range(n_steps):
        m = m - trap.rate * tau * (m - trap.centre_at(k * tau))
    return m


@pytest.mark.parametrize("trap", [LINE, PLANE])
def test_the_exact_solution_obeys_its_equation(trap):
    x, t, step = np.full((1, trap.dimension), 0.3), 0.5, 1e-4
    slope = (trap.density(t + step, x) - trap.density(t - step, x)) / (2.0 * step)
    gaussian, drift = trap.at(t), trap.rate * (x[0] - trap.centre_at(t))
    z = np.linalg.solve(gaussian.covariance(), gaussian.mean() - x[0])  # ∇log ρ
    trace = np.trace(np.linalg.inv(gaussian.covariance()))
    of_density = 0.5 * (z @ z - trace) + drift @ z + trap.rate * trap.dimension
    assert slope[0] == pytest.approx(of_density * trap.density(t, x)[0], rel=1e-6)


@pytest.mark.parametrize("trap", [LINE, PLANE])
@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        (steps.Gaussian(), 1),
        (steps.SecondOrder(steps.Gaussian()), 2),
        (steps.VariationalBDF2(steps.Gaussian()), 2),
    ],
)
def test_gaussian_steps_have_their_order(trap, scheme, order):
    errors = []
    for n in (20, 40):
        run = flow(functional(trap), trap.at(0.0), scheme, tau=END / n, n_steps=n)
        errors.append(np.linalg.norm(run.final.mean() - trap.at(END).mean()))
        if order == 1:
            assert run.final.mean() == pytest.approx(proximal_mean(trap, END / n, n), abs=1e-12)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(
    ("scheme", "tolerance"),
    [
        (steps.Quantile(), 1e-5),
        (steps.Cvxpy(), 1e-4),
        (steps.Cvxpy(formulation="eulerian"), 1e-3),
        (steps.MongeAmpere(), 1e-4),
        (steps.BackAndForth(), 5e-4),
        (steps.PrimalDual(), 1e-3),
        (steps.Linearized(), 4e-3),  # the linearised distance: of τ's own order
        (steps.Entropic(), 1e-5),
        (steps.Adaptive(steps.Quantile(), tolerance=10.0), None),
    ],
)
def test_every_step_on_a_grid_takes_the_functional_at_its_end(scheme, tolerance):
    rho, n = LINE.on(Grid.uniform(-4.0, 4.0, 160)), 4
    run = flow(functional(LINE), rho, scheme, tau=0.1, n_steps=n)
    halves = 2 if isinstance(scheme, steps.Adaptive) else 1
    expected = proximal_mean(LINE, 0.1 / halves, n * halves)
    assert run.final.mean() == pytest.approx(expected, abs=tolerance or 1e-5)
    for k, value in zip(range(n + 1), run.energy, strict=True):
        assert value == pytest.approx(functional(LINE).at(0.1 * k)(run.measures[k]), rel=1e-9)


def order_by_refinement(F, start, scheme, sizes=(8, 16, 32)):
    """log₂ of the ratio of differences between the means at the end: the grid's part drops out."""
    a, b, c = (flow(F, start, scheme, tau=END / n, n_steps=n, store_every=n).final.mean() for n in sizes)
    return np.log2(np.linalg.norm(a - b) / np.linalg.norm(b - c))


@pytest.mark.parametrize(("trap", "cells"), [(LINE, 200), (PLANE, 48)])
def test_finite_volumes_are_of_second_order(trap, cells):
    d = trap.dimension
    rho = trap.on(Grid.uniform([-3.0] * d, [3.5] * d, [cells] * d))
    assert order_by_refinement(functional(trap), rho, limits.FiniteVolume()) == pytest.approx(2.0, abs=0.2)


SLOW = exact.MovingTrap(jnp.sin, mean=0.4, std=0.7, stiffness=1.5, temperature=0.5)


@pytest.mark.parametrize("scheme", [steps.Quantile(), steps.MongeAmpere()])
def test_reflected_steps_are_of_second_order(scheme):
    rho = SLOW.on(Grid.uniform(-1.6, 2.4, 400))
    scheme = steps.SecondOrder(scheme, plain_steps=0)
    order = order_by_refinement(functional(SLOW), rho, scheme, (4, 8, 16))
    assert order == pytest.approx(2.0, abs=0.35)


def cloud(n=64):
    return LINE.at(0.0).sample(n, seed=1)


COLD = 1e-14 * fn.Entropy() + fn.Potential(LINE.potential)  # means as without noise, up to 1e-6


@pytest.mark.parametrize("scheme", [descent.ForwardEuler(), descent.NoiseInjection(level=1e-9)])
def test_explicit_steps_take_the_functional_at_their_beginning(scheme):
    run = flow(fn.Potential(LINE.potential), cloud(), scheme, tau=0.1, n_steps=6)
    assert run.final.mean() == pytest.approx(explicit_mean(cloud().mean(), 0.1, 6), abs=1e-7)


@pytest.mark.parametrize("scheme", [descent.Langevin(), descent.LeimkuhlerMatthews()])
def test_steps_with_noise_take_it_at_their_beginning_in_blocks_as_well(scheme):
    run = flow(COLD, cloud(), scheme, tau=0.1, n_steps=6, store_every=3)
    assert run.final.mean() == pytest.approx(explicit_mean(cloud().mean(), 0.1, 6), abs=1e-6)
    singly = flow(COLD, cloud(), scheme, tau=0.1, n_steps=6)
    assert np.array_equal(singly.final.positions, run.final.positions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "F"),
    [
        (descent.Trapezoidal(), fn.Potential(LINE.potential)),
        (descent.StochasticHeun(), COLD),
        (descent.Blob(bandwidth=0.3), COLD),
        (descent.UnderdampedLangevin(start="rest"), COLD),
    ],
)
def test_particles_of_second_order(scheme, F):
    means = []
    for n in (8, 16, 32):
        means.append(flow(F, cloud(), scheme, tau=END / n, n_steps=n, store_every=n).final.mean()[0])
    ratio = (means[0] - means[1]) / (means[1] - means[2])
    assert np.log2(abs(ratio)) == pytest.approx(2.0, abs=0.35)
    if not isinstance(scheme, descent.UnderdampedLangevin):
        pulled = LINE.at(END).mean()[0] + np.exp(-LINE.rate * END) * (cloud().mean()[0] - 0.4)
        assert means[2] == pytest.approx(pulled, abs=2e-3)


@pytest.mark.slow
def test_implicit_and_adaptive_particles():
    F, start = fn.Potential(LINE.potential), cloud()
    implicit = flow(F, start, descent.BackwardEuler(), tau=0.1, n_steps=4).final.mean()
    shift = (start.mean() - LINE.at(0.0).mean()) / (1.0 + 0.1 * LINE.rate) ** 4
    assert implicit == pytest.approx(proximal_mean(LINE, 0.1, 4) + shift, abs=1e-8)
    run = flow(F, start, descent.AdaptiveRungeKutta(rtolerance=1e-8), tau=0.2, n_steps=4)
    pulled = LINE.at(END).mean() + np.exp(-LINE.rate * END) * (start.mean() - LINE.at(0.0).mean())
    assert run.final.mean() == pytest.approx(pulled, abs=1e-6)


@pytest.mark.slow
def test_stein_particles_follow_the_trap():
    run = flow(functional(LINE), cloud(), descent.SVGD(), tau=0.05, n_steps=16)
    still = flow(functional(LINE).at(0.0), cloud(), descent.SVGD(), tau=0.05, n_steps=16)
    assert run.final.mean()[0] > still.final.mean()[0] + 0.1


@pytest.mark.parametrize(
    "scheme", [descent.ForwardEuler(), descent.BackwardEuler(), descent.Trapezoidal(), descent.Langevin()]
)
def test_a_potential_is_traced_as_often_in_many_steps_as_in_two(scheme):
    traced = deque()

    def V(x, t):
        traced.append(t)
        return jnp.sum((x - t) ** 2)

    counts = []
    for n in (2, 12):
        traced.clear()
        F = fn.Potential(lambda x, t: V(x, t))
        flow(F, cloud(30), scheme, tau=0.01, n_steps=n)
        counts.append(len(traced))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("scheme", [descent.Langevin(seed=3), descent.BackwardEuler()])
def test_a_killed_run_goes_on_at_its_time(tmp_path, scheme):
    F = COLD if isinstance(scheme, descent.Langevin) else fn.Potential(LINE.potential)
    whole = flow(F, cloud(), scheme, tau=0.1, n_steps=6)
    flow(F, cloud(), scheme, tau=0.1, n_steps=3, checkpoint=tmp_path / "run")
    resumed = flow(F, cloud(), scheme, tau=0.1, n_steps=6, checkpoint=tmp_path / "run")
    assert np.array_equal(whole.final.positions, resumed.final.positions)
    assert np.array_equal(whole.energy, resumed.energy)


class Tilted(fn.Functional):
    """t∫x₁ dρ, a functional of one's own."""

    def __init__(self, t=None):
        self.t = t

    def at(self, t):
        return Tilted(t) if self.t is None else self

    def energy(self, mu):
        return self.t * mu.integrate(lambda x: x[0])


@pytest.mark.parametrize(
    "F",
    [
        fn.Potential(lambda x, t: t * x[0]),
        2.0 * fn.Potential(lambda x, t: 0.5 * t * x[0]),
        Tilted(),
        fn.Potential(PointExpression("t * x", 1, time=True)),
    ],
)
def test_sums_expressions_and_functionals_of_ones_own_at_a_time(F):
    mu, grid = cloud(), LINE.on(Grid.uniform(-4.0, 4.0, 80))
    assert F.depends_on_time
    assert F.at(0.5)(mu) == pytest.approx(0.5 * mu.mean()[0])
    assert F.at(0.5).wasserstein_gradient(mu) == pytest.approx(np.full((64, 1), 0.5))
    assert not F.at(0.5).depends_on_time
    assert F.at(0.5).at(2.0)(grid) == pytest.approx(0.5 * grid.mean()[0])
    with pytest.raises(TypeError, match=r"depends on time: give it, F\.at\(t\)\(mu\)"):
        F(mu)
    # x′ = x − Σ τ t_k
    run = flow(F, mu, descent.ForwardEuler(), tau=0.1, n_steps=4)
    assert run.final.mean() == pytest.approx(mu.mean() - 0.1 * (0.1 + 0.2 + 0.3), abs=1e-7)


@pytest.mark.slow
def test_interactions_and_rewards_at_a_time():
    mu = cloud()
    moving = fn.Interaction(lambda z, t: 0.5 * (1.0 + t) * jnp.sum(z**2))
    still = fn.Interaction(lambda z: jnp.sum(z**2))
    assert moving.at(1.0)(mu) == pytest.approx(still(mu), rel=1e-6)
    general = fn.Interaction(lambda x, y, t: t * jnp.sum(x * y), general=True)
    assert general.at(2.0)(mu) == pytest.approx(float(mu.mean()[0]) ** 2, rel=1e-6)
    reward = fn.Reward(lambda x, t: -jnp.sum((x - t) ** 2), Gaussian.of(0.0, 1.0))
    fixed = fn.Reward(lambda x: -jnp.sum((x - 0.7) ** 2), Gaussian.of(0.0, 1.0))
    rho = Gaussian.of(0.2, 0.8)
    assert reward.at(0.7)(rho) == pytest.approx(fixed(rho), rel=1e-9)
    target = fn.KL(lambda x, t: -0.5 * jnp.sum((x - t) ** 2))
    assert target.at(0.3)(rho) == pytest.approx(
        fn.KL(lambda x: -0.5 * jnp.sum((x - 0.3) ** 2))(rho), rel=1e-9
    )
    # ẋ = −(1 + t)(x − m): log σ falls by ∫(1 + t)
    run = flow(moving, mu, descent.AdaptiveRungeKutta(rtolerance=1e-8), tau=0.1, n_steps=5)
    assert run.final.covariance()[0, 0] == pytest.approx(
        mu.covariance()[0, 0] * np.exp(-2.0 * (0.5 + 0.125)), rel=1e-5
    )


def test_what_time_takes_from_a_run_is_said():
    F, rho = functional(LINE), LINE.on(Grid.uniform(-4.0, 4.0, 80))
    run = flow(F, rho, steps.Quantile(), tau=0.1, n_steps=2)
    assert np.isnan(run.flow_error_bound[1:]).all()
    with pytest.raises(ValueError, match="accuracy: no bound is known for a functional that depends on time"):
        flow(F, rho, steps.Quantile(), time=1.0, accuracy=1e-2)
    with pytest.raises(ValueError, match="centre: expected values of 1 coordinates"):
        exact.MovingTrap(lambda t: jnp.array([t, t]))
    runs = {
        name: flow(F, rho, scheme, tau=0.1, n_steps=4)
        for name, scheme in (("quantile", steps.Quantile()), ("finite volumes", limits.FiniteVolume()))
    }
    comparison = jko.compare(runs, exact=LINE)
    assert "quantile" in str(comparison)
    assert isinstance(rho, Density)


MOVING = """
[grid]
lower = -4.0
upper = 4.0
cells = 80

[initial]
kind = "gaussian"
mean = 0.4
std = 0.7

[[functional]]
name = "entropy"
weight = 0.5

[[functional]]
name = "potential"
potential = "0.75 * (x - sin(3*t))^2"

[runs.JKO]
scheme = "Quantile"
tau = 0.1
n_steps = 4
"""


def test_an_experiment_file_may_name_the_time(tmp_path):
    experiment = parse(MOVING, tmp_path)
    run = experiment.runs["JKO"].flow(experiment.functional)
    assert run.final.mean() == pytest.approx(proximal_mean(LINE, 0.1, 4), abs=1e-4)
    with pytest.raises(ExperimentError, match="unknown name at 't'"):
        parse(
            MOVING.replace(
                'kind = "gaussian"\nmean = 0.4\nstd = 0.7', 'kind = "expression"\ndensity = "exp(-t*x^2)"'
            ),
            tmp_path,
        )


ODD_LATER = fn.Interaction(lambda z, t: 0.5 * jnp.sum(z**2) + 3.0 * t * jnp.sum(z))


@pytest.mark.parametrize(
    ("scheme", "mu"),
    [
        (steps.Quantile(), LINE.on(Grid.uniform(-4.0, 4.0, 80))),
        (steps.MongeAmpere(), LINE.on(Grid.uniform(-4.0, 4.0, 80))),
        (limits.FiniteVolume(), LINE.on(Grid.uniform(-4.0, 4.0, 80))),
        (steps.Gaussian(), LINE.at(0.0)),
        (descent.Langevin(), cloud()),
        (descent.Trapezoidal(), cloud()),
    ],
)
def test_a_kernel_must_be_even_at_every_time(scheme, mu):
    F = ODD_LATER if isinstance(scheme, descent.Trapezoidal) else fn.Entropy() + ODD_LATER
    with pytest.raises(ValueError, match="W must be even, but"):
        flow(F, mu, scheme, tau=0.1, n_steps=4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fn.Interaction(lambda x, y: jnp.sum((x - y) ** 2)), TypeError, "comes with general=True"),
        (lambda: fn.Potential(lambda x, y: x[0] * y), TypeError, "time with t as its last argument"),
        (lambda: fn.Potential(lambda x, *, t: t * x[0]), TypeError, "time with t as its last argument"),
        (lambda: fn.Potential(lambda x, t, u: t * x[0]), TypeError, "time with t as its last argument"),
        (lambda: fn.Cap(lambda x, t: 1.0 + t), TypeError, "cap: expected a function that does not depend on"),
        (lambda: fn.InternalEnergy(lambda s, t: t * s**2), TypeError, "U: expected a function that does not"),
        (lambda: fn.Potential(lambda x, t: t * x[0]).at("noon"), ValueError, "t: expected a finite number"),
        (lambda: fn.Potential(lambda x, t: t * x[0]).at(np.nan), ValueError, "t: expected a finite number"),
        (lambda: fn.Potential(lambda x: 1j * x[0])(cloud()), TypeError, "must return a real number"),
        (lambda: exact.MovingTrap(1.0), TypeError, "centre: expected a jax function of the time, got 1.0"),
    ],
)
def test_what_is_no_function_of_time_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
    assert not fn.Potential(lambda x, k=2: k * x[0]).depends_on_time


def test_a_trap_that_swings_often_has_its_mean():
    w, t = 300.0, 2.0
    trap = exact.MovingTrap(lambda t: jnp.sin(w * t))
    closed = (np.sin(w * t) - w * np.cos(w * t) + w * np.exp(-t)) / (1.0 + w * w)
    assert trap.at(t).mean()[0] == pytest.approx(closed, abs=1e-12)


def test_no_rate_of_decay_is_told_of_an_energy_that_moves():
    run = flow(functional(LINE), LINE.at(0.0), steps.Gaussian(), tau=0.1, n_steps=20)
    assert np.isnan(jko.compare({"moving": run}).table[0]["decay_rate"])


def test_the_minimiser_of_a_reward_moves_with_it():
    reward = fn.Reward(lambda x, t: -jnp.sum((x - t) ** 2), Gaussian.of(0.0, 1.0))
    still = fn.Reward(lambda x: -jnp.sum((x - 0.7) ** 2), Gaussian.of(0.0, 1.0))
    x = jnp.array([0.3])
    assert reward.log_minimiser(x, 0.7) == pytest.approx(still.log_minimiser(x))
    with pytest.raises(TypeError, match="depends on time"):
        reward.log_minimiser(x)
