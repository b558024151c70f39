"""The V-cycle and the map that Newton's method for the pressure rests on."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.elliptic.weighted_multigrid import WeightedMultigrid
from jko.loops.transport.monge_ampere import End, transported


def problem(cells, seed=0):
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in cells], indexing="ij")
    log_density = 3.0 * sum(np.sin(4.0 * x + i) for i, x in enumerate(axes)) - 20.0 * axes[0] ** 2
    mobility = [0.05 * n * n * (1.0 + 0.5 * np.cos(3.0 * axes[-1])) for n in cells]
    return log_density, 1.0 + axes[0], mobility, np.random.default_rng(seed).standard_normal(cells)


def assembled(log_density, stiffness, mobility):
    """The operator as a sparse matrix, from its formula."""
    index = np.arange(log_density.size).reshape(log_density.shape)
    density = np.exp(log_density)
    rows, columns, entries = [index.ravel()], [index.ravel()], [np.ones(index.size)]
    for axis, g in enumerate(mobility):
        a, b = (
            np.moveaxis(index, axis, 0)[:-1].ravel(),
            np.moveaxis(index, axis, 0)[1:].ravel(),
        )
        g, rho, kappa = g.ravel(), density.ravel(), stiffness.ravel()
        face = 0.5 * (g[a] + g[b]) * 2.0 * rho[a] * rho[b] / (rho[a] + rho[b])
        for i, j in ((a, b), (b, a)):
            c = kappa[i] * face / rho[i]
            rows += [i, i]
            columns += [i, j]
            entries += [c, -c]
    entries = (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns)))
    return coo_matrix(entries).tocsc()


@pytest.mark.parametrize("cells", [(53,), (24, 33), (9, 12, 17)])
def test_it_solves_the_equation_of_its_docstring(cells):
    log_density, stiffness, mobility, right = problem(cells)
    expected = spsolve(assembled(log_density, stiffness, mobility), right.ravel()).reshape(cells)
    found, _ = Multigrid(log_density, stiffness, mobility).solve(right, 1e-6)
    weight = np.exp(log_density) / stiffness
    error = np.sqrt(np.sum(weight * (found - expected) ** 2) / np.sum(weight * expected**2))
    assert error < 1e-5


@pytest.mark.parametrize("cells", [(53,), (24, 33), (9, 12, 17)])
def test_rows_whose_scale_jumps_are_weighed(cells):
    log_density, _, mobility, right = problem(cells)
    stiffness = 10.0 ** np.random.default_rng(1).uniform(-2.0, 2.0, cells)
    expected = spsolve(assembled(log_density, stiffness, mobility), right.ravel()).reshape(cells)
    found, iterations = WeightedMultigrid(log_density, stiffness, mobility).solve(right, 1e-6, most=80)
    weight = np.exp(log_density) / stiffness
    error = np.sqrt(np.sum(weight * (found - expected) ** 2) / np.sum(weight * expected**2))
    assert error < 1e-4
    assert iterations < 60


def test_iterations_do_not_grow_with_the_grid():
    counts = []
    for n in (32, 64, 128, 256):
        log_density, stiffness, mobility, right = problem((n, n))
        counts.append(Multigrid(log_density, stiffness, mobility).solve(right, 1e-5)[1])
    assert max(counts) <= 12
    assert counts[-1] <= counts[0] + 3


def test_a_log_density_that_falls_by_hundreds_does_no_harm():
    x = np.linspace(-6.0, 6.0, 96)
    log_density = -8.0 * (x[:, None] ** 2 + (x - 1.0) ** 2)
    mobility = [np.full((96, 96), 0.1 / (x[1] - x[0]) ** 2)] * 2
    found, iterations = Multigrid(log_density, 1.0, mobility).solve(np.cos(x[:, None] + x), 1e-3)
    assert iterations <= 5
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0 + 1e-3  # the maximum principle


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_quadratics_are_mapped_exactly(dimension):
    n, tau, rng = 12, 0.1, np.random.default_rng(dimension)
    h = tuple(0.3 + 0.1 * a for a in range(dimension))
    x = np.stack(np.meshgrid(*[(np.arange(n) - n / 2 + 0.5) * s for s in h], indexing="ij"), axis=-1)
    bend = rng.standard_normal((dimension, dimension))
    bend, slope = 0.3 * (bend + bend.T), 0.3 * rng.standard_normal(dimension)
    p = 0.5 * np.einsum("...i,ij,...j", x, bend, x) + x @ slope
    moved = x + tau * (x @ bend + slope)
    jacobian = np.eye(dimension) + tau * bend
    expected = -0.5 * np.sum((moved - 0.2) ** 2, axis=-1) + np.log(np.linalg.det(jacobian))
    free = ((End.FREE, End.FREE),) * dimension
    centred = -0.5 * np.sum((x - 0.2) ** 2, axis=-1)
    log, diagonal, least = transported(centred, p, tau, h, free)
    inside = (slice(3, -3),) * dimension  # mixed differences at the walls' edges are the rest
    assert log[inside] == pytest.approx(expected[inside], abs=1e-12)
    assert least[inside] == pytest.approx(np.linalg.eigvalsh(jacobian)[0], abs=1e-6)
    for axis in range(dimension):
        assert diagonal[axis][inside] == pytest.approx(np.linalg.inv(jacobian)[axis, axis], abs=1e-6)


def test_the_logarithm_goes_on_along_its_tangent_where_the_map_folds():
    x = (np.arange(20) - 9.5) * 0.2
    p = np.add.outer(-6.0 * x**2, 1.0 * x**2)
    flat = np.zeros((20, 20))
    log, diagonal, least = transported(flat, p, 0.1, (0.2, 0.2), ((End.FREE, End.FREE),) * 2)
    first, second = 1.0 - 1.2, 1.0 + 0.2
    assert least == pytest.approx(first, abs=1e-6)
    assert log == pytest.approx(np.log(0.05) + first / 0.05 - 1.0 + np.log(second), abs=1e-9)
    assert diagonal[0] == pytest.approx(1.0 / 0.05, rel=1e-6)
    assert diagonal[1] == pytest.approx(1.0 / second, rel=1e-6)
