"""The largest curvature of a drift, and the stages that a step needs."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko.descent.field import field, outside_terms
from jko.descent.stabilised import stable_product, stages_for
from jko.descent.stability import largest_curvature
from jko.kernels.pair_sums import precision


def curvature(functional, x, w=None):
    w = np.full(len(x), 1.0 / len(x)) if w is None else w
    with precision(x):
        return largest_curvature(field(outside_terms(functional.parts)).gradient, x, w)


def test_quadratics_are_exact():
    x = np.random.default_rng(0).normal(size=(40, 2))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, 40)
    weights /= weights.sum()
    anisotropic = fn.Potential(lambda x: 0.5 * (x[0] ** 2 + 7.0 * x[1] ** 2))
    contraction = fn.Interaction(lambda z: 1.5 * jnp.sum(z**2))
    assert curvature(anisotropic, x, weights) == pytest.approx(7.0, rel=1e-9)
    assert curvature(contraction, x, weights) == pytest.approx(3.0, rel=1e-9)
    assert curvature(anisotropic + contraction, x, weights) == pytest.approx(10.0, rel=1e-9)
    assert curvature(fn.Potential(lambda x: -jnp.sum(x**2)), x) == 0.0


def test_a_hessian_is_measured_from_below_and_closely():
    x = np.random.default_rng(0).normal(size=(25, 1))
    quartic = fn.Potential(lambda x: jnp.sum(x**4))
    exact = 12.0 * np.max(x**2)
    assert 0.9 * exact < curvature(quartic, x) <= exact * (1.0 + 1e-9)


def test_stages_are_the_least_that_carry_the_step():
    for product in (0.1, 2.0, 2.1, 5.0, 40.0, 1e4):
        stages = stages_for(product)
        assert stable_product(stages) >= product * (1.0 - 1e-6)
        assert stages == 2 or stable_product(stages - 1) < product
