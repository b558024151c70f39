"""Optimal maps: gradients of convex functions that push one measure to the other."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport import brenier_map, interpolate


def numerical_gradient(u, x, step=1e-5):
    shifts = step * np.eye(x.shape[1])
    return np.stack([(u(x + e) - u(x - e)) / (2.0 * step) for e in shifts], axis=1)


def test_between_gaussians_it_is_affine_symmetric_and_optimal():
    generator = np.random.default_rng(0)
    roots = generator.standard_normal((2, 4, 4))
    mu, nu = (Gaussian(generator.standard_normal(4), r @ r.T + 0.1 * np.eye(4)) for r in roots)
    T = brenier_map(mu, nu)
    assert T.matrix @ mu.covariance() @ T.matrix == pytest.approx(nu.covariance(), abs=1e-11)
    assert np.linalg.eigvalsh(T.matrix).min() > 0.0
    assert T(mu.mean()[None])[0] == pytest.approx(nu.mean(), abs=1e-12)
    shift, change = mu.mean() - nu.mean(), T.matrix - np.eye(4)
    assert shift @ shift + np.trace(change @ mu.covariance() @ change) == pytest.approx(
        wasserstein(mu, nu) ** 2
    )
    x = generator.standard_normal((5, 4))
    assert numerical_gradient(T.potential, x) == pytest.approx(T(x), abs=1e-8)


def test_on_the_line_it_is_the_monotone_rearrangement():
    x = np.linspace(-3.5, -0.5, 101)
    exact = 1.5 + 1.1 / 0.6 * (x + 2.0)
    errors = []
    for cells in (200, 800):
        grid = Grid.uniform(-9.0, 9.0, cells)
        T = brenier_map(Density.gaussian(grid, -2.0, 0.6), Density.gaussian(grid, 1.5, 1.1))
        errors.append(np.abs(T(x)[:, 0] - exact).max())
        assert np.all(np.diff(T(np.linspace(-9.0, 9.0, 1001))[:, 0]) >= 0.0)
        assert numerical_gradient(T.potential, x[:, None]) == pytest.approx(T(x), abs=1e-6)
        assert T.convexity_defect < 1e-12
    assert errors[1] < 3e-4
    assert np.log(errors[0] / errors[1]) / np.log(4.0) > 1.4


def test_on_the_line_the_map_pushes_a_density_to_atoms():
    grid = Grid.uniform(0.0, 1.0, 10)
    atoms = Particles(np.array([[0.0], [1.0]]), np.array([0.25, 0.75]))
    T = brenier_map(Density.uniform(grid), atoms)
    assert T(np.array([0.1, 0.2499, 0.2501, 0.9]))[:, 0] == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-12)
    assert T.potential(np.array([0.0, 0.25, 1.0])) == pytest.approx([0.0, 0.0, 0.75], abs=1e-12)


@pytest.mark.parametrize("dimension", [1, 2])
def test_between_equal_clouds_it_is_the_assignment(dimension):
    from scipy.optimize import linear_sum_assignment

    generator = np.random.default_rng(5)
    x, y = generator.standard_normal((2, 40, dimension))
    T = brenier_map(Particles(x), Particles(y + 3.0))
    _, match = linear_sum_assignment(np.sum((x[:, None] - y[None]) ** 2, axis=-1))
    assert not T.splits
    assert T(x) == pytest.approx(y[match] + 3.0, abs=1e-12)
    assert T.convexity_defect < 1e-12
    # off the cloud: a gradient where u is differentiable
    near = x + 0.01 * generator.standard_normal(x.shape)
    assert np.mean(np.abs(numerical_gradient(T.potential, near, 1e-7) - T(near)).max(axis=1) < 1e-6) > 0.95


def test_between_unequal_clouds_it_is_the_conditional_mean_and_a_subgradient():
    generator = np.random.default_rng(6)
    x, y = generator.standard_normal((30, 2)), generator.standard_normal((17, 2))
    mu, nu = Particles(x), Particles(y, generator.dirichlet(np.ones(17)))
    T = brenier_map(mu, nu)
    assert T.splits
    assert T.convexity_defect < 1e-12
    assert T(x).mean(axis=0) == pytest.approx(nu.mean(), abs=1e-12)
    support = T.potential(x)[:, None] + np.einsum("id,ikd->ik", T(x), x[None] - x[:, None])
    assert np.all(T.potential(x)[None] >= support - 1e-12)


def test_clouds_sampled_from_gaussians_approach_the_affine_map():
    mu, nu = Gaussian([0.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([5.0, 1.0], [[0.3, -0.1], [-0.1, 0.5]])
    x = mu.sample(600, 0)
    found, exact = brenier_map(x, nu.sample(600, 1)), brenier_map(mu, nu)
    assert np.abs(found(x.positions) - exact(x.positions)).mean() < 0.12


def test_a_map_that_is_no_gradient_is_caught():
    from jko.transport.maps.brenier import support_defect

    x = np.random.default_rng(7).standard_normal((20, 2))
    rotated = x @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert support_defect(x, x, 0.5 * np.sum(x**2, axis=1)) < 1e-15
    assert support_defect(x, rotated, 0.5 * np.sum(x**2, axis=1)) > 0.1


def test_refusals():
    grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (16, 16))
    rho = Density.gaussian(grid, std=1.0)
    with pytest.raises(ValueError, match="no map leads from points to a Density"):
        brenier_map(rho.sample(10, 0), rho)
    with pytest.raises(ValueError, match="is found in 1 and 2 dimensions, got 3; sample mu"):
        brenier_map(Gaussian.of([0.0] * 3, 1.0), Particles(np.zeros((1, 3))))
    with pytest.raises(TypeError, match="nu: expected"):
        brenier_map(rho, np.ones(3))
    T = brenier_map(Gaussian.of(0.0, 1.0), Gaussian.of(1.0, 2.0))
    with pytest.raises(ValueError, match="x: expected points"):
        T(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="finite"):
        T(np.array([np.nan]))


TILTED = Gaussian([-1.0, 0.0], [[0.6, 0.3], [0.3, 0.4]]), Gaussian([1.0, 0.0], [[0.5, -0.2], [-0.2, 0.5]])


def test_between_densities_in_the_plane_it_is_the_affine_map_of_gaussians():
    exact, errors = brenier_map(*TILTED), []
    for cells in (64, 128):
        grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells))
        T = brenier_map(*(m.on(grid) for m in TILTED))
        x = TILTED[0].sample(400, 0).positions
        errors.append(np.sqrt(np.mean(np.sum((T(x) - exact(x)) ** 2, axis=1))))
        assert T.convexity_defect < 1e-4
        assert T.least_stretch > 0.0
        assert T.pushforward_error < 0.03 * wasserstein(*TILTED)
        assert numerical_gradient(T.potential, x) == pytest.approx(T(x), abs=1e-6)
    assert errors[1] < 5e-3
    assert np.log2(errors[0] / errors[1]) > 1.0


def test_a_density_pulled_apart_goes_to_both_sides():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (64, 64))
    away = grid.centers - [0.5, 0.5]
    mu = Density(grid, np.maximum(0.04 - np.sum(away**2, axis=-1), 0.0)).normalized()
    halves = [
        np.roll(np.where(side * away[..., 0] > 0.0, mu.values, 0.0), 12 * side, axis=0) for side in (-1, 1)
    ]
    T = brenier_map(mu, Density(grid, sum(halves)))
    x = mu.sample(500, 0).positions
    x = x[np.abs(x[:, 0] - 0.5) > 1.5 / 64]
    exact = x + np.outer(np.sign(x[:, 0] - 0.5), [12 / 64, 0.0])
    assert np.quantile(np.abs(T(x) - exact).max(axis=1), 0.95) < 1.0 / 64
    with pytest.raises(ValueError, match="in the box of mu's grid, got 1 outside"):
        T(np.array([[0.5, 0.5], [1.5, 0.5]]))


def test_a_density_to_points_is_constant_on_power_cells():
    mu, points = Gaussian([0.2, 0.0], np.eye(2)), Particles(np.array([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]]))
    T = brenier_map(mu, points)
    x = mu.sample(20_000, 0).positions
    images = T(x)
    shares = [np.mean(np.all(images == y, axis=1)) for y in points.positions]
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.012)  # 3.5 standard deviations
    assert T.potential(x[:50]) == pytest.approx(
        np.max([T.potential(x[k : k + 1]) + (x[:50] - x[k]) @ images[k] for k in range(300)], axis=0)
    )


@pytest.mark.slow
def test_in_space_too():
    grid = Grid.uniform((-3.0,) * 3, (3.0,) * 3, (20,) * 3)
    mu, nu = Density.gaussian(grid, std=0.6), Density.gaussian(grid, mean=(0.5, 0.0, -0.3), std=0.8)
    T = brenier_map(mu, nu)
    x = Gaussian(np.zeros(3), 0.36 * np.eye(3)).sample(300, 0).positions
    error = T(x) - (np.array([0.5, 0.0, -0.3]) + 0.8 / 0.6 * x)
    assert np.sqrt(np.mean(np.sum(error**2, axis=1))) < 0.05
    middle = interpolate(mu, nu, 0.5)
    exact = Density.gaussian(grid, mean=(0.25, 0.0, -0.15), std=0.7)
    assert np.abs(middle.values - exact.values).sum() * grid.cell_volume < 0.05


def test_equal_points_of_a_cloud_are_one():
    T = brenier_map(Particles(np.zeros((2, 1))), Particles(np.array([[-1.0], [3.0]])))
    assert T.splits
    assert T(np.zeros((1, 1))) == pytest.approx(1.0)
    assert T.images == pytest.approx(np.ones((2, 1)))
    assert not brenier_map(Particles(np.array([[0.5]])), Particles(np.ones((2, 1)))).splits
    points = np.array([[-1.0, 0.0], [1.0, 0.5], [1.0, 0.5], [0.0, 2.0]])
    once = Particles(points[[0, 1, 3]], np.array([0.25, 0.5, 0.25]))
    mu = Density.gaussian(Grid.uniform((-4.0, -4.0), (4.0, 4.0), (24, 24)), std=1.0)
    twice = wasserstein(mu, Particles(points))
    assert twice.method == "semi-discrete"
    assert twice == pytest.approx(wasserstein(mu, once), rel=1e-9)
    assert twice.potentials[1].shape == (4,)
    assert brenier_map(mu, Particles(points))(points) == pytest.approx(brenier_map(mu, once)(points))
