"""Fits through implicit steps, against the law that made the pairs."""

import numpy as np
import pytest

from functionals import pointwise
from jko.learn import Polynomial, Radial
from jko.learn.closed_form import Cloud, Data, solve
from jko.learn.couplings import Coupling
from jko.learn.implicit import steps_of, through_steps
from jko.learn.landscape import Landscape
from jko.learn.model import Model

TAU = 0.5


def quartic(y):
    """∇V of V = ¼|y|⁴ + y₁."""
    return np.sum(y**2, axis=1)[:, None] * y + np.eye(y.shape[1])[0]


@pytest.mark.parametrize(("length", "time", "d"), [(1.0, 1.0, 2), (100.0, 3.0, 2), (1.0, 1.0, 1)])
def test_pairs_that_scatter_bias_the_closed_form_and_not_the_fit_of_the_steps(length, time, d):
    generator, n, tau = np.random.default_rng(0), 16_000, TAU * time
    y = generator.uniform(-1.2, 1.2, (n, d))
    x, seen = y + TAU * quartic(y), y + 0.2 * generator.standard_normal((n, d))
    same, w = np.arange(n), np.full(n, 1.0 / n)
    clouds = [Cloud(length * x, w), Cloud(length * seen, w)]
    data = Data(np.array([0.0, tau]), clouds, "implicit", [Coupling(same, same, w, n, n)])
    model = Model(Polynomial(4).potentials(length * seen), None, 0.0, False, np.ones((1, 1)))

    def error(p):
        wrong = model.potential.slopes(length * y, p) * time / length - quartic(y)
        return float(np.sqrt(np.mean(wrong**2) / np.mean(quartic(y) ** 2)))

    closed = solve(model, data, [0], 0.0, 0).parameters
    solved, refined = through_steps(model, data, [0], 0.0, 12, 0, lambda: None)
    assert refined.settled
    assert error(solved.parameters) < 0.04 < 0.2 < error(closed)


@pytest.mark.parametrize(("basis", "d"), [(Radial(20, 1.0), 1), (Radial(20, 1.0), 3), (Polynomial(4), 2)])
def test_curvatures_are_those_of_jax_far_from_the_origin(basis, d):
    generator = np.random.default_rng(1)
    x = generator.standard_normal((40, d)) + 100.0
    features = basis.potentials(x)
    c = generator.standard_normal(features.size)
    exact = pointwise.hessians(Landscape(features, c), x)
    assert np.abs(features.hessians(x, c) - exact).max() < 1e-10


def test_a_step_that_folds_ends_at_a_minimum():
    """V = ½(y² − 1)² with τ = 4: I + τD²V is negative in the middle, where the steps begin."""
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    features = Polynomial(4).potentials(x)
    powers = features.scale[0] ** features.exponents[:, 0]
    c = powers * np.array([0.0, -1.0, 0.0, 0.5])
    y = steps_of(features, c, x, np.full_like(x, 0.01), np.full(20, 0.05), 4.0)
    assert np.abs(y - x + 8.0 * y * (y**2 - 1.0)).max() < 1e-7
    assert np.all(1.0 + 8.0 * (3.0 * y**2 - 1.0) > 0.0)
