"""Envelope, proximal map, conjugate and inf-convolution: formulas, and the identities that bind them."""

import jax.numpy as jnp
import numpy as np
import pytest

from functionals import pointwise
from jko import Grid
from jko.measures.fields import gradient
from jko.transport import conjugate, inf_convolution, moreau_envelope, prox

S = 0.4


def wavy(x):
    return 0.5 * x[0] ** 2 + 0.3 * x[0] * x[1] + x[1] ** 2 + 0.2 * jnp.sin(2.0 * x[0])


def quartic(x):
    return 0.25 * x[0] ** 4 - 0.25 * x[0] ** 2


def inside(grid):
    return np.abs(grid.centers).max(axis=-1) < 1.2


def orders(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


def test_the_gradient_of_the_envelope_is_the_residual_of_the_prox():
    cases = ((quartic, (-2.0,), (2.0,), (101, 201, 401)), (wavy, (-2.0, -2.0), (2.0, 2.0), (50, 100, 200)))
    for f, lower, upper, resolutions in cases:
        errors = []
        for n in resolutions:
            grid = Grid.uniform(lower, upper, (n,) * len(lower))
            residual = (grid.centers - prox(f, S, grid)) / S
            errors.append(np.abs(gradient(grid, moreau_envelope(f, S, grid)) - residual)[inside(grid)].max())
        assert np.all(orders(errors) > 1.8)
        assert errors[-1] < 1e-4


def test_the_prox_solves_its_equation_and_attains_the_envelope():
    errors = []
    for n in (100, 200, 400):
        grid = Grid.uniform(-2.0, 2.0, n)
        y = prox(quartic, S, grid)
        errors.append(np.abs(y + S * (y**3 - 0.5 * y) - grid.centers)[inside(grid)].max())
    assert np.all(orders(errors) > 1.8)
    plane = Grid.uniform((-2.0, -2.0), (2.0, 2.0), (200, 200))
    y = prox(wavy, S, plane)
    attained = np.sum((plane.centers - y) ** 2, axis=-1) / (2.0 * S)
    attained += pointwise.values(wavy, y.reshape(-1, 2)).reshape(plane.cells)
    assert np.abs(attained - moreau_envelope(wavy, S, plane))[inside(plane)].max() < 2e-7


def test_the_absolute_value_has_the_huber_envelope_and_the_soft_threshold():
    for n in (61, 601):
        grid = Grid.uniform(-3.0, 3.0, n)
        x, h = grid.axes[0], grid.spacing[0]
        huber = np.where(np.abs(x) < 0.5, x**2, np.abs(x) - 0.25)
        threshold = np.sign(x) * np.maximum(np.abs(x) - 0.5, 0.0)
        assert np.abs(moreau_envelope(np.abs(x), 0.5, grid) - huber).max() < h**2 / (8.0 * 0.5)
        assert np.abs(prox(np.abs(x), 0.5, grid)[:, 0] - threshold).max() < h


def test_the_envelope_of_an_indicator_is_the_squared_distance_and_its_prox_the_projection():
    grid = Grid.uniform((-2.0, -2.0), (2.0, 2.0), (81, 81))
    box = np.where(np.abs(grid.centers).max(axis=-1) < 1.0, 0.0, np.inf)
    edge = grid.axes[0][np.abs(grid.axes[0]) < 1.0].max()
    nearest = np.clip(grid.centers, -edge, edge)
    assert prox(box, S, grid) == pytest.approx(nearest, abs=1e-12)
    squared = np.sum((grid.centers - nearest) ** 2, axis=-1) / (2.0 * S)
    assert moreau_envelope(box, S, grid) == pytest.approx(squared, abs=1e-12)


def test_the_envelope_rises_to_the_function_at_the_rate_of_s():
    grid = Grid.uniform(-2.0, 2.0, 4001)
    f = 0.5 * grid.axes[0] ** 2
    gaps = []
    for s in (0.1, 0.05, 0.025):
        envelope = moreau_envelope(f, s, grid)
        assert np.all(envelope <= f + 1e-12)
        assert envelope == pytest.approx(f / (1.0 + s), abs=1e-9)
        gaps.append(np.abs(f - envelope).max())
    assert orders(gaps) == pytest.approx(1.0, abs=0.1)


def test_the_conjugate_of_the_envelope_gains_half_s_squared_slope():
    slopes = Grid.uniform((-1.0, -1.0), (1.0, 1.0), (40, 30))
    errors = []
    for n in (100, 200):
        grid = Grid.uniform((-2.0, -2.0), (2.0, 2.0), (n, n))
        difference = conjugate(moreau_envelope(wavy, S, grid), grid, slopes) - conjugate(wavy, grid, slopes)
        errors.append(np.abs(difference - 0.5 * S * np.sum(slopes.centers**2, axis=-1)).max())
    assert errors[1] < 5e-7
    assert errors[1] < 0.3 * errors[0]


def test_conjugates_known_in_closed_form():
    slopes = Grid.uniform(-0.95, 0.95, 57)
    p = slopes.axes[0]
    grid = Grid.uniform(-3.0, 3.0, 400)
    assert conjugate(lambda x: 0.5 * x[0] ** 2, grid, slopes) == pytest.approx(0.5 * p**2, abs=1e-10)
    cosh = conjugate(lambda x: jnp.cosh(x[0]), grid, slopes)
    assert cosh == pytest.approx(p * np.arcsinh(p) - np.sqrt(1.0 + p**2), abs=1e-7)
    matrix = np.array([[1.0, 0.3], [0.3, 0.8]])
    plane = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (150, 160))
    square = Grid.uniform((-1.0, -1.0), (1.0, 1.0), (11, 12))
    exact = 0.5 * np.einsum("...i,ij,...j->...", square.centers, np.linalg.inv(matrix), square.centers)
    found = conjugate(
        0.5 * np.einsum("...i,ij,...j->...", plane.centers, matrix, plane.centers), plane, square
    )
    assert found == pytest.approx(exact, abs=1e-8)


def test_twice_conjugate_is_the_convex_hull():
    grid, slopes = Grid.uniform(-2.0, 2.0, 800), Grid.uniform(-6.0, 6.0, 2401)
    well = (grid.axes[0] ** 2 - 1.0) ** 2
    hull = np.where(np.abs(grid.axes[0]) < 1.0, 0.0, well)
    middle = np.abs(grid.axes[0]) < 1.4  # steeper than 6 beyond: those slopes are not on the grid
    twice = conjugate(conjugate(well, grid, slopes), slopes, grid)
    assert np.abs(twice - hull)[middle].max() < 1e-4


def test_the_conjugate_of_an_inf_convolution_is_the_sum_of_conjugates():
    grid = Grid.uniform(-3.0, 3.0, 61)
    other = Grid.uniform(-1.0, -1.0 + 30 * grid.spacing[0], 30)
    slopes = Grid.uniform(-0.9, 0.9, 20)
    f, g = np.abs(grid.axes[0]) + 0.3 * np.sin(5.0 * grid.axes[0]), 0.5 * other.axes[0] ** 2
    values, total = inf_convolution(f, g, grid, other)
    assert total.cells == (90,)
    assert total.axes[0][0] == pytest.approx(grid.axes[0][0] + other.axes[0][0])
    plain = [_exact_conjugate(v, m, slopes) for v, m in ((values, total), (f, grid), (g, other))]
    assert plain[0] == pytest.approx(plain[1] + plain[2], abs=1e-12)
    refined = [conjugate(v, m, slopes) for v, m in ((values, total), (f, grid), (g, other))]
    assert refined[0] == pytest.approx(refined[1] + refined[2], abs=3.0 * grid.spacing[0] ** 2)


def _exact_conjugate(values, grid, slopes):
    return np.max(slopes.centers @ grid.points.T - values.ravel(), axis=-1)


def test_the_inf_convolution_with_a_paraboloid_is_the_envelope():
    grid = Grid.uniform((-2.0, -2.0), (2.0, 2.0), (41, 41))
    parabola = np.sum(grid.centers**2, axis=-1) / (2.0 * S)
    values, total = inf_convolution(wavy, parabola, grid)
    middle = values[20:61, 20:61]
    assert total.axes[0][20:61] == pytest.approx(grid.axes[0], abs=1e-12)
    difference = middle - moreau_envelope(wavy, S, grid)
    assert np.all(difference > -1e-6)  # the envelope looks between the cells, too
    assert difference[inside(grid)].max() < 2.0 * grid.spacing[0] ** 2 / (4.0 * S)


def test_refusals():
    grid = Grid.uniform(-1.0, 1.0, 10)
    with pytest.raises(ValueError, match="s: expected a positive number"):
        moreau_envelope(np.zeros(10), -1.0, grid)
    with pytest.raises(ValueError, match="f: expected shape"):
        prox(np.zeros(9), 1.0, grid)
    with pytest.raises(ValueError, match="NaN"):
        conjugate(np.full(10, np.nan), grid)
    with pytest.raises(ValueError, match="finite somewhere"):
        moreau_envelope(np.full(10, np.inf), 1.0, grid)
    with pytest.raises(ValueError, match="spacing"):
        inf_convolution(np.zeros(10), np.zeros(5), grid, Grid.uniform(-1.0, 1.0, 5))
    with pytest.raises(ValueError, match="slopes: expected 1 dimensions"):
        conjugate(np.zeros(10), grid, Grid.uniform((0.0, 0.0), (1.0, 1.0), (3, 3)))
    with pytest.raises(TypeError, match="grid: expected a Grid"):
        moreau_envelope(np.zeros(10), 1.0, 0.1)


def test_small_steps_keep_their_digits_and_kinks_off_the_centres_cost_an_order():
    grid = Grid.uniform(-3.0, 3.0, 100)
    x = grid.axes[0]
    assert moreau_envelope(x**2, 1e-12, grid) == pytest.approx(x**2, abs=1e-10)
    errors = []
    for n in (100, 200, 400):
        grid = Grid.uniform(-3.0, 3.0, n)
        x, h = grid.axes[0], grid.spacing[0]
        huber = np.where(np.abs(x) < 0.5, x**2, np.abs(x) - 0.25)
        errors.append(np.abs(moreau_envelope(np.abs(x), 0.5, grid) - huber).max())
        assert errors[-1] < 0.25 * 2.0 * h
    assert orders(errors) == pytest.approx([1.0, 1.0], abs=0.1)
    with pytest.raises(TypeError, match="f: expected a jax function of a point"):
        moreau_envelope(lambda: 0.0, 0.5, grid)
