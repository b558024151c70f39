"""Every exact answer against the equation it solves, by automatic differentiation or quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, exact

A = np.array([[1.5, 0.4], [0.4, 0.6]])
S = np.array([[0.5, -0.2], [-0.2, 0.8]])


def residuals(solution, right, times, points):
    """∂ₜρ − right(ρ, x) and ∂ₜρ at every time and point."""

    def at(t, x):
        rate = jax.grad(lambda s: solution.formula(s, x))(t)
        return rate - right(lambda y: solution.formula(t, y), x), rate

    with jax.enable_x64(True):
        t, x = np.repeat(times, len(points)), np.tile(points, (len(times), 1))
        return (np.asarray(part) for part in jax.jit(jax.vmap(at))(jnp.asarray(t), jnp.asarray(x)))


def laplacian(f, x):
    return jnp.trace(jax.hessian(f)(x))


def fokker_planck(theta, gradient):
    def right(rho, x):
        drift = jnp.trace(jax.jacfwd(lambda y: rho(y) * gradient(y))(x))
        return theta * laplacian(rho, x) + drift

    return right


CASES = {
    "OU 1D": (exact.OrnsteinUhlenbeck(), fokker_planck(1.0, lambda y: y)),
    "OU unstable": (exact.OrnsteinUhlenbeck(0.3, 0.6, -0.7, 0.4), fokker_planck(0.4, lambda y: -0.7 * y)),
    "OU matrix": (
        exact.OrnsteinUhlenbeck([0.5, -0.2], stiffness=A, temperature=0.7, covariance=S),
        fokker_planck(0.7, lambda y: A @ y),
    ),
    "heat 3D": (
        exact.Heat([0.1, 0.0, -0.3], [0.5, 0.7, 1.0], 0.3),
        fokker_planck(0.3, lambda y: 0.0 * y),
    ),
    "mixture": (
        exact.GaussianMixture([[-1.0, 0.0], [1.0, 0.5]], [0.5, 0.8], [1.0, 2.0], temperature=0.5),
        fokker_planck(0.5, lambda y: y),
    ),
    "box": (exact.FokkerPlanckBoundary(1.3), fokker_planck(1.0, lambda y: jnp.array([-1.3, 0.0]))),
    "box 1D": (exact.FokkerPlanckBoundary(-2.0, 1, 1.0), fokker_planck(1.0, lambda y: jnp.array([2.0]))),
}
for m, d in ((2.0, 1), (3.5, 1), (1.4, 2), (2.0, 3), (0.8, 1), (0.6, 2)):
    CASES[f"Barenblatt {m} in {d}"] = (
        exact.Barenblatt(m, d, mass=1.7, start_time=0.3),
        lambda rho, x, m=m: laplacian(lambda y: rho(y) ** m, x),
    )


def doubly_nonlinear(m, p):
    """∇·(ρ|∇ξ|^{q−2}∇ξ), ξ = mρ^{m−1}/(m − 1) or log ρ."""

    def velocity(rho, y):
        slope = jax.grad(lambda z: jnp.log(rho(z)) if m == 1.0 else m / (m - 1.0) * rho(z) ** (m - 1.0))(y)
        return rho(y) * jnp.sum(slope**2) ** (0.5 * (2.0 - p) / (p - 1.0)) * slope

    return lambda rho, x: jnp.trace(jax.jacfwd(lambda y: velocity(rho, y))(x))


COSTS = (1.5, 1.5, 1), (2.0, 3.0, 2), (1.0, 1.4, 1), (1.0, 4.0, 3), (0.6, 2.5, 1), (0.8, 1.6, 2)
for m, p, d in COSTS:
    CASES[f"Barenblatt {m} in {d}, cost {p}"] = (
        exact.Barenblatt(m, d, mass=1.7, start_time=0.3, cost_exponent=p),
        doubly_nonlinear(m, p),
    )


def test_at_cost_exponent_3_less_m_it_is_the_laplacian_of_q():
    """∂ₜρ = m^{q−1} ∇·(|∇ρ|^{q−2}∇ρ), q = p/(p − 1), for m = 3 − p."""
    p, d = 1.5, 2
    solution = exact.Barenblatt(3.0 - p, d, start_time=0.3, cost_exponent=p)
    factor = (3.0 - p) ** (1.0 / (p - 1.0))

    def flux(rho, y):
        slope = jax.grad(rho)(y)
        return factor * jnp.sum(slope**2) ** (0.5 * (2.0 - p) / (p - 1.0)) * slope

    points = 0.05 + 0.3 * np.random.default_rng(3).random((4, d))
    error, rate = residuals(
        solution, lambda rho, x: jnp.trace(jax.jacfwd(lambda y: flux(rho, y))(x)), np.array([0.1]), points
    )
    assert np.all(np.abs(error) < 1e-11 * np.maximum(np.abs(rate), 1.0))


@pytest.mark.parametrize("name", CASES)
def test_it_solves_its_equation(name):
    solution, right = CASES[name]
    points = 0.05 + 0.4 * np.random.default_rng(2).random((4, solution.dimension))
    error, rate = residuals(solution, right, np.array([0.02, 0.4]), points)
    assert np.abs(rate).max() > 1e-3
    assert np.all(np.abs(error) < 1e-11 * np.maximum(np.abs(rate), 1.0))


@pytest.mark.parametrize("name", [name for name in CASES if "Barenblatt" not in name and "3D" not in name])
def test_it_keeps_its_mass(name):
    solution, _ = CASES[name]
    d = solution.dimension
    low, high = (0.0, 1.0) if "box" in name else (-9.0, 9.0)
    grid = Grid.uniform((low,) * d, (high,) * d, (300,) * d)
    for t in (0.0, 0.5):
        total = solution.density(t, grid.points).sum() * grid.cell_volume
        assert total == pytest.approx(solution.mass_at(t), rel=2e-5)
    assert solution.on(grid, 0.2).mass == pytest.approx(solution.mass_at(0.2), rel=1e-12)


def test_barenblatt_masses_by_radial_quadrature():
    from scipy.integrate import quad

    usual = ((2.0, 2.0, 1), (3.5, 2.0, 2), (1.4, 2.0, 3), (0.8, 2.0, 1), (0.6, 2.0, 2), (0.5, 2.0, 3))
    for m, p, d in (*usual, *COSTS):
        solution = exact.Barenblatt(m, d, mass=1.7, start_time=0.3, cost_exponent=p)
        sphere = {1: 2.0, 2: 2.0 * np.pi, 3: 4.0 * np.pi}[d]

        def shell(r, solution=solution, d=d, sphere=sphere):
            point = np.zeros((1, d))
            point[0, 0] = r
            return sphere * r ** (d - 1) * solution.density(0.1, point)[0]

        total = quad(shell, 0.0, solution.radius(0.1), epsabs=1e-9, limit=300)[0]
        assert total == pytest.approx(1.7, rel=1e-6)


@pytest.mark.parametrize(
    ("m", "p", "d"),
    [
        (2.0, 2.0, 1),
        (3.0, 2.0, 2),
        (1.3, 2.0, 3),
        (0.75, 2.0, 1),
        (0.7, 2.0, 2),
        (1.5, 1.5, 1),
        (0.9, 3.0, 2),
    ],
)
def test_barenblatt_jko_step_is_optimal(m, p, d):
    """φ/τ^{p−1} + U′(ρ′) = const with the map back to ρ a dilation: |y|^{p−2}y/τ^{p−1} + ∇U′(ρ′) = 0 on the
    support for y = (1 − s/s′)x."""
    tau, start = 0.07, exact.Barenblatt(m, d, start_time=0.2, cost_exponent=p)
    after = start.jko_step(tau)
    shrink = (start.start_time / after.start_time) ** start.beta
    x = np.linspace(0.05, 0.4, 5)[:, None] * np.ones(d) / np.sqrt(d)
    with jax.enable_x64(True):
        pressure = jax.vmap(jax.grad(lambda y: m / (m - 1.0) * after.formula(0.0, y) ** (m - 1.0)))
        speed = np.linalg.norm((1.0 - shrink) * x / tau, axis=1, keepdims=True)
        force = speed ** (p - 2.0) * (1.0 - shrink) * x / tau + np.asarray(pressure(jnp.asarray(x)))
    assert np.abs(force).max() < 1e-12
    # and as τ → 0 the step follows the flow
    small = start.jko_step(1e-6)
    assert (small.start_time - start.start_time) / 1e-6 == pytest.approx(1.0, rel=1e-4)


def test_barenblatt_radius_is_where_the_density_ends():
    solution = exact.Barenblatt(2.0, 1)
    r = solution.radius(0.4)
    assert solution.density(0.4, np.array([[r * (1 - 1e-9)], [r * (1 + 1e-9)]])) == pytest.approx(
        [0.0, 0.0], abs=1e-8
    )
    assert solution.density(0.4, np.array([[r * (1 - 1e-3)]]))[0] > 0.0
    assert exact.Barenblatt(0.9).radius() == np.inf
    law = exact.Barenblatt(1.5, cost_exponent=1.5)
    inside, beyond = law.density(0.3, law.radius(0.3) * np.array([[1.0 - 1e-3], [1.0 + 1e-9]]))
    assert inside > 0.0 == beyond


def test_gaussian_jko_on_an_axis_obeys_the_recursion_of_the_principal_axis():
    tau, stiffness, theta = 0.1, 1.3, 0.6
    solution = exact.GaussianJKO(1.5, 0.5, tau, stiffness, theta)
    m, s = 1.5, 0.5
    for k in range(1, 21):
        m, before, s = m / (1 + stiffness * tau), s, None
        s = (before + np.sqrt(before**2 + 4 * (1 + stiffness * tau) * theta * tau)) / (
            2 * (1 + stiffness * tau)
        )
        iterate = solution.at(k * tau)
        assert iterate.mean()[0] == pytest.approx(m, rel=1e-13)
        assert np.sqrt(iterate.covariance()[0, 0]) == pytest.approx(s, rel=1e-13)
    with pytest.raises(ValueError, match="multiple of tau"):
        solution.at(0.05)


def test_gaussian_jko_with_matrices_that_do_not_commute_is_stationary():
    tau, theta = 0.3, 0.7
    assert np.abs(A @ S - S @ A).max() > 0.05
    after = exact.GaussianJKO([1.0, -0.5], tau=tau, stiffness=A, temperature=theta, covariance=S).at(tau)
    back = np.eye(2) + tau * A - tau * theta * np.linalg.inv(after.covariance())
    assert np.linalg.eigvalsh(back)[0] > 0.0
    assert back @ after.covariance() @ back == pytest.approx(S, abs=1e-14)


def test_gaussian_jko_tends_to_ornstein_uhlenbeck_at_order_one():
    limit = exact.OrnsteinUhlenbeck([0.4, 1.0], stiffness=A, temperature=0.7, covariance=S).at(1.0)
    errors = []
    for tau in (0.05, 0.025, 0.0125):
        found = exact.GaussianJKO([0.4, 1.0], tau=tau, stiffness=A, temperature=0.7, covariance=S).at(1.0)
        errors.append(np.abs(found.covariance() - limit.covariance()).max())
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.1)


def test_the_box_solution_has_no_flux_and_its_stated_mass():
    solution = exact.FokkerPlanckBoundary(1.3)
    with jax.enable_x64(True):
        for wall in (0.0, 1.0):
            x = jnp.array([wall, 0.4])
            slope = jax.grad(lambda y: solution.formula(0.05, y))(x)[0]
            assert float(slope - 1.3 * solution.formula(0.05, x)) == pytest.approx(0.0, abs=1e-12)
    assert solution.mass == pytest.approx(2.0 * np.pi * np.sinh(0.65) / 1.3)


@pytest.mark.parametrize(("dimension", "cells"), [(1, (500, 1000)), (2, (60, 120))])
def test_aggregation_steady_states_balance_attraction_and_repulsion(dimension, cells):
    solution = exact.AggregationSteadyState(dimension)
    F = fn.Interaction("quadratic_logarithmic")
    spread = []
    for n in cells:
        grid = Grid.uniform((-1.6,) * dimension, (1.6,) * dimension, (n,) * dimension)
        field = F.first_variation(solution.on(grid))
        radius = np.sqrt(np.sum(grid.centers**2, axis=-1))
        spread.append(np.ptp(field[radius < 0.8 * solution.radius]))
        outside = field[(radius > 1.05 * solution.radius)]
        assert outside.min() > field[radius < 0.8 * solution.radius].max()
    assert spread[1] < 0.6 * spread[0]
    assert spread[1] < 5e-3


def test_keller_segel_moment_is_the_derivative_along_the_flow():
    chi = 3.0
    law = exact.KellerSegelMoment(chi, second_moment=2.0 * 0.6**2, critical=4.0)
    F = fn.Entropy() + fn.Interaction("logarithmic", strength=-chi)
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (160, 160))
    mu = Density.gaussian(grid, mean=(0.0, 0.0), std=0.6)
    velocity = -F.wasserstein_gradient(mu)
    rate = 2.0 * np.sum(mu.values * np.sum(grid.centers * velocity, axis=-1)) * grid.cell_volume
    assert law.rate == pytest.approx(4.0 * (1.0 - chi / 4.0))
    assert rate == pytest.approx(law.rate, abs=5e-3)
    assert law.second_moment(0.5) == pytest.approx(0.72 + 0.5 * law.rate)


def test_keller_segel_blows_up_above_the_critical_value():
    law = exact.KellerSegelMoment(16.0 * np.pi, second_moment=1.0)
    assert law.latest_time == pytest.approx(0.25)
    with pytest.raises(ValueError, match="blew up"):
        law.second_moment(0.3)


def test_a_time_before_the_start_is_refused():
    for solution in (exact.OrnsteinUhlenbeck(), exact.Heat()):
        for t in (-5.0, np.nan):
            with pytest.raises(ValueError, match="t: expected a finite time of at least 0"):
                solution.on(Grid.uniform(-4.0, 4.0, 16), t)
    with pytest.raises(ValueError, match="t: expected a finite time of at least 0"):
        exact.OrnsteinUhlenbeck().at(-5)


def test_refusals():
    with pytest.raises(ValueError, match="Heat"):
        exact.Barenblatt(1.0)
    with pytest.raises(ValueError, match="loses mass"):
        exact.Barenblatt(0.3, 3)
    with pytest.raises(ValueError, match="cost_exponent"):
        exact.Barenblatt(cost_exponent=1.0)
    with pytest.raises(ValueError, match="take tau smaller"):
        exact.GaussianJKO(0.0, 1.0, 2.0, stiffness=-1.0).at(2.0)
    with pytest.raises(ValueError, match=r"shape \[n, 1\]"):
        exact.Heat().density(0.1, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="expected 1 dimensions"):
        exact.Heat().on(Grid.uniform((0.0, 0.0), (1.0, 1.0), (4, 4)))
    with pytest.raises(ValueError, match="std: expected positive"):
        exact.OrnsteinUhlenbeck(std=-1.0)


@pytest.mark.parametrize("name", ["OU 1D", "OU matrix", "mixture", "Barenblatt 2.0 in 1", "box"])
def test_the_density_in_numpy_is_the_formula_in_jax(name):
    solution, _ = CASES[name]
    points = np.random.default_rng(3).random((20, solution.dimension))
    with jax.enable_x64(True):
        formula = np.asarray(solution.formula(0.3, jnp.asarray(points)))
    assert solution.density(0.3, points) == pytest.approx(formula, rel=1e-12)
