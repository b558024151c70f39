"""Schrödinger bridges against closed forms between Gaussians, their dynamics, and the limit of no noise."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport import schrodinger_bridge, sinkhorn

LINE = Gaussian.of(-1.0, 0.7), Gaussian.of(1.5, 1.0)
TILTED = Gaussian([-0.5, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([0.7, 0.3], [[0.3, -0.1], [-0.1, 0.4]])


def half_squared(mu, nu):
    return 0.5 * float(wasserstein(mu, nu)) ** 2


def on_line(cells=400):
    grid = Grid.uniform(-9.0, 9.0, cells)
    return tuple(m.on(grid) for m in LINE)


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01])
def test_cost_on_the_line_static_and_dynamic(epsilon):
    exact, found = schrodinger_bridge(*LINE, epsilon), schrodinger_bridge(*on_line(), epsilon)
    assert found.cost == pytest.approx(exact.cost, rel=1e-9)
    assert found.dynamic_cost() == pytest.approx(exact.cost, rel=1e-9)
    assert exact.dynamic_cost() == pytest.approx(exact.cost, rel=1e-12)
    assert found.gap < 1e-6
    assert found.cost == pytest.approx(_by_entropy(*on_line(), epsilon), rel=1e-6)


@pytest.mark.parametrize("epsilon", [30.0, 1e3])
def test_the_dynamic_cost_of_large_noise_says_its_error(epsilon):
    exact = schrodinger_bridge(*LINE, epsilon)
    found = exact.dynamic_cost()
    assert abs(found - exact.cost) <= max(found.error, 1e-12 * exact.cost)
    assert found.error < 2e-8 * exact.cost
    rough = exact.dynamic_cost(tolerance=1e-2)
    assert rough.n_times < found.n_times
    assert abs(rough - exact.cost) <= rough.error


def _by_entropy(mu, nu, epsilon):
    """2ε KL(π | μ p₁) of the plan of `sinkhorn`, pair by pair."""
    plan = sinkhorn(mu, nu, 4.0 * epsilon, debias=False, tolerance=1e-9).plan
    x, h = mu.grid.axes[0], mu.grid.spacing[0]
    reference = -((x[:, None] - x) ** 2) / (4.0 * epsilon) - 0.5 * np.log(4.0 * np.pi * epsilon) + np.log(h)
    held = plan > 0
    return 2.0 * epsilon * (plan * (np.log(np.where(held, plan, 1.0) / mu.masses[:, None]) - reference)).sum()


@pytest.mark.parametrize("epsilon", [0.3, 0.01])
def test_marginals_and_velocities_on_the_line(epsilon):
    exact, found = schrodinger_bridge(*LINE, epsilon), schrodinger_bridge(*on_line(), epsilon)
    points, volume = found.grid.points, found.grid.cell_volume
    for t in (0.0, 0.003, 0.4, 0.95, 1.0):
        rho = exact.marginal(t).on(found.grid).values
        assert volume * np.abs(found.marginal(t).values - rho).sum() < 1e-8
        for ours, theirs in (
            (found.drift(points, t), exact.drift(points, t)),
            (found.current_velocity(points, t), exact.current_velocity(points, t)),
        ):
            assert volume * (rho[:, None] * (ours - theirs) ** 2).sum() < 1e-10


def test_the_plane():
    grid = Grid.uniform((-4.5, -4.5), (5.0, 4.5), (80, 70))
    exact, found = schrodinger_bridge(*TILTED, 0.1), schrodinger_bridge(*(m.on(grid) for m in TILTED), 0.1)
    assert found.cost == pytest.approx(exact.cost, rel=1e-6)
    rho = exact.marginal(0.6).on(grid).values
    assert grid.cell_volume * np.abs(found.marginal(0.6).values - rho).sum() < 1e-6
    assert found.current_velocity(grid.points[2000:2010], 0.6) == pytest.approx(
        exact.current_velocity(grid.points[2000:2010], 0.6), abs=1e-3
    )
    assert exact.marginal(1.0).covariance() == pytest.approx(TILTED[1].covariance(), abs=1e-12)


def test_psi_solves_the_two_heat_equations():
    bridge, dt = schrodinger_bridge(*on_line(), 0.2), 1e-4
    x = bridge.grid.axes[0]
    inner = slice(150, 250)
    for psi, sign in ((bridge.log_psi, -1.0), (bridge.log_psi_hat, 1.0)):
        now = np.exp(psi(0.5))
        rate = (np.exp(psi(0.5 + dt)) - np.exp(psi(0.5 - dt))) / (2.0 * dt)
        laplacian = np.gradient(np.gradient(now, x), x)
        assert rate[inner] == pytest.approx(sign * 0.2 * laplacian[inner], rel=1e-2, abs=1e-3 * now.max())
    assert bridge.log_psi(0.0) + bridge.log_psi_hat(0.0) == pytest.approx(np.log(bridge.mu.values), abs=1e-5)


def test_the_limit_of_no_noise_and_its_rates():
    epsilons = np.array([0.02, 0.01, 0.005])
    mu, nu = on_line()
    costs = np.array([schrodinger_bridge(mu, nu, e).cost for e in epsilons])
    first = costs - half_squared(*LINE)
    entropies = [float((m.values * np.log(m.values)).sum() * m.grid.cell_volume) for m in (mu, nu)]
    second = first - epsilons * (entropies[1] - entropies[0])
    assert np.all(np.abs(np.log2(np.abs(first[:-1] / first[1:])) - 1.0) < 0.05)
    assert np.all(np.abs(np.log2(np.abs(second[:-1] / second[1:])) - 2.0) < 0.05)


def test_paths_hit_the_target():
    # W₂ of 4000 samples of N(1.5, 1) from it is below .06 with probability above 99.9% (2000 trials: .052)
    for bridge in (schrodinger_bridge(*LINE, 0.1), schrodinger_bridge(*on_line(200), 0.1)):
        times, paths = bridge.simulate(4000, n_steps=200, seed=1)
        assert paths.shape == (201, 4000, 1)
        assert times[-1] == 1.0
        assert float(wasserstein(Particles(paths[-1]), LINE[1])) < 0.06
        assert float(wasserstein(Particles(paths[80]), bridge.marginal(0.4))) < 0.06


@pytest.mark.slow
def test_a_density_that_splits():
    grid = Grid.uniform(-3.0, 3.0, 240)
    mu, nu = Density.uniform(grid, -1.0, 0.0), Density.mixture(grid, [-1.8, 1.5], [0.2, 0.3])
    bridge = schrodinger_bridge(Density(grid, 3.0 * mu.values), Density(grid, 3.0 * nu.values), 0.01)
    assert bridge.dynamic_cost() == pytest.approx(bridge.cost, rel=1e-3)
    assert bridge.marginal(0.3).mass == pytest.approx(3.0, rel=1e-12)
    assert bridge.cost == pytest.approx(3.0 * schrodinger_bridge(mu, nu, 0.01).cost, rel=1e-9)
    assert np.all(np.isfinite(bridge.drift_field(0.0)))


def test_clouds():
    generator = np.random.default_rng(0)
    x = 0.3 * generator.normal(size=(300, 2))
    y = 0.2 * generator.normal(size=(300, 2)) + [2.0, 0.0]
    y[:150, 1] += 1.5
    bridge = schrodinger_bridge(Particles(x), Particles(y), 0.05)
    assert bridge.cost == np.inf
    assert bridge.static_cost == pytest.approx(
        0.5 * sinkhorn(Particles(x), Particles(y), 0.2, debias=False, tolerance=1e-7).cost, rel=1e-6
    )
    # v = 2ε∇log Ψ, and current = v − ε∇log ρ, by differences
    at, t, h = np.array([[0.8, 0.5], [1.2, 0.1]]), 0.5, 1e-5
    slopes = [
        np.stack([(f(at + h * e, t) - f(at - h * e, t)) / (2.0 * h) for e in np.eye(2)], axis=1)
        for f in (bridge.log_psi, bridge.log_psi_hat)
    ]
    assert bridge.drift(at, t) == pytest.approx(0.1 * slopes[0], rel=1e-6)
    assert bridge.current_velocity(at, t) == pytest.approx(0.05 * (slopes[0] - slopes[1]), rel=1e-6)
    # paths and draws of one marginal: 300 against 300 particles of a plane, W₂ of two draws is below .2
    _, paths = bridge.simulate(300, 200, seed=2)
    assert float(wasserstein(Particles(paths[-1]), Particles(y))) < 0.2
    assert float(wasserstein(Particles(paths[100]), bridge.marginal(0.5, n=300, seed=3))) < 0.2


def test_refusals():
    mu, nu = on_line(60)
    bridge = schrodinger_bridge(mu, nu, 0.2)
    with pytest.raises(ValueError, match="epsilon: expected at least h²/4"):
        schrodinger_bridge(mu, nu, 1e-4)
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        schrodinger_bridge(mu, nu, -1.0)
    with pytest.raises(ValueError, match="the same mass"):
        schrodinger_bridge(mu, Density(mu.grid, 2.0 * nu.values), 0.2)
    with pytest.raises(ValueError, match="t: expected a number between 0 and 1"):
        bridge.marginal(1.5)
    with pytest.raises(ValueError, match=r"x: expected points of shape \[n, 1\]"):
        bridge.drift(np.zeros((3, 2)), 0.5)
    with pytest.raises(ValueError, match="live on atoms"):
        schrodinger_bridge(mu.sample(5, 0), nu.sample(5, 1), 0.2).drift(np.zeros((1, 1)), 1.0)
    narrow = Grid.uniform(-0.5, 0.5, 40)
    box = Density.uniform(narrow, -0.5, 0.5)
    with pytest.raises(ValueError, match="take a larger box if mass leaves it"):
        schrodinger_bridge(box, box, 0.5).marginal(0.5)


def test_outside_of_the_box_velocities_are_sums_over_the_cells():
    pair = Gaussian.of([-1.0], 0.7), Gaussian.of([1.0], 1.0)
    grid = Grid.uniform(-4.0, 4.0, 200)
    bridge = schrodinger_bridge(*(m.on(grid) for m in pair), 0.2)
    x = np.array([[4.2], [5.0], [100.0]])
    y, weight = grid.axes[0], np.exp(bridge.log_psi(1.0))
    for place, found in zip(x[:, 0], bridge.drift(x, 0.4)[:, 0], strict=True):
        seen = weight * np.exp(((place - 4.0) ** 2 - (place - y) ** 2) / (4.0 * 0.2 * 0.6))
        assert found == pytest.approx((seen @ y / seen.sum() - place) / 0.6, rel=1e-9)
    near = bridge.drift(np.array([[3.999], [4.001]]), 0.4)
    assert near[0] == pytest.approx(near[1], abs=0.1)
    near = bridge.current_velocity(np.array([[3.999], [4.001]]), 0.4)
    assert near[0] == pytest.approx(near[1], abs=0.1)
    with pytest.raises(ValueError, match="x: expected points in the box at t = 0 and 1"):
        bridge.drift(x, 1.0)
    plane = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (24, 24))
    flat = schrodinger_bridge(Density.gaussian(plane, std=1.0), Density.gaussian(plane, std=0.8), 0.2)
    assert np.all(flat.drift(np.array([[0.0, 5.0], [0.0, 0.0]]), 0.5)[0] @ [0.0, 1.0] < -1.0)


def test_the_error_of_the_dynamic_cost_has_the_fields_in_it():
    grid = Grid.uniform(-2.0, 2.0, 60)
    spread = Density.uniform(grid, lower=-1.0, upper=0.0)
    cell = Density(grid, np.eye(60)[45]).normalized()
    bridge = schrodinger_bridge(spread, cell, 0.1)
    found = bridge.dynamic_cost(tolerance=1e-2)
    assert 0.0 < abs(found - bridge.cost) <= found.error < 0.2 * bridge.cost
