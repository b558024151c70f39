"""Grids, densities, particles, Gaussians: what they are made of, and what they refuse."""

import math

import jax
import numpy as np
import pytest

import functionals as fn
from jko.measures import Density, Gaussian, Grid, Particles
from tests import problems


def test_a_grid():
    grid = Grid.uniform((0.0, -1.0), (2.0, 2.0), (4, 3))
    assert (grid.dimension, grid.size, grid.spacing, grid.cell_volume) == (2, 12, (0.5, 1.0), 0.5)
    assert grid.axes[0].tolist() == [0.25, 0.75, 1.25, 1.75]
    assert grid.edges[1].tolist() == [-1.0, 0.0, 1.0, 2.0]
    assert grid.centers.shape == (4, 3, 2)
    assert grid.centers[1, 2].tolist() == [0.75, 1.5]
    assert grid.points[1 * 3 + 2].tolist() == [0.75, 1.5]
    assert grid == Grid.uniform((0, -1), 2.0, (4, 3))
    assert hash(grid) == hash(Grid.uniform((0, -1), 2.0, (4, 3)))
    assert Grid.uniform(0.0, 1.0, 5) == Grid.uniform([0.0], [1.0], [5])
    assert Grid.uniform((0.0,) * 3, 1.0, 4).cells == (4, 4, 4)
    assert eval(repr(grid)) == grid
    assert repr(Grid.uniform(-6.0, 6.0, 400)) == "Grid.uniform(-6, 6, 400)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (1.0, 0.0, 5),
            ValueError,
            "upper: expected to exceed lower along every axis, got lower=1.0, upper=0.0",
        ),
        ((0.0, 1.0, 1), ValueError, "cells: expected a whole number of at least 2, got 1"),
        ((0.0, 1.0, 2.5), TypeError, "cells: expected a whole number, got 2.5"),
        ((0.0, 1.0, "5"), TypeError, "cells: expected a whole number, got '5'"),
        ((0.0, 1.0, math.inf), TypeError, "cells: expected a whole number, got inf"),
        (
            ((0.0, 0.0), (1.0, 1.0, 1.0), 4),
            ValueError,
            r"expected one number an axis, got lengths \[2, 3, 1\]",
        ),
        (
            ((0.0,) * 4, 1.0, 3),
            ValueError,
            "cells: expected a grid of 1, 2 or 3 dimensions, got 4: use Particles",
        ),
        ((0.0, math.nan, 3), ValueError, "upper: expected finite numbers, got 1 NaN"),
        (("a", 1.0, 3), TypeError, "lower: expected an array of numbers, got str"),
    ],
)
def test_grids_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Grid.uniform(*arguments)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_gaussian_on_a_grid(dimension):
    mu = problems.gaussian(dimension)
    rho = mu.on(problems.grid(dimension, 24))
    assert rho.mass == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(rho.mean(), mu.mean(), atol=1e-6)
    np.testing.assert_allclose(rho.covariance(), mu.covariance(), atol=1e-5)
    with pytest.raises(ValueError, match=r"grid: expected dimension \d, the Gaussian's"):
        mu.on(problems.grid(dimension % 3 + 1))
    with pytest.raises(ValueError, match=r"has no mass on the grid .*: move the grid"):
        Gaussian(np.full(dimension, 90.0), np.eye(dimension)).on(problems.grid(dimension))


def test_constructors():
    grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (60, 50))
    one = Density.gaussian(grid, mean=(1.0, -1.0), std=0.7)
    np.testing.assert_allclose(one.mean(), [1.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(one.covariance(), 0.49 * np.eye(2), atol=1e-8)
    assert np.array_equal(Density.gaussian(grid, (1.0, -1.0), covariance=0.49).values, one.values)
    wide = Density.gaussian(grid, 0.0, (0.5, 1.0))
    np.testing.assert_allclose(wide.covariance(), np.diag([0.25, 1.0]), atol=1e-6)
    two = Density.mixture(grid, [(-2.0, 0.0), (2.0, 1.0)], 0.5, weights=[1.0, 3.0])
    np.testing.assert_allclose(two.mean(), [1.0, 0.75], atol=1e-9)
    assert two.mass == pytest.approx(1.0, abs=1e-14)
    own = Density.from_function(grid, lambda x: jax.numpy.exp(-0.5 * jax.numpy.sum((x - 1.0) ** 2)))
    np.testing.assert_allclose(own.mean(), [1.0, 1.0], atol=3e-6)
    assert own.values.dtype == np.float64
    assert own.values.flags.writeable


def test_a_uniform_box_is_cut_exactly():
    grid = Grid.uniform((0.0, 0.0), (4.0, 3.0), (8, 7))
    rho = Density.uniform(grid, (0.3, 0.1), (2.9, 1.7))
    assert rho.mass == pytest.approx(1.0, abs=1e-15)
    assert rho.values.max() == pytest.approx(1.0 / (2.6 * 1.6), rel=1e-14)
    x, y = (
        np.clip(np.minimum(e[1:], hi) - np.maximum(e[:-1], lo), 0, None)
        for e, lo, hi in zip(grid.edges, (0.3, 0.1), (2.9, 1.7))
    )
    np.testing.assert_allclose(rho.masses, (x[:, None] * y).ravel() / (2.6 * 1.6), atol=1e-15)
    assert np.ptp(Density.uniform(grid).values) < 1e-15
    with pytest.raises(ValueError, match=r"the box from 5.0 to 6.0 does not meet the grid"):
        Density.uniform(grid, 5.0, 6.0)


def test_an_image_is_upright():
    image = np.zeros((3, 5))
    image[0, 4] = 1.0  # the upper right corner
    rho = Density.from_image(image)
    assert rho.grid == Grid.uniform((0.0, 0.0), (1.0, 0.6), (5, 3))
    np.testing.assert_allclose(rho.mean(), [0.9, 0.5], rtol=1e-14)
    assert Density.from_image(image, lower=-1.0, upper=(1.0, 2.0)).grid.upper == (1.0, 2.0)
    for bad, message in (
        (np.zeros((2, 2, 3)), "expected an array \\[rows, columns\\]"),
        (np.zeros((3, 3)), "positive mass"),
    ):
        with pytest.raises(ValueError, match=message):
            Density.from_image(bad)


def test_samples_have_the_law():
    """Means, covariances and cell counts within 4 standard errors, and a seed means the same numbers."""
    rho, n = problems.density(2), 40_000
    x = rho.sample(n, seed=3).positions
    centred = x - rho.mean()
    cell = np.diag(
        np.array(rho.grid.spacing) ** 2 / 12.0
    )  # the spread within a cell, which midpoint sums leave out
    assert np.all(np.abs(x.mean(axis=0) - rho.mean()) < 4 * x.std(axis=0) / np.sqrt(n))
    products = centred[:, :, None] * centred[:, None, :]
    spread = np.abs(products.mean(axis=0) - rho.covariance() - cell)
    assert np.all(spread < 4 * products.std(axis=0) / np.sqrt(n))
    counts = Density.histogram(Particles(x), rho.grid).masses * n
    expected = rho.masses * n
    chi_squared = np.sum((counts - expected)[expected > 5] ** 2 / expected[expected > 5])
    cells = np.sum(expected > 5)
    assert abs(chi_squared - cells) < 4 * np.sqrt(2 * cells)
    assert np.array_equal(rho.sample(10, seed=3).positions, rho.sample(10, seed=3).positions)
    assert not np.array_equal(rho.sample(10, seed=3).positions, rho.sample(10, seed=4).positions)
    empty = problems.density_with_vacuum()
    assert np.abs(empty.sample(1000, seed=0).positions).max() < 1.5


def test_samples_of_a_gaussian():
    mu, n = problems.gaussian(3), 20_000
    x = mu.sample(n, seed=0).positions
    assert np.all(np.abs(x.mean(axis=0) - mu.mean()) < 4 * np.sqrt(np.diag(mu.covariance()) / n))
    error = np.sqrt((np.outer(np.diag(mu.covariance()), np.diag(mu.covariance())) + mu.covariance() ** 2) / n)
    assert np.all(np.abs(np.cov(x.T) - mu.covariance()) < 4 * error)
    with pytest.raises(TypeError, match=r"n: expected a whole number, got 2.5"):
        mu.sample(2.5, seed=0)


def test_histograms_and_kernel_estimates_keep_the_mass():
    cloud = problems.particles(2, n=500, weighted=True)
    grid = problems.grid(2, 40)
    counted, smooth = Density.histogram(cloud, grid), Density.kernel_estimate(cloud, grid)
    assert counted.mass == pytest.approx(1.0, abs=1e-14)
    assert smooth.mass == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(counted.mean(), cloud.mean(), atol=max(grid.spacing) / 2)
    np.testing.assert_allclose(smooth.mean(), cloud.mean(), atol=0.02)
    near_the_wall = Particles(np.array([[-3.95, 0.0], [3.95, 3.9]]))
    walled = Density.kernel_estimate(near_the_wall, grid, bandwidth=0.5)
    assert walled.mass == pytest.approx(1.0, abs=1e-12)
    far = Particles(np.array([[0.0, 0.0], [5.0, 0.0]]))
    for make in (Density.histogram, Density.kernel_estimate):
        with pytest.raises(
            ValueError,
            match=r"particles: 1 of 2 lie outside the grid; they reach from .* to \[5.0, 0.0\]: widen",
        ):
            make(far, grid)
        with pytest.raises(ValueError, match="particles: expected dimension 2, the grid's, got 1"):
            make(problems.particles(1), grid)
    with pytest.raises(ValueError, match="bandwidth: expected a positive number, got -1"):
        Density.kernel_estimate(cloud, grid, bandwidth=-1.0)


def test_a_kernel_estimate_nears_the_law():
    """Root mean square error of a few per cent of the peak at n = 20 000, and smaller than at n = 1000."""
    rho = problems.gaussian(1).on(problems.grid(1, 200))
    errors = [
        np.abs(Density.kernel_estimate(rho.sample(n, seed=1), rho.grid).values - rho.values).max()
        for n in (1000, 20_000)
    ]
    assert errors[1] < min(0.5 * errors[0], 0.05 * rho.values.max())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), "expected a density of positive mass, got 0 everywhere"),
        (np.ones(4), r"expected shape \(5,\), the grid's cells, got \(4,\)"),
        (
            np.array([1.0, -1e-3, 1, 1, -2.0]),
            "expected a density of at least 0, got 2 negative cells, the least -2",
        ),
        (np.array([1.0, np.nan, 1, 1, 1]), "expected finite numbers, got 1 NaN or infinite of 5"),
    ],
)
def test_densities_that_are_refused(values, message):
    with pytest.raises(ValueError, match=f"values: {message}"):
        Density(Grid.uniform(0.0, 1.0, 5), values)


def test_other_densities_that_are_refused():
    grid = Grid.uniform(0.0, 1.0, 5)
    with pytest.raises(TypeError, match=r"grid: expected a Grid, got tuple: make one with Grid.uniform"):
        Density((0, 1, 5), np.ones(5))
    with pytest.raises(ValueError, match="a Gaussian needs either std or covariance"):
        Density.gaussian(grid, 0.5)
    with pytest.raises(ValueError, match="std: expected a positive number, got 0"):
        Density.gaussian(grid, 0.5, 0.0)
    with pytest.raises(ValueError, match="mean: expected 1 numbers, got 2"):
        Density.gaussian(grid, (0.5, 0.5), 0.1)
    with pytest.raises(ValueError, match="weights: expected 2 numbers of at least 0"):
        Density.mixture(grid, [0.3, 0.6], 0.1, weights=[1.0, -1.0])


def test_particles():
    cloud = Particles([[0.0, 1.0], [2.0, 3.0]], [0.25, 0.75])
    assert (cloud.n, cloud.dimension, cloud.mass) == (2, 2, 1.0)
    assert cloud.mean().tolist() == [1.5, 2.5]
    np.testing.assert_allclose(cloud.covariance(), np.full((2, 2), 0.75))
    assert Particles([1.0, 2.0, 3.0]).positions.shape == (3, 1)
    assert Particles(np.ones((3, 1), np.float32)).weights.dtype == np.float32
    assert Particles(np.ones((3, 1), np.int64)).positions.dtype == np.float64
    moved = cloud.with_positions(cloud.positions + 1.0)
    assert moved.weights.tolist() == cloud.weights.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.zeros((0, 2)),),
            r"positions: expected an array \[n, d\] of at least one particle, got shape \(0, 2\)",
        ),
        ((np.zeros((2, 2, 2)),), r"positions: expected an array \[n, d\]"),
        (([[np.inf, 0.0]],), "positions: expected finite numbers"),
        (([[0.0], [1.0]], [0.5, 0.4]), "weights: expected to sum to 1, got 0.9: divide them by their sum"),
        (
            ([[0.0], [1.0]], [1.0, 0.0]),
            "weights: expected positive numbers, got 0 at the least: drop those particles",
        ),
        (([[0.0], [1.0]], [1.0]), r"weights: expected 2, one a particle, got shape \(1,\)"),
        (([[0.0], [1.0]], [np.nan, 1.0]), "weights: expected finite numbers"),
    ],
)
def test_particles_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Particles(*arguments)


def test_a_subsample():
    weighted = Particles(np.arange(3.0), [0.98, 0.01, 0.01])
    drawn = weighted.subsample(500, seed=0)
    assert drawn.n == 500
    assert np.array_equal(np.bincount(drawn.positions[:, 0].astype(int)), [490, 5, 5])
    found = [weighted.subsample(30, seed=k).positions.mean() for k in range(400)]
    assert abs(np.mean(found) - 0.03) < 4.0 * np.std(found) / 20.0
    # nearly equal weights: half of the particles, none of them twice
    weights = 1.0 + 1e-3 * np.random.default_rng(0).uniform(size=1000)
    spread = Particles(np.arange(1000.0), weights / weights.sum())
    assert len(np.unique(spread.subsample(500, seed=0).positions)) == 500
    equal = problems.particles(1, n=50)
    assert equal.subsample(80, seed=0) is equal
    assert len(np.unique(equal.subsample(20, seed=0).positions)) == 20


def test_particles_from_csv(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("x,y,mass\n1,2,9\n3,4,9\n")
    assert Particles.from_csv(path).positions.tolist() == [[1.0, 2.0, 9.0], [3.0, 4.0, 9.0]]
    assert Particles.from_csv(path, columns=(0, 1)).positions.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    path.write_text("1.5\n2.5\n")
    assert Particles.from_csv(path).positions.tolist() == [[1.5], [2.5]]
    for text, message in (
        ("x,y\n1,2\n\n3,oops\n", "points.csv.*line 4, column 1 holds 'oops'"),
        ("1,2\n3,4,5\n", "points.csv.*line 2 has 3 entries, those before have 2"),
        ("x,y\n1,2\n\n3,nan\n", "points.csv.*expected finite numbers, got nan in line 4, column 1"),
        ("", "points.csv.*no numbers"),
        ("x,y\n", "points.csv.*no numbers"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"(?s){message}"):
            Particles.from_csv(path)
    with pytest.raises(ValueError, match=r"no file .*missing.csv"):
        Particles.from_csv(tmp_path / "missing.csv")
    path.write_text("1,2\n")
    with pytest.raises(ValueError, match="columns"):
        Particles.from_csv(path, columns=(0, 5))
    path.write_text("1,2\n# a remark\n3,nan\n")
    assert Particles.from_csv(path, columns=0).positions.tolist() == [[1.0], [3.0]]
    with pytest.raises(ValueError, match="line 3, column 1"):
        Particles.from_csv(path, columns=1)


def test_a_gaussian():
    mu = Gaussian([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    assert mu.mean().tolist() == [1.0, 2.0]
    assert Gaussian(0.5, 2.0).covariance().tolist() == [[2.0]]
    assert Gaussian.of(0.0, 2.0, dimension=3).covariance().tolist() == (4.0 * np.eye(3)).tolist()
    x = np.random.default_rng(0).normal(size=(5, 2))
    z = x - mu.mean()
    exponent = -0.5 * np.einsum("ni,ij,nj->n", z, np.linalg.inv(mu.covariance()), z)
    exact = exponent - np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(mu.covariance()))
    np.testing.assert_allclose(mu.log_density(x), exact, rtol=1e-13)
    for bad in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.3], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="covariance: expected a symmetric positive definite matrix"):
            Gaussian([0.0, 0.0], bad)
    with pytest.raises(ValueError, match=r"covariance: expected shape \(1, 1\) to match the mean"):
        Gaussian([0.0], np.eye(2))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_gaussian_integrals_are_exact(dimension):
    covariance = 0.5 * np.eye(dimension) + 0.1
    mu = Gaussian(np.full(dimension, 0.3), covariance)
    potential = fn.Potential("quadratic", stiffness=2.0, center=0.1)
    assert potential(mu) == pytest.approx(np.trace(covariance) + dimension * 0.04, rel=1e-12)
    assert fn.Interaction("quadratic")(mu) == pytest.approx(0.5 * np.trace(covariance), rel=1e-12)
    entropy = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert fn.Entropy()(mu) == pytest.approx(entropy, rel=1e-12)
    square = 1.0 / np.sqrt(np.linalg.det(4 * np.pi * covariance))
    assert fn.Power(2)(mu) == pytest.approx(square, rel=1e-12)
    if dimension == 5:
        with pytest.raises(ValueError, match="integrates quadratic functions only: sample it"):
            fn.Potential(problems.bump)(mu)
    else:
        own = fn.InternalEnergy(lambda s: s**2)
        assert own(mu) == pytest.approx(square, rel=1e-10)
    absolute = fn.Potential(lambda x: jax.numpy.abs(x[0] - 0.3))
    if dimension == 1:
        assert absolute(mu) == pytest.approx(np.sqrt(2 * 0.6 / np.pi), rel=1e-2)


def test_a_singular_kernel_on_a_gaussian_is_refused():
    for ask in ("__call__", "first_variation", "wasserstein_gradient"):
        with pytest.raises(
            ValueError, match="infinite at 0 is not integrated on a Gaussian: use a Density or Particles"
        ):
            getattr(fn.Interaction("logarithmic"), ask)(problems.gaussian(1))


def test_a_log_density_between_the_cells():
    rho = problems.gaussian(1).on(problems.grid(1, 80))
    x = np.linspace(-1.0, 1.0, 37)[:, None]
    np.testing.assert_allclose(rho.log_density(x), problems.gaussian(1).log_density(x), atol=1e-5)


def test_the_caller_may_write_to_his_buffers_afterwards():
    """A buffer that is used again does not make measures one; what nobody can write to is not copied."""
    grid, buffer, points = Grid.uniform(0.0, 1.0, 4), np.ones(4), np.zeros((3, 2))
    weights, mean = np.full(3, 1.0 / 3.0), np.zeros(2)
    rho, cloud, normal = Density(grid, buffer), Particles(points, weights), Gaussian(mean, np.eye(2))
    moved = cloud.with_positions(points)
    for array in (buffer, points, weights, mean):
        array += 1.0
    assert rho.values.tolist() == [1.0] * 4
    assert cloud.positions.tolist() == moved.positions.tolist() == [[0.0, 0.0]] * 3
    assert cloud.weights.tolist() == [1.0 / 3.0] * 3
    assert normal.mean().tolist() == [0.0, 0.0]
    view = buffer.view()
    view.flags.writeable = False
    shown = Density(grid, view)
    buffer += 1.0
    assert shown.values.tolist() == [2.0] * 4
    frozen = np.zeros((3, 2))
    frozen.flags.writeable = False
    assert Particles(frozen).positions is frozen


def test_masked_entries_are_refused():
    masked = np.ma.masked_array(np.ones(4), mask=[False, True, False, False])
    with pytest.raises(ValueError, match=r"values: 1 of 4 entries are masked.*filled"):
        Density(Grid.uniform(0.0, 1.0, 4), masked)
    with pytest.raises(ValueError, match="positions: 1 of 4 entries are masked"):
        Particles(masked)
    whole = np.ma.masked_array(np.ones(4), mask=False)
    assert Density(Grid.uniform(0.0, 1.0, 4), whole).mass == 1.0
