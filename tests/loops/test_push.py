import numpy as np
import pytest

from jko.loops.transport.push import pull_back


def grid(n, dimension):
    axis = (np.arange(n) + 0.5) / n
    return np.meshgrid(*[axis] * dimension, indexing="ij")


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_affine_map_is_exact(dimension):
    n, tau = 16, 0.1
    x = [c - 0.5 for c in grid(n, dimension)]
    stiffness = np.diag(np.arange(1.0, dimension + 1.0)) + 0.3 * (1.0 - np.eye(dimension))
    phi = 0.5 * sum(stiffness[a, b] * x[a] * x[b] for a in range(dimension) for b in range(dimension))
    jacobian = np.eye(dimension) - tau * stiffness
    density = 1.0 + 0.5 * x[0]
    found, coefficient = pull_back(density, phi, tau, (1.0 / n,) * dimension)
    inside = (slice(3, -3),) * dimension
    moved = sum(jacobian[0, a] * x[a] for a in range(dimension))
    exact = (1.0 + 0.5 * moved) * np.linalg.det(jacobian)
    np.testing.assert_allclose(found[inside], exact[inside], rtol=1e-12)
    cofactor = np.diag(np.linalg.inv(jacobian) * np.linalg.det(jacobian)).max()
    np.testing.assert_allclose(coefficient[inside], ((1.0 + 0.5 * moved) * cofactor)[inside], rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_second_order_walls_included(dimension):
    tau, errors = 0.2, []
    for n in (16, 32, 64):
        x = grid(n, dimension)
        sizes = 0.3 / np.arange(1.0, dimension + 1.0)
        phi = sum(s * np.cos(np.pi * c) for s, c in zip(sizes, x, strict=True))
        moved = [c + tau * np.pi * s * np.sin(np.pi * c) for s, c in zip(sizes, x, strict=True)]
        stretch = [1.0 + tau * np.pi**2 * s * np.cos(np.pi * c) for s, c in zip(sizes, x, strict=True)]
        exact = np.prod(
            [(1.0 + 0.5 * np.cos(np.pi * m)) * s for m, s in zip(moved, stretch, strict=True)], axis=0
        )
        density = np.prod([1.0 + 0.5 * np.cos(np.pi * c) for c in x], axis=0)
        pulled, _ = pull_back(density, phi, tau, (1.0 / n,) * dimension)
        errors.append(np.abs(pulled - exact).mean())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 2.0) < 0.1), (errors, orders)
    assert abs(pulled.mean() - density.mean()) < 1e-3


@pytest.mark.parametrize("dimension", [2, 3])
def test_threads_change_nothing(dimension):
    x = grid(20, dimension)
    phi = 0.2 * np.prod([np.cos(np.pi * c) for c in x], axis=0)
    serial = pull_back(1.0 + x[0], phi, 0.2, (0.05,) * dimension)
    parallel = pull_back(1.0 + x[0], phi, 0.2, (0.05,) * dimension, threads=2)
    np.testing.assert_allclose(parallel, serial, rtol=1e-14)


def test_folded_cells_receive_nothing():
    x = np.linspace(-1.0, 1.0, 41)
    pulled, _ = pull_back(np.ones(41), 2.0 * x**2, 1.0, (x[1] - x[0],))
    assert np.all(pulled[5:-5] == 0.0)
