"""Entropic transport against closed forms, against a linear programme, and its certificate."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport import sinkhorn

LINE = Gaussian.of(-1.0, 0.7), Gaussian.of(1.5, 1.0)
TILTED = Gaussian([-0.5, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([0.7, 0.3], [[0.3, -0.1], [-0.1, 0.4]])


def line(cells):
    grid = Grid.uniform(-9.0, 9.0, cells)
    return tuple(m.on(grid) for m in LINE)


def plane(cells):
    grid = Grid.uniform((-5.0, -5.0), (5.0, 5.0), (cells, cells))
    return tuple(m.on(grid) for m in TILTED)


def block(grid, lower, upper):
    return Density.uniform(grid, lower, upper).values


@pytest.mark.parametrize("epsilon", [2.0, 0.2, 0.02])
def test_gaussians_on_the_line_to_eight_digits(epsilon):
    exact = sinkhorn(*LINE, epsilon)
    found = sinkhorn(*line(400), epsilon, tolerance=1e-9)
    assert found.cost == pytest.approx(exact.cost, rel=1e-8)
    assert found.value == pytest.approx(exact.value, rel=1e-8)
    assert found.marginal_error < 1e-9


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_gaussians_in_the_plane(epsilon):
    exact, found = sinkhorn(*TILTED, epsilon), sinkhorn(*plane(64), epsilon, tolerance=1e-6)
    assert found.cost == pytest.approx(exact.cost, rel=2e-6)
    assert found.value == pytest.approx(exact.value, rel=2e-6)


def test_the_divergence_tends_to_the_distance_at_second_order():
    exact = wasserstein(*TILTED) ** 2
    errors = np.array([abs(sinkhorn(*TILTED, e).value - exact) for e in (0.2, 0.1, 0.05)])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 2.0) < 0.1)


def test_stable_at_a_ten_thousandth_of_the_domain():
    mu, nu = plane(96)
    found = sinkhorn(mu, nu, 1e-4 * 10.0**2, tolerance=1e-3)
    assert found.marginal_error < 1e-3
    assert found.value == pytest.approx(wasserstein(*TILTED) ** 2, rel=1e-3)
    assert np.all(np.isfinite(found.potentials))


@pytest.mark.parametrize("epsilon", [1e-2, 5e-4])
def test_masses_that_split_between_empty_cells(epsilon):
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (40, 30))
    mu = Density.uniform(grid, (0.1, 0.1), (0.3, 0.3))
    parts = block(grid, (0.6, 0.1), (0.9, 0.3)) + block(grid, (0.1, 0.7), (0.2, 0.9))
    nu = Density(grid, parts).normalized()
    tight, loose = (sinkhorn(mu, nu, epsilon, tolerance=t) for t in (1e-8, 1e-2))
    assert np.all(np.isfinite(tight.potentials))
    assert np.all(np.isfinite(tight.map))
    assert 0.0 <= tight.gap < 1e-8
    assert tight.cost - loose.cost <= loose.gap + tight.gap  # what a loose answer says of itself
    assert abs(tight.cost - loose.cost) < 1e-2 * tight.cost


def test_the_plan_has_the_marginals_and_the_cost_it_claims():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.2), (10, 12))
    generator = np.random.default_rng(0)
    mu, nu = (Density(grid, 3.0 * generator.random((10, 12))) for _ in range(2))
    nu = Density(grid, nu.values * (mu.mass / nu.mass))
    found = sinkhorn(mu, nu, 0.02, tolerance=1e-5)
    plan = found.plan
    assert plan.sum(axis=1) == pytest.approx(mu.masses, rel=1e-12)
    assert np.abs(plan.sum(axis=0) - nu.masses).sum() / nu.mass == pytest.approx(
        found.marginal_error, rel=1e-6
    )
    points = grid.points
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    assert found.transport_cost == pytest.approx((plan * squares).sum(), rel=1e-10)
    assert found.map.reshape(-1, 2) == pytest.approx(plan @ points / plan.sum(axis=1)[:, None], abs=1e-10)
    relative = plan * mu.mass / np.outer(mu.masses, nu.masses)
    entropic = (plan * squares).sum() + 0.02 * (plan * np.log(relative)).sum()
    assert found.cost == pytest.approx(entropic, abs=2 * found.gap + 1e-12)


def test_clouds_tend_to_the_exact_plan():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(30, 3)), generator.normal(size=(40, 3))
    y[:, 0] += 1.0
    weights = generator.random(30)
    mu, nu = Particles(x, weights / weights.sum()), Particles(y)
    exact = wasserstein(mu, nu) ** 2
    found = sinkhorn(mu, nu, 1e-3, debias=False, tolerance=1e-7)
    assert found.transport_cost == pytest.approx(exact, rel=1e-3)
    assert exact - 1e-6 < found.transport_cost
    assert found.plan.sum(axis=1) == pytest.approx(mu.weights, rel=1e-10)
    far = sinkhorn(mu, Particles(y + 1e4), 1e-3, debias=False, tolerance=1e-7)
    assert far.plan == pytest.approx(found.plan, abs=1e-7)
    pairs = ((x[:, None] - y - 1e4) ** 2).sum(axis=2)
    assert far.cost == pytest.approx((far.plan * pairs).sum(), rel=1e-9)


def test_no_distance_from_itself_and_units():
    mu, nu = plane(32)
    assert sinkhorn(mu, mu, 0.2).value == pytest.approx(0.0, abs=1e-7)
    large = Grid.uniform((-500.0,) * 2, (500.0,) * 2, (32, 32))
    one = sinkhorn(mu, nu, 0.2)
    far = sinkhorn(Density(large, 1e-4 * 2.0 * mu.values), Density(large, 1e-4 * 2.0 * nu.values), 2e3)
    assert far.value == pytest.approx(2e4 * one.value, rel=1e-9)
    assert far.gap == pytest.approx(2e4 * one.gap, rel=1e-3)


def test_a_volume():
    grid = Grid.uniform((-1.5,) * 3, (1.5,) * 3, (24, 22, 20))
    mu, nu = Gaussian([0.2, 0.0, 0.0], 0.04 * np.eye(3)), Gaussian([-0.2, 0.1, 0.0], 0.07 * np.eye(3))
    found = sinkhorn(mu.on(grid), nu.on(grid), 0.05)
    assert found.value == pytest.approx(sinkhorn(mu, nu, 0.05).value, rel=1e-3)


@pytest.mark.parametrize("sizes", [(1, 2), (2, 1), (1, 1)])
def test_clouds_of_one_point_and_of_two(sizes):
    mu, nu = (Particles(np.array([[0.5, 0.1], [0.0, 3.0]])[:n] + n) for n in sizes)
    found = sinkhorn(mu, nu, 0.1)
    assert found.gap == pytest.approx(0.0, abs=1e-12)
    assert found.transport_cost == pytest.approx(wasserstein(mu, nu) ** 2, abs=1e-12)
    assert found.plan.sum() == pytest.approx(1.0)
    alone = wasserstein(Particles(np.zeros((1, 2))), Particles(np.array([[3.0, 4.0]])), method="entropic")
    assert (float(alone), alone.gap, alone.error_bound) == (5.0, 0.0, 0.0)


@pytest.mark.parametrize("epsilon", [None, 0.3])
def test_the_distance_by_entropy_has_admissible_potentials_and_holds_the_exact_one_in_its_bound(epsilon):
    generator = np.random.default_rng(4)
    clouds = tuple(Particles(generator.normal(size=(n, 2)) * s + 0.1 * n) for n, s in ((30, 1.0), (20, 0.5)))
    grid = Grid.uniform((-3.0, -3.0), (3.0, 3.0), (16, 18))
    disks = tuple(
        Density(grid, np.maximum(r - np.sum((grid.centers - m) ** 2, axis=-1), 0.0)).normalized()
        for r, m in ((1.0, [-1.0, 0.0]), (2.0, [0.7, 0.3]))
    )
    for mu, nu in (clouds, disks, TILTED):
        found, exact = wasserstein(mu, nu, method="entropic", epsilon=epsilon), wasserstein(mu, nu)
        assert abs(found - exact) <= found.error_bound
        psi, phi = found.potentials
        if isinstance(mu, Gaussian):
            x, y = generator.standard_normal((2, 50, 2))
            assert np.all(psi(x) + phi(y) <= 0.5 * np.sum((x - y) ** 2, axis=1) + 1e-12)
            continue
        half = 0.5 * np.sum((mu.points[:, None] - nu.points) ** 2, axis=-1)
        assert np.max(psi.reshape(-1, 1) + phi.reshape(1, -1) - half) < 1e-12
        weights = [m.weights if isinstance(m, Particles) else m.masses.ravel() for m in (mu, nu)]
        dual = 2.0 * (weights[0] @ psi.ravel() + weights[1] @ phi.ravel())
        atoms = wasserstein(*(Particles(m.points[w > 0], w[w > 0]) for m, w in zip((mu, nu), weights)))
        assert dual <= atoms**2 + 1e-12 <= dual + found.gap + 2e-12


def test_refusals():
    mu, nu = line(60)
    with pytest.raises(ValueError, match="the same mass"):
        sinkhorn(mu, Density(mu.grid, 2.0 * nu.values), 1.0)
    with pytest.raises(ValueError, match="the same dimension"):
        sinkhorn(mu, TILTED[0], 1.0)
    with pytest.raises(ValueError, match="densities on one grid"):
        sinkhorn(mu, line(61)[1], 1.0)
    with pytest.raises(ValueError, match="measures of one kind"):
        sinkhorn(mu, nu.sample(5, 0), 1.0)
    with pytest.raises(ValueError, match="epsilon: expected a positive number, got 0"):
        sinkhorn(mu, nu, 0.0)
    with pytest.raises(ValueError, match="epsilon: expected a positive number, got nan"):
        sinkhorn(mu, nu, float("nan"))
    with pytest.raises(ValueError, match="epsilon: expected at least h²/20"):
        sinkhorn(mu, nu, 1e-4)
    with pytest.raises(RuntimeError, match="stopped after 2 rounds"):
        sinkhorn(mu, nu, 0.05, tolerance=1e-9, max_iterations=2)
    with pytest.raises(ValueError, match="Gaussians have no cells"):
        _ = sinkhorn(*LINE, 1.0).plan


def test_a_few_points_of_unequal_weight_converge_at_any_temperature_and_budgets_are_kept():
    """Levels of the plan that hardly exchange mass: rounds of Sinkhorn's would need e^{gap/ε} of them."""
    for seed in (8, 39):
        generator = np.random.default_rng(seed)
        x, y = (Particles(generator.normal(size=(5, 2))), generator.normal(size=(7, 2)))
        y = Particles(y, generator.dirichlet(np.ones(7)))
        exact = wasserstein(x, y) ** 2
        for epsilon in (1e-2, 1e-4):
            found = sinkhorn(x, y, epsilon, debias=False, tolerance=1e-9)
            assert found.marginal_error <= 1e-9
            # OT_ε − W₂² lies between 0 and ε times the entropy of the smaller cloud
            assert -1e-9 <= found.cost - exact <= epsilon * np.log(5)
            assert exact - 1e-9 <= found.transport_cost <= found.cost + 1e-9
        with pytest.raises(RuntimeError, match="stopped after 45 rounds"):
            sinkhorn(x, y, 1e-6, tolerance=1e-12, max_iterations=45)
