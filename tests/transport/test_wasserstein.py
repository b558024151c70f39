"""W2 between every pair of kinds of measure, against closed forms and a linear programme."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport.distances.mixture_path import mixture_path_bound

LINE = Grid.uniform(-6.0, 6.0, 1000)
PLANE = Grid.uniform((-5.0, -5.0), (5.0, 5.0), (48, 48))


def normal(mean, std):
    return Gaussian.of(mean, std)


def spd(generator, d):
    root = generator.standard_normal((d, d))
    return root @ root.T + 0.1 * np.eye(d)


def test_on_the_line_between_gaussians_as_densities_and_as_themselves():
    exact = np.hypot(1.5, 0.3)
    mu, nu = Density.gaussian(LINE, 1.0, 0.5), Density.gaussian(LINE, -0.5, 0.8)
    assert wasserstein(mu, nu) == pytest.approx(exact, abs=5e-6)
    assert wasserstein(mu, normal(-0.5, 0.8)) == pytest.approx(exact, abs=1e-5)
    assert wasserstein(normal(1.0, 0.5), normal(-0.5, 0.8)) == pytest.approx(exact, abs=1e-14)


def test_on_the_line_uniform_densities_are_exact():
    grid = Grid.uniform(0.0, 4.0, 40)
    mu, nu = Density.uniform(grid, 0.0, 1.0), Density.uniform(grid, 1.0, 3.0)
    assert wasserstein(mu, nu) == pytest.approx(np.sqrt(7.0 / 3.0), rel=1e-13)


def test_on_the_line_weighted_particles_against_a_density():
    grid = Grid.uniform(0.0, 1.0, 10)
    half = Particles(np.array([[0.0], [1.0]]), np.array([0.25, 0.75]))
    assert wasserstein(Density.uniform(grid), half) == pytest.approx(
        np.sqrt(0.25**3 / 3.0 + 0.75**3 / 3.0), rel=1e-12
    )


def test_particles_on_the_line_agree_with_a_linear_programme():
    from scipy.optimize import linprog

    generator = np.random.default_rng(3)
    x, y = generator.standard_normal((7, 1)), generator.standard_normal((5, 1))
    a, b = generator.dirichlet(np.ones(7)), generator.dirichlet(np.ones(5))
    equalities = np.vstack([np.kron(np.eye(7), np.ones(5)), np.kron(np.ones(7), np.eye(5))])
    plan = linprog(((x - y.T) ** 2).ravel(), A_eq=equalities, b_eq=np.concatenate([a, b]))
    assert wasserstein(Particles(x, a), Particles(y, b)) == pytest.approx(np.sqrt(plan.fun), rel=1e-9)


@pytest.mark.parametrize("d", [2, 3])
def test_clouds_agree_with_an_assignment(d):
    from scipy.optimize import linear_sum_assignment

    generator = np.random.default_rng(4)
    x, y = generator.standard_normal((60, d)), generator.standard_normal((60, d)) + 100.0
    cost = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
    rows, columns = linear_sum_assignment(cost)
    exact = np.sqrt(cost[rows, columns].mean())
    assert wasserstein(Particles(x), Particles(y)) == pytest.approx(exact, rel=1e-12)


def test_translating_a_cloud_moves_it_by_exactly_that():
    cloud = np.random.default_rng(0).standard_normal((200, 3))
    shift = np.array([1e-3, 2.0, -3.0])
    assert wasserstein(Particles(cloud), Particles(cloud + shift)) == pytest.approx(np.linalg.norm(shift))


def test_bures_commuting_scaled_and_degenerate_cases():
    generator = np.random.default_rng(1)
    for d in (1, 2, 5, 20):
        s = spd(generator, d)
        mean = generator.standard_normal(d)
        root = np.sqrt(np.linalg.eigvalsh(s))
        mu, nu = Gaussian(mean, s), Gaussian(mean, 4.0 * s)
        assert wasserstein(mu, mu) == pytest.approx(0.0, abs=1e-12)
        assert wasserstein(mu, nu) == pytest.approx(np.linalg.norm(root), rel=1e-12)
    # a rotation of a 2D ellipse, against the formula for 2 x 2 matrices
    a, b = np.array([[2.0, 0.7], [0.7, 0.5]]), np.array([[0.4, -0.3], [-0.3, 1.9]])
    cross = np.sqrt(np.trace(a @ b) + 2.0 * np.sqrt(np.linalg.det(a @ b)))
    exact = np.sqrt(np.trace(a) + np.trace(b) - 2.0 * cross)
    assert wasserstein(Gaussian(np.zeros(2), a), Gaussian(np.zeros(2), b)) == pytest.approx(exact, rel=1e-12)


def test_densities_in_the_plane_near_and_far():
    grid = Grid.uniform((-7.0, -7.0), (7.0, 7.0), (56, 56))
    mu = Density.gaussian(grid, mean=(0.0, 0.0), std=0.7)
    for shift in (1e-4, 0.003, 0.05, 0.4, 1.5):
        nu = Density.gaussian(grid, mean=(shift, 0.0), std=0.7 + 0.3 * shift)
        exact = np.hypot(shift, np.sqrt(2.0) * 0.3 * shift)
        found = wasserstein(mu, nu)
        assert found.method == "back-and-forth"
        assert found == pytest.approx(exact, rel=4e-4)


def test_the_path_of_mixtures_bounds_from_above_and_is_sharp_for_close_densities():
    grid = Grid.uniform(-5.0, 5.0, 400)
    mu = Density.gaussian(grid, 0.0, 1.0)
    ratios = []
    for shift in (0.02, 0.2, 1.0):
        nu = Density.gaussian(grid, shift, 1.0)
        ratios.append(mixture_path_bound(mu, nu) / shift)
    assert ratios[0] == pytest.approx(1.0, abs=2e-3)
    assert ratios[0] < ratios[1] < ratios[2]
    apart = Density(grid, Density.uniform(grid, -3.0, -2.0).values)
    assert mixture_path_bound(apart, Density.uniform(grid, 2.0, 3.0)) == np.inf


@pytest.mark.slow
def test_density_to_cloud_and_gaussian_in_the_plane():
    mu = Density.gaussian(PLANE, mean=(0.5, 0.0), std=0.7)
    far = Gaussian(np.array([-1.5, 0.0]), np.eye(2))
    exact = np.hypot(2.0, np.sqrt(2.0) * 0.3)
    cloud = far.sample(1500, seed=2)
    assert wasserstein(mu, cloud) == pytest.approx(exact, rel=0.04)
    assert wasserstein(mu, far) == pytest.approx(exact, rel=2e-4)
    assert wasserstein(far, mu) == pytest.approx(exact, rel=2e-4)


def test_it_is_a_metric_on_the_line():
    generator = np.random.default_rng(8)
    grid = Grid.uniform(0.0, 1.0, 30)
    for _ in range(50):
        a, b, c = (Density(grid, generator.random(30) ** 4).normalized() for _ in range(3))
        assert wasserstein(a, b) == pytest.approx(wasserstein(b, a), rel=1e-12)
        assert wasserstein(a, c) <= wasserstein(a, b) + wasserstein(b, c) + 1e-12
        assert wasserstein(a, a) == 0.0


def test_mass_other_than_one_scales_the_cost():
    grid = Grid.uniform(0.0, 4.0, 40)
    mu, nu = Density.uniform(grid, 0.0, 1.0), Density.uniform(grid, 2.0, 3.0)
    twice = wasserstein(mu.with_values(2.0 * mu.values), nu.with_values(2.0 * nu.values))
    assert twice == pytest.approx(np.sqrt(2.0) * 2.0, rel=1e-12)


def test_refusals():
    line = Density.gaussian(LINE, 0.0, 1.0)
    with pytest.raises(ValueError, match="same dimension, got 1 and 2"):
        wasserstein(line, Gaussian(np.zeros(2), np.eye(2)))
    with pytest.raises(ValueError, match="same mass"):
        wasserstein(line, line.with_values(2.0 * line.values))
    with pytest.raises(TypeError, match="mu: expected a Density, Particles or a Gaussian"):
        wasserstein(np.zeros(3), line)
    many = Particles(np.zeros((10_000, 2)))
    with pytest.raises(ValueError, match="subsample the clouds"):
        wasserstein(many, many)


def test_the_path_of_mixtures_beside_a_vacuum_does_not_depend_on_how_much_of_it_there_is():
    block = 1.0 + np.random.default_rng(4).random((2, 5, 5))
    bounds = []
    for margin in (1, 3):
        cells = 5 + 2 * margin
        grid = Grid.uniform((0.0, 0.0), (0.1 * cells, 0.1 * cells), cells)
        mu, nu = (Density(grid, np.pad(values, margin)).normalized() for values in block)
        bounds.append(mixture_path_bound(mu, nu))
    assert bounds[0] > 0.0
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-9)
