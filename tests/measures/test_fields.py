"""Fields on grids: gradients, convolutions, cell averages of singular kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from functionals import pointwise
from jko.measures import Density, Grid, fields
from jko.measures.cell_averages import cell_averages
from tests import problems

LOG = fn.Interaction("logarithmic").W


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("W", [fn.Interaction("gaussian", width=0.5).W, fn.Interaction("morse").W])
def test_convolution_is_the_direct_sum(dimension, W):
    cells = {1: (33,), 2: (9, 14), 3: (5, 6, 7)}[dimension]
    grid = Grid.uniform((-1.0,) * dimension, (1.0, 2.0, 1.5)[:dimension], cells)
    masses = np.random.default_rng(0).uniform(size=cells)
    differences = (grid.points[:, None] - grid.points[None]).reshape(-1, dimension)
    direct = pointwise.values(W, differences).reshape(grid.size, -1) @ masses.ravel()
    np.testing.assert_allclose(fields.convolve(grid, W, masses).ravel(), direct, rtol=1e-12)
    slopes = pointwise.gradients(W, differences).reshape(grid.size, grid.size, dimension)
    slopes[np.arange(grid.size), np.arange(grid.size)] = 0.0
    direct = np.einsum("ijd,j->id", slopes, masses.ravel())
    np.testing.assert_allclose(
        fields.convolve_gradient(grid, W, masses).reshape(-1, dimension), direct, atol=1e-11
    )
    with jax.enable_x64(True):
        traced = jax.jit(lambda a: fields.convolve(grid, W, a))(jnp.asarray(masses))
    np.testing.assert_allclose(traced, fields.convolve(grid, W, masses), rtol=1e-12)


def test_the_average_of_the_logarithm_on_the_line():
    h = 0.1
    offsets = h * np.arange(-9, 10)[:, None]
    edges = np.concatenate([offsets[:, 0] - h / 2, [offsets[-1, 0] + h / 2]])
    integral = edges - edges * np.log(np.abs(edges))
    np.testing.assert_allclose(
        cell_averages(LOG, offsets, (h,)), np.diff(integral) / h, rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.1, 0.04)])
def test_the_average_of_the_logarithm_in_the_plane(spacing):
    from scipy.integrate import dblquad

    def quadrature(i, j):
        (a, b), (h, k) = (i * spacing[0], j * spacing[1]), spacing
        halves = [(a - h / 2, a), (a, a + h / 2)], [(b - k / 2, b), (b, b + k / 2)]
        parts = (
            dblquad(lambda y, x: -0.5 * np.log(x * x + y * y), *xs, *ys, epsabs=1e-12)
            for xs in halves[0]
            for ys in halves[1]
        )
        return sum(value for value, _ in parts) / (h * k)

    indices = [(0, 0), (1, 0), (0, 1), (1, 1), (3, 2), (5, 0)]
    found = cell_averages(LOG, np.array(indices) * np.array(spacing), spacing)
    np.testing.assert_allclose(found, [quadrature(*index) for index in indices], rtol=2e-6)


def test_the_average_of_a_riesz_kernel():
    line = cell_averages(fn.Interaction("power", exponent=-0.5, strength=-1.0).W, np.zeros((1, 1)), (0.2,))
    assert line[0] == pytest.approx(8.0 * np.sqrt(0.1) / 0.2, rel=1e-9)
    plane = cell_averages(
        fn.Interaction("power", exponent=-1.0, strength=-1.0).W, np.zeros((1, 2)), (1.0, 1.0)
    )
    assert plane[0] == pytest.approx(4.0 * np.arcsinh(1.0), rel=1e-9)
    with pytest.raises(ValueError, match="not integrable at 0: its energy is infinite on a density"):
        cell_averages(fn.Interaction("power", exponent=-1.0, strength=-1.0).W, np.zeros((1, 1)), (1.0,))


@pytest.mark.parametrize("W", [LOG, fn.Interaction("power", exponent=-0.5, strength=-1.0).W])
def test_convolution_with_a_singular_kernel_is_of_second_order(W):
    """Of ρ = 1 + cos πx on [−1, 1], at three points, by adaptive quadrature."""
    from scipy.integrate import quad

    def kernel(z):
        return -np.log(abs(z)) if W is LOG else 2.0 / np.sqrt(abs(z))

    def exact(x):
        pieces = [(-1.0, x), (x, 1.0)]
        options = {"epsabs": 1e-11, "epsrel": 1e-11, "limit": 200}
        return sum(
            quad(lambda y: kernel(x - y) * (1 + np.cos(np.pi * y)), *piece, **options)[0] for piece in pieces
        )

    errors = []
    for n in (27, 81, 243):
        grid = Grid.uniform(-1.0, 1.0, n)
        masses = (1 + np.cos(np.pi * grid.axes[0])) * grid.cell_volume
        at = [n // 6, n // 2]  # centres that the finer grids share
        points = grid.axes[0][at]
        errors.append(np.abs(fields.convolve(grid, W, masses)[at] - [exact(x) for x in points]).max())
    orders = np.log(np.array(errors[:-1]) / errors[1:]) / np.log(3.0)
    assert orders[-1] == pytest.approx(2.0, abs=0.25)


def test_the_semicircle_is_at_rest_under_quadratic_confinement_and_logarithm():
    F = fn.Interaction("quadratic_logarithmic")
    residuals = []
    for n in (100, 200, 400):
        grid = Grid.uniform(-2.0, 2.0, n)
        edges = np.clip(grid.edges[0], -np.sqrt(2), np.sqrt(2))
        below = (
            0.5
            + edges * np.sqrt(np.maximum(2 - edges**2, 0.0)) / (2 * np.pi)
            + np.arcsin(np.clip(edges / np.sqrt(2), -1.0, 1.0)) / np.pi
        )
        rho = Density(grid, np.diff(below) / grid.cell_volume)
        inner = np.abs(grid.axes[0]) < 0.7
        residuals.append(np.abs(F.wasserstein_gradient(rho)[inner]).max())
    assert residuals[-1] < 2e-4
    assert np.log2(residuals[0] / residuals[-1]) / 2 > 1.5


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_gradients_are_of_second_order_up_to_the_boundary(dimension):
    errors = []
    for n in (8, 16):
        grid = Grid.uniform((0.0,) * dimension, (1.0,) * dimension, (n,) * dimension)
        field = np.exp(grid.centers.sum(axis=-1))
        errors.append(np.abs(fields.gradient(grid, field) - field[..., None]).max() / field.max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.25)


def test_gradients_beside_infinite_cells_are_one_sided():
    grid = Grid.uniform(0.0, 6.0, 6)
    field = np.array([-np.inf, 1.0, 3.0, 6.0, -np.inf, 2.0])
    assert fields.gradient(grid, field)[:, 0].tolist() == [0.0, 2.0, 2.5, 3.0, 0.0, 0.0]
    two = Grid.uniform(0.0, 2.0, 2)
    assert fields.gradient(two, np.array([1.0, 4.0]))[:, 0].tolist() == [3.0, 3.0]


def test_a_singular_kernel_is_recognised():
    singular = [F for F in problems.functionals(1) if isinstance(F, fn.Interaction) and not F.general]
    assert {F for F in singular if fields.is_singular(F.W, 1)} == {
        F for F in singular if problems.singular(F)
    }
