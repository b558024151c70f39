"""Gaussian sums in the log domain against sums over all pairs, term by term."""

import numpy as np
import pytest

from jko.loops.sums.log_cloud import log_sums
from jko.loops.sums.log_gaussian import LogGaussian


def by_pairs(logs, decay, images=(0,)):
    cells = np.indices(logs.shape).reshape(logs.ndim, -1).T
    exponents = -np.inf
    for turns in np.array(np.meshgrid(*[images] * logs.ndim)).reshape(logs.ndim, -1).T:
        steps = cells[:, None] - cells + turns * np.array(logs.shape)
        exponents = np.logaddexp(exponents, logs.ravel() - steps**2 @ np.array(decay))
    top = exponents.max(axis=1)
    return (top + np.log(np.exp(exponents - top[:, None]).sum(axis=1))).reshape(logs.shape)


def lines(n, decay, generator):
    yield 5.0 * generator.normal(size=n)
    yield 300.0 * generator.normal(size=n)
    yield 0.9 * decay * np.arange(n) ** 2.0 + generator.normal(size=n)  # all inputs matter to all outputs
    yield -40.0 * decay * (np.arange(n) - 0.1 * n) ** 2.0
    yield np.where(np.arange(n) % 7 == 3, 1e3 * decay * generator.normal(size=n), -np.inf)


@pytest.mark.parametrize("n", [5, 64, 300])
@pytest.mark.parametrize("decay", [1e-4, 1e-2, 0.3, 30.0])
def test_a_line_to_the_last_digits(n, decay):
    kernel = LogGaussian((n,), (decay,))
    for line in lines(n, decay, np.random.default_rng(0)):
        exact = by_pairs(line, (decay,))
        assert np.allclose(kernel(line), exact, rtol=1e-13, atol=1e-12)
        assert np.allclose(kernel.axes[0]._careful(line[None])[:, 0], exact, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 14), (5, 6, 7)])
def test_axis_by_axis(shape):
    logs = 50.0 * np.random.default_rng(1).normal(size=shape)
    logs[2] = -np.inf
    decay = (0.3, 0.02, 5.0)[: len(shape)]
    assert np.allclose(LogGaussian(shape, decay)(logs), by_pairs(logs, decay), rtol=1e-13)


@pytest.mark.parametrize("n", [8, 9])
def test_a_periodic_axis(n):
    logs = np.random.default_rng(2).normal(size=(n,))
    exact = by_pairs(logs, (0.9,), images=(-1, 0, 1))
    assert np.allclose(LogGaussian((n,), (0.9,), (True,))(logs), exact, rtol=1e-6)


def test_nothing_gives_nothing():
    empty = np.full((6, 6), -np.inf)
    assert np.all(LogGaussian((6, 6), (0.1, 0.1))(empty) == -np.inf)


def test_clouds():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(40, 3)), 5.0 + generator.normal(size=(30, 3))
    logs = 20.0 * generator.normal(size=30)
    logs[4] = -np.inf
    exponents = logs - ((x[:, None] - y) ** 2).sum(axis=2) / 0.01
    top = exponents.max(axis=1)
    exact = top + np.log(np.exp(exponents - top[:, None]).sum(axis=1))
    assert np.allclose(log_sums(x, y, 0.01, logs), exact, rtol=1e-13)
