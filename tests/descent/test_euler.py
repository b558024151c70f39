"""Forward and backward Euler against exact answers, in every step and in the limit τ → 0."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles, flow
from jko.descent import BackwardEuler, Blob, ForwardEuler
from jko.errors import StepFailed

QUADRATIC = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
CONTRACTION = fn.Interaction(lambda z: 0.5 * jnp.sum(z**2))
LOGARITHMIC = fn.Interaction("quadratic_logarithmic")
DOUBLE_WELL = fn.Potential(lambda x: jnp.sum((x**2 - 1.0) ** 2))


class SquaredMoment(fn.Functional):
    """F(α) = (½∫|x|²dα)², a functional of its own: ∇_W F = (∫|x|²dα) x."""

    def energy(self, mu):
        return mu.integrate(lambda x: 0.5 * jnp.sum(x**2)) ** 2


def cloud(n=60, dimension=2, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(
        (generator.normal(size=(n, dimension)) + 1.0).astype(dtype), (weights / weights.sum()).astype(dtype)
    )


def factors(scheme, rate, tau):
    return 1.0 - rate * tau if isinstance(scheme, ForwardEuler) else 1.0 / (1.0 + rate * tau)


@pytest.mark.parametrize("scheme", [ForwardEuler(), BackwardEuler()], ids=["forward", "backward"])
@pytest.mark.parametrize(
    ("functional", "mean_rate", "spread_rate", "dtype", "tolerance"),
    [
        (QUADRATIC, 1.0, 1.0, np.float64, 1e-13),
        (CONTRACTION, 0.0, 1.0, np.float64, 1e-13),
        (QUADRATIC + 2.0 * CONTRACTION, 1.0, 3.0, np.float32, 2e-6),
    ],
    ids=["potential", "interaction", "both-float32"],
)
def test_steps_are_exact_on_quadratics(scheme, functional, mean_rate, spread_rate, dtype, tolerance):
    mu, tau, steps = cloud(dtype=dtype), 0.1, 5
    run = flow(functional, mu, scheme, tau=tau, n_steps=steps)
    mean = mu.mean()
    exact = mean * factors(scheme, mean_rate, tau) ** steps
    exact = exact + (mu.positions - mean) * factors(scheme, spread_rate, tau) ** steps
    assert run.final.positions.dtype == dtype
    assert np.abs(run.final.positions - exact).max() < tolerance
    assert run.info.dissipation.min() > 0.0
    assert np.all(np.diff(run.energy) < 0.0)
    assert np.all(run.info.mass_error == 0.0)


@pytest.mark.parametrize(
    ("scheme", "functional"),
    [(ForwardEuler(), CONTRACTION), (BackwardEuler(), QUADRATIC)],
    ids=["forward", "backward"],
)
def test_order_one_in_tau(scheme, functional):
    mu = cloud(30)
    centre = mu.mean() if functional is CONTRACTION else 0.0
    exact = centre + (mu.positions - centre) * np.exp(-1.0)
    errors = [
        np.abs(
            flow(functional, mu, scheme, tau=1.0 / k, n_steps=k, store_every=k).final.positions - exact
        ).max()
        for k in (20, 40, 80, 160)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx([1.0] * 3, abs=0.1)


@pytest.mark.long
def test_the_stationary_points_of_the_logarithmic_gas_are_zeros_of_a_hermite_polynomial():
    """x_i = (1/n)Σ_j 1/(x_i − x_j) holds at the zeros of H_n over √n, for n equal particles on the line."""
    n = 40
    start = Particles(
        np.linspace(-1.0, 1.0, n)[:, None] + 0.002 * np.random.default_rng(0).normal(size=(n, 1))
    )
    zeros = np.polynomial.hermite.hermgauss(n)[0] / np.sqrt(n)
    slow = flow(LOGARITHMIC, start, ForwardEuler(), tau=0.008, n_steps=1500, store_every=1500)
    centre = start.mean()
    assert np.abs(np.sort(slow.final.positions[:, 0] - centre) - zeros).max() < 1e-4
    fast = flow(LOGARITHMIC, start, BackwardEuler(), tau=1.0, n_steps=25, store_every=25)
    assert np.abs(np.sort(fast.final.positions[:, 0] - centre) - zeros).max() < 1e-6
    assert fast.info.dissipation.min() > -1e-12


@pytest.mark.long
def test_aggregation_to_the_unit_disk():
    """In the plane mean|x|² tends to (n − 1)/2n, exactly, and |x|² becomes uniform on (0, 1)."""
    n = 200
    start = Particles(0.3 * np.random.default_rng(1).normal(size=(n, 2)))
    run = flow(LOGARITHMIC, start, ForwardEuler(), tau=0.01, n_steps=1000, store_every=100)
    radii = np.sort(np.sum((run.final.positions - start.mean()) ** 2, axis=1))
    assert np.mean(radii) == pytest.approx((n - 1) / (2 * n), abs=1e-6)
    assert np.mean(np.abs(radii - (np.arange(n) + 0.5) / n)) < 0.5 / np.sqrt(n)
    assert np.all(np.diff(run.energy) <= 1e-12)
    assert run.energy[-1] == pytest.approx(0.375, abs=2.0 * np.log(n) / n)


def test_a_functional_of_ones_own():
    mu = cloud(25)
    moved = flow(SquaredMoment(), mu, ForwardEuler(), tau=0.05, n_steps=1).final
    moment = np.sum(mu.weights[:, None] * mu.positions**2)
    assert np.allclose(moved.positions, mu.positions * (1.0 - 0.05 * moment), rtol=1e-13)


@pytest.mark.slow
def test_backward_euler_is_stationary_and_proves_decay_on_a_double_well():
    mu, tau = cloud(80), 0.5
    run = flow(DOUBLE_WELL + LOGARITHMIC, mu, BackwardEuler(), tau=tau, n_steps=10)
    field = DOUBLE_WELL + LOGARITHMIC
    for before, after in zip(run.measures[:-1], run.measures[1:], strict=True):
        residual = after.positions - before.positions + tau * field.wasserstein_gradient(after)
        size = np.sqrt(np.sum(after.weights[:, None] * residual**2))
        moved = np.sqrt(np.sum(after.weights[:, None] * (after.positions - before.positions) ** 2))
        assert size <= 1e-8 * moved + 1e-12
    assert run.info.dissipation.min() >= -1e-12
    assert np.all(np.diff(run.energy) <= 1e-12)


def test_a_solve_that_stops_short_says_so():
    with pytest.raises(StepFailed, match="relative residual"):
        flow(DOUBLE_WELL, cloud(), BackwardEuler(max_iterations=1), tau=2.0, n_steps=1)


def test_a_step_beyond_the_stability_limit_names_it():
    with pytest.raises(StepFailed, match=r"2/L = 2 .*BackwardEuler"):
        flow(QUADRATIC, cloud(), ForwardEuler(), tau=2.1, n_steps=1)
    run = flow(QUADRATIC, cloud(), ForwardEuler(), tau=2.1, n_steps=3, throw=False)
    assert run.info.status[-1] == "unstable"
    flow(QUADRATIC, cloud(), ForwardEuler(), tau=1.9, n_steps=3)


@pytest.mark.parametrize("scheme", [ForwardEuler(), BackwardEuler()], ids=["forward", "backward"])
def test_refusals(scheme):
    with pytest.raises(ValueError, match=r"Entropy.*descent\.Blob.*descent\.Langevin"):
        scheme.prepare(fn.Entropy() + QUADRATIC, cloud())
    with pytest.raises(ValueError, match=r"Power.*descent\.Blob"):
        scheme.prepare(fn.Power(2), cloud())
    with pytest.raises(ValueError, match="Cap"):
        scheme.prepare(QUADRATIC + fn.Cap(1.0), cloud())
    problem = scheme.prepare(QUADRATIC, cloud())
    state = problem.start
    with pytest.raises(ValueError, match="tau"):
        scheme.step(problem, cloud(), 0.0, 0.0, state)
    with pytest.raises(ValueError, match="positions"):
        Particles([[np.nan], [0.0]])


@pytest.mark.slow
def test_a_resume_gives_the_same_bits():
    for scheme in (ForwardEuler(), BackwardEuler()):
        mu, functional = cloud(), DOUBLE_WELL + CONTRACTION
        problem = scheme.prepare(functional, mu)
        state = problem.start
        there = mu
        for k in range(6):
            there, state, _ = scheme.step(problem, there, 0.0, 0.01, state)
            if k == 2:
                saved, data = there, dict(state)
        again = jko.State(data)
        for _ in range(3):
            saved, again, _ = scheme.step(problem, saved, 0.0, 0.01, again)
        assert np.array_equal(saved.positions, there.positions)
        assert again == state


@pytest.mark.parametrize("scheme", [ForwardEuler(), Blob(bandwidth=0.5)], ids=["forward", "blob"])
def test_a_number_that_a_potential_reads_may_change_between_runs(scheme):
    mu, strength = Particles([[1.0]]), 1.0
    functional = fn.Potential(lambda x: 0.5 * strength * jnp.sum(x**2))
    functional = functional if isinstance(scheme, ForwardEuler) else fn.Entropy() + functional
    moved = [flow(functional, mu, scheme, tau=0.1, n_steps=1).final.positions.item()]
    strength = 2.0
    moved.append(flow(functional, mu, scheme, tau=0.1, n_steps=1).final.positions.item())
    exact = [0.9, 0.8] if isinstance(scheme, ForwardEuler) else np.exp([-0.1, -0.2])
    assert moved == pytest.approx(exact, abs=2e-3 if isinstance(scheme, Blob) else 1e-12)


def test_bad_settings():
    for settings in ({"tolerance": 0.0}, {"max_iterations": 0}, {"max_inner_iterations": -1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            BackwardEuler(**settings)


@pytest.mark.slow
def test_a_step_of_many_particles_on_the_line_solves_its_equation():
    """From the zeros' far-off arcsine law, by factors of the whole matrix: few iterations, where x⁺ solves
    x⁺_i − x_i = −τ(x⁺_i − (1/n)Σ_j 1/(x⁺_i − x⁺_j))."""
    n, tau = 220, 1.0
    start = 1.2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    run = flow(LOGARITHMIC, Particles(start[:, None]), BackwardEuler(), tau=tau, n_steps=1)
    x = run.final.positions[:, 0]
    z = x[:, None] - x
    np.fill_diagonal(z, np.inf)
    equation = x - start + tau * (x - x.mean() - np.sum(1.0 / z, axis=1) / n)
    assert np.abs(equation).max() < 1e-7
    assert run.info.iterations[0] <= 20


@pytest.mark.slow
def test_backward_euler_parts_two_points_that_repel_each_other_from_1e_9_apart():
    """−log|x| in the plane: what the pair was apart is soon forgotten; an explicit step says what helps."""
    x, F = np.random.default_rng(0).normal(size=(200, 2)), fn.Interaction("logarithmic") + QUADRATIC
    clouds = [Particles(np.concatenate([x[:199], x[:1] + apart])) for apart in (1e-3, 1e-9)]
    ends = [flow(F, cloud, BackwardEuler(), tau=0.1, n_steps=2).energy for cloud in clouds]
    assert np.diff(ends[1]).max() < 0.0
    assert ends[1][-1] == pytest.approx(ends[0][-1], rel=1e-5)
    with pytest.raises(StepFailed, match="BackwardEuler"):
        flow(F, clouds[1], ForwardEuler(), tau=0.1, n_steps=1)
