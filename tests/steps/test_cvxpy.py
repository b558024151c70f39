"""steps.Cvxpy against exact steps: accuracy, orders in h and τ, what every step must keep."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy

OU = fn.Entropy() + fn.Potential("quadratic")


def l1(mu, nu):
    return float(np.abs(mu.values - nu.values).sum() * mu.grid.cell_volume)


def std(mu):
    return float(np.sqrt(mu.covariance()[0, 0]))


def gaussian_run(scheme, n, initial_std, n_steps, tau=0.1, mean=1.5):
    """Worst L1 distance and worst error of σ over the iterates, against the exact recursion."""
    grid = jko.Grid.uniform(-6.0, 6.0, n)
    exact = jko.exact.GaussianJKO(mean=mean, std=initial_std, tau=tau)
    start = jko.Density.gaussian(grid, mean=mean, std=initial_std)
    run = jko.flow(OU, start, scheme, tau=tau, n_steps=n_steps)
    answers = [exact.on(grid, tau * k) for k in range(n_steps + 1)]
    pairs = list(zip(run.measures, answers, strict=True))
    return max(l1(a, b) for a, b in pairs), max(abs(std(a) - std(b)) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "n", "initial_std", "distance", "width"),
    [
        (Cvxpy(), 200, 0.5, 5e-4, 1e-5),
        (Cvxpy(), 200, 1.0, 5e-4, 5e-5),
        (Cvxpy(), 800, 0.5, 4e-5, 4e-6),
        (Cvxpy(formulation="eulerian"), 200, 1.0, 1e-3, 1e-3),
        (Cvxpy(formulation="eulerian", slices=4), 200, 1.0, 3e-4, 3e-4),
    ],
    ids=["lagrangian", "lagrangian wide", "lagrangian 800", "eulerian", "eulerian 4 slices"],
)
def test_gaussian_iterates_follow_the_exact_recursion(scheme, n, initial_std, distance, width):
    worst_l1, worst_std = gaussian_run(scheme, n, initial_std, n_steps=20)
    assert worst_l1 <= distance
    assert worst_std <= width


@pytest.mark.parametrize(
    "scheme", [Cvxpy(), Cvxpy(formulation="eulerian", slices=2)], ids=["lagrangian", "eulerian"]
)
def test_second_order_in_the_mesh_width(scheme):
    errors = [gaussian_run(scheme, n, 0.7, n_steps=1, tau=0.02, mean=0.5)[0] for n in (40, 80, 160)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders >= 1.9)


@pytest.mark.slow
def test_plane_iterates():
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (32, 32))
    exact = jko.exact.GaussianJKO(mean=(0.5, -0.3), std=0.9, tau=0.1)
    F = fn.Entropy() + fn.Potential("quadratic")
    run = jko.flow(F, exact.on(grid, 0.0), Cvxpy(), tau=0.1, n_steps=2)
    assert max(l1(mu, exact.on(grid, t)) for t, mu in zip(run.times, run.measures, strict=True)) <= 3e-3
    assert np.all(run.info.relative_gap <= 1e-6)


@pytest.mark.slow
def test_space_is_stepped_in_three_dimensions():
    grid = jko.Grid.uniform((-3.0,) * 3, (3.0,) * 3, (9, 8, 7))
    mu = jko.Density.gaussian(grid, mean=(0.6, 0.0, -0.3), std=0.9)
    run = jko.flow(fn.Potential("quadratic") + fn.Entropy(), mu, Cvxpy(), tau=0.1, n_steps=1)
    np.testing.assert_allclose(run.final.mean(), mu.mean() / 1.1, atol=6e-3)
    assert run.info.relative_gap[0] <= 1e-6


@pytest.mark.parametrize(
    "scheme", [Cvxpy(), Cvxpy(formulation="eulerian", slices=4)], ids=["lagrangian", "eulerian"]
)
def test_a_barenblatt_step(scheme):
    start = jko.exact.Barenblatt(exponent=2, dimension=1, start_time=0.06)
    grid = jko.Grid.uniform(-1.5, 1.5, 200)
    run = jko.flow(fn.Power(2), start.on(grid, 0.0), scheme, tau=0.01, n_steps=1)
    assert l1(run.final, start.jko_step(0.01).on(grid, 0.0)) <= 3e-4


CASES = {
    "Ornstein-Uhlenbeck": (OU, jko.exact.OrnsteinUhlenbeck(mean=1.0, std=0.6), 6.0, 0.4, 0.1),
    "heat": (fn.Entropy(), jko.exact.Heat(mean=0.0, std=0.6), 6.0, 0.4, 0.1),
    "Barenblatt": (fn.Power(2), jko.exact.Barenblatt(2, 1, start_time=0.05), 2.5, 0.2, 0.025),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scheme", [Cvxpy(), Cvxpy(formulation="eulerian")], ids=["lagrangian", "eulerian"])
def test_first_order_in_tau(scheme, case):
    F, exact, reach, duration, tau = CASES[case]
    grid = jko.Grid.uniform(-reach, reach, 200)
    errors = []
    for step in (tau, tau / 2, tau / 4):
        run = jko.flow(F, exact.on(grid, 0.0), scheme, tau=step, n_steps=round(duration / step))
        errors.append(l1(run.final, exact.on(grid, duration)))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1.0, atol=0.1)


def test_attraction_by_convex_concave_passes_is_the_exact_gaussian_step():
    # ½∬½|x−y|² is half the variance: concave in ρ, and a quadratic potential about the mean
    grid = jko.Grid.uniform(-5.0, 5.0, 160)
    F = fn.Entropy() + fn.Interaction(lambda z: 0.5 * jnp.sum(z**2))
    mu = jko.Density.gaussian(grid, mean=0.4, std=0.6)
    after = jko.flow(F, mu, Cvxpy(slices=4), tau=0.1, n_steps=1).final
    exact = jko.exact.GaussianJKO(mean=0.0, std=0.6, tau=0.1).at(0.1)
    np.testing.assert_allclose(after.mean(), 0.4, atol=1e-6)
    np.testing.assert_allclose(std(after), np.sqrt(exact.covariance()[0, 0]), rtol=1e-3)


SCHEMES = {"lagrangian": Cvxpy(), "eulerian": Cvxpy(formulation="eulerian", slices=2)}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_mass_positivity_and_dissipation(scheme):
    grid = jko.Grid.uniform(-3.0, 3.0, 60)
    mu = jko.Density.mixture(grid, [-1.5, 1.0], [0.3, 0.5])
    F = 0.3 * fn.Entropy() + fn.Power(3) + fn.Potential("double_well")
    run = jko.flow(F, mu, scheme, tau=0.05, n_steps=8)
    assert np.all(run.info.mass_error <= 1e-13)
    assert np.all(run.info.min_density >= 0.0)
    assert np.all(run.info.dissipation >= 0.0)
    assert np.all(np.diff(run.energy) < 0.0)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_resumed_run_has_the_same_bits(scheme):
    grid = jko.Grid.uniform(-3.0, 3.0, 50)
    start = jko.Density.gaussian(grid, mean=0.5, std=0.5)
    F = fn.Entropy() + fn.Potential("double_well")
    problem = scheme.prepare(F, start)
    mu, state = start, problem.start
    for _ in range(2):
        mu, state, _ = scheme.step(problem, mu, 0.0, 0.05, state)
    half, data = mu, state
    for _ in range(2):
        mu, state, _ = scheme.step(problem, mu, 0.0, 0.05, state)
    problem = scheme.prepare(F, start)
    again, resumed = half, jko.State(data)
    for _ in range(2):
        again, resumed, _ = scheme.step(problem, again, 0.0, 0.05, resumed)
    np.testing.assert_array_equal(again.values, mu.values)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_cap_holds_and_is_reached(scheme):
    grid = jko.Grid.uniform(-3.0, 3.0, 90)
    mu = jko.Density.gaussian(grid, mean=0.3, std=0.8)
    run = jko.flow(fn.Cap(0.6) + fn.Potential("quadratic"), mu, scheme, tau=0.3, n_steps=6)
    assert run.final.values.max() <= 0.6 * (1.0 + 1e-6)
    middle = np.abs(grid.points[:, 0] - run.final.mean()[0]) < 0.5
    np.testing.assert_allclose(run.final.values[middle], 0.6, rtol=1e-5)


def test_a_cap_that_varies_holds():
    grid = jko.Grid.uniform(-3.0, 3.0, 60)
    mu = jko.Density.gaussian(grid, mean=0.0, std=0.9)
    F = fn.Cap(lambda x: 0.5 + 0.1 * jnp.sin(x[0])) + fn.Potential("quadratic")
    run = jko.flow(F, mu, Cvxpy(), tau=0.3, n_steps=2)
    assert np.all(run.final.values <= (0.5 + 0.1 * np.sin(grid.points[:, 0])) * (1.0 + 1e-6))


def test_strong_concavity_of_the_potential_goes_by_cells():
    grid = jko.Grid.uniform(-3.0, 3.0, 40)
    mu = jko.Density.gaussian(grid, mean=0.2, std=0.4)
    F = fn.Entropy() + fn.Potential(lambda x: -2.0 * jnp.cos(3.0 * x[0]))
    run = jko.flow(F, mu, Cvxpy(), tau=0.1, n_steps=2)
    assert np.all(run.info.relative_gap <= 1e-6)
    assert set(run.info.detail("form")) == {"eulerian"}
    with pytest.raises(jko.errors.StepFailed, match=r"one inner slice loses up to.*'eulerian', slices=2"):
        jko.flow(F, mu, Cvxpy(), tau=0.2, n_steps=1)
    with pytest.raises(jko.errors.StepFailed, match="formulation='eulerian'"):
        jko.flow(F, mu, Cvxpy(formulation="lagrangian"), tau=0.2, n_steps=1)
