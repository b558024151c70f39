"""Densities moved on by a gradient map: exact for affine maps of Gaussians, order in h, mass, walls,
folds."""

import numpy as np
import pytest

from jko.loops.transport.push_rectangles import push_rectangles
from jko.loops.transport.push_smooth import push_smooth

MOVES = {1: [[0.4]], 2: [[0.4, 0.2], [0.2, -0.3]], 3: [[0.4, 0.2, 0.0], [0.2, -0.3, 0.1], [0.0, 0.1, 0.2]]}
SIGMA = 0.5


def log_gaussian(x, mean, covariance):
    centred = x - mean
    exponent = -0.5 * np.einsum("...i,ij,...j", centred, np.linalg.inv(covariance), centred)
    return exponent - 0.5 * np.log(np.linalg.det(2.0 * np.pi * covariance))


def affine_problem(dimension, cells, reach=6.0, shear=1.0):
    """log ρ, φ, the exact log of the image, the spacing: ρ = N(0.3, 0.49), the map I + σM plus a shift."""
    axis = (np.arange(cells) + 0.5) / cells * 2.0 * reach - reach
    x = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), -1)
    M, mean = np.array(MOVES[dimension]), np.full(dimension, 0.3)
    M = np.where(np.eye(dimension) > 0, M, shear * M)
    phi = 0.5 * np.einsum("...i,ij,...j", x, M, x) + 0.2 * x[..., 0]
    move = np.eye(dimension) + SIGMA * M
    shift = SIGMA * 0.2 * np.eye(dimension)[0]
    image = log_gaussian(x, move @ mean + shift, 0.49 * move @ move)
    return log_gaussian(x, mean, 0.49 * np.eye(dimension)), phi, image, (2.0 * reach / cells,) * dimension


@pytest.mark.parametrize("dimension", MOVES)
def test_affine_maps_of_gaussians_are_exact(dimension):
    logarithm, phi, image, h = affine_problem(dimension, {1: 200, 2: 64, 3: 32}[dimension])
    found, least = push_smooth(logarithm, phi, SIGMA, h)
    inside = image > np.log(1e-8)
    assert np.exp(found)[inside] == pytest.approx(np.exp(image)[inside], rel=1e-9)
    eigenvalue = np.linalg.eigvalsh(np.eye(dimension) + SIGMA * np.array(MOVES[dimension]))[0]
    assert least[(len(least) // 2,) * dimension] == pytest.approx(eigenvalue)


@pytest.mark.parametrize("dimension", MOVES)
def test_rectangles_keep_the_mass_and_have_order_two_without_shear(dimension):
    errors = []
    for cells in {1: (100, 200, 400), 2: (48, 96, 192), 3: (24, 48)}[dimension]:
        logarithm, phi, image, h = affine_problem(dimension, cells, shear=0.0)
        found, _ = push_rectangles(np.exp(logarithm), phi, SIGMA, h)
        assert found.sum() == pytest.approx(np.exp(logarithm).sum(), rel=1e-12)
        assert found.min() >= 0.0
        errors.append(np.abs(found - np.exp(image)).sum() * h[0] ** dimension)
    assert np.log2(np.divide(errors[:-1], errors[1:])).mean() > 1.75


def test_rectangles_under_shear_leave_noise_of_its_square():
    logarithm, phi, image, h = affine_problem(2, 192)
    found, _ = push_rectangles(np.exp(logarithm), phi, SIGMA, h)
    assert found.sum() == pytest.approx(np.exp(logarithm).sum(), rel=1e-12)
    assert np.abs(found - np.exp(image)).sum() * h[0] ** 2 < (SIGMA * 0.2) ** 2


def test_curved_maps_have_order_four_where_smooth():
    from scipy.interpolate import CubicSpline

    errors = []
    for cells in (64, 128, 256):
        x = (np.arange(cells) + 0.5) / cells * 8.0 - 4.0
        k = np.pi / 4.0
        found, _ = push_smooth(-2.0 * x**2, np.cos(k * x), 0.5, (8.0 / cells,))
        at, jacobian = x - 0.5 * k * np.sin(k * x), 1.0 - 0.5 * k**2 * np.cos(k * x)
        difference = CubicSpline(x, found)(at) - (-2.0 * x**2 - np.log(jacobian))
        errors.append(np.abs(difference[np.abs(x) < 2.5]).max())
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(4.0, abs=0.3)


def test_walls_hold_the_mass_and_empty_cells_stay_empty():
    x = (np.arange(100) + 0.5) / 100
    density = np.where(np.abs(x - 0.8) < 0.1, 1.0, 0.0)
    found, _ = push_rectangles(density, 10.0 * x, 0.5, (0.01,))
    assert found.sum() == pytest.approx(density.sum())
    assert found[-1] > 1.0
    still, _ = push_rectangles(density, np.zeros(100), 0.5, (0.01,))
    assert still == pytest.approx(density, abs=1e-14)
    assert np.array_equal(still > 0.0, density > 0.0)


def test_a_fold_is_reported_and_the_image_stays_finite():
    x = (np.arange(200) + 0.5) / 200 * 8.0 - 4.0
    phi = -np.abs(x)  # both halves move to the middle
    found, least = push_smooth(-0.5 * x**2, phi, 0.5, (0.04,))
    assert least.min() < 0.0
    assert np.all(np.isfinite(found))
    right = (x > 0.2) & (x < 3.0)
    assert found[right] == pytest.approx(-0.5 * (x[right] + 0.5) ** 2, abs=0.02)
