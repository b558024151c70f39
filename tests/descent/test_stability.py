"""The largest curvature of a drift, the stages that a step needs, and the limits that refusals name."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import (
    SVGD,
    BackwardEuler,
    Blob,
    ForwardEuler,
    Langevin,
    LeimkuhlerMatthews,
    NoiseInjection,
    StochasticHeun,
    UnderdampedLangevin,
)
from jko.descent.fields.program import field, outside_terms
from jko.descent.fields.stability import largest_curvature, mean_stiffness
from jko.descent.newton.stabilised import stable_product, stages_for
from jko.errors import StepFailed
from jko.loops.sums.pair_sums import precision


def curvature(functional, x, w=None):
    w = np.full(len(x), 1.0 / len(x)) if w is None else w
    with precision(x):
        return largest_curvature(field(outside_terms(functional.parts)).gradient, x, w)


@pytest.mark.slow
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


# a cloud moves as a whole with curvature 1, within with 4
PULL = fn.Potential("quadratic") + fn.Interaction("quadratic", strength=3.0)
COLD = 1e-12 * fn.Entropy() + PULL
START = Particles(np.random.default_rng(2).normal(size=(12, 1)) + 1.0)


def growth(scheme, functional, tau, steps=60):
    """How many times the cloud has grown where nothing is refused beforehand; infinite for a failed step."""
    problem = scheme.prepare(functional, START)
    state, mu = problem.start, START
    state = state.having(**{"step": 1})
    for _ in range(steps):
        mu, state, info = scheme.step(problem, mu, 0.0, tau, state)
        if not info.converged:
            assert re.search("the stability limit (2/L = |is )0.5", info.note)
            return np.inf
    return np.abs(mu.positions).max() / np.abs(START.positions).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "functional", "limit"),
    [
        (ForwardEuler(), PULL, 0.5),
        (NoiseInjection(level=1e-9), PULL, 0.5),
        (Langevin(), COLD, 0.5),
        (StochasticHeun(), COLD, 0.5),
        (LeimkuhlerMatthews(), COLD, 0.5),
        (UnderdampedLangevin(mass=0.25), COLD, 0.5),
        (SVGD(bandwidth=1e3), COLD, 2.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, jko.scheme.Scheme) else "",
)
def test_the_limit_that_a_message_gives_is_sharp(scheme, functional, limit):
    assert growth(scheme, functional, 0.97 * limit) < 1.0
    assert growth(scheme, functional, 1.03 * limit) > 2.0
    if not isinstance(scheme, ForwardEuler):
        name = type(scheme).__name__
        with pytest.raises(
            ValueError, match=rf"beyond the stability limit {limit:g} of descent\.{name} at L"
        ):
            jko.flow(functional, START, scheme, tau=1.01 * limit, n_steps=1)
        jko.flow(functional, START, scheme, tau=0.99 * limit, n_steps=1)


def test_pairs_nearer_than_noise_moves_them_do_not_stiffen():
    """∫ over the square of the second derivative of −log|z|, cut at the reach."""
    x = Particles(np.linspace(0.0, 1.0, 1000))
    gas = fn.Interaction("logarithmic").parts
    assert mean_stiffness(gas, x, reach=0.1) == pytest.approx(
        mean_stiffness(gas, Particles(x.positions[::4]), 0.1), rel=0.05
    )
    assert mean_stiffness(gas, x, reach=0.1) == pytest.approx(2.0 / 0.1 * 2.0, rel=0.2)
    assert mean_stiffness(gas, x) > 1000.0
    general = fn.Interaction(lambda x, y: 1.5 * jnp.sum((x - y) ** 2), general=True)
    assert mean_stiffness(general.parts, x) == pytest.approx(3.0)
    assert mean_stiffness(fn.Potential(lambda x: -jnp.sum(x**2)).parts, x) == 0.0
    assert mean_stiffness(fn.Entropy().parts, x) == 0.0


@pytest.mark.parametrize("scheme", [ForwardEuler(), BackwardEuler(), Langevin(), Blob()], ids=repr)
def test_positions_that_their_dtype_does_not_resolve_are_refused(scheme):
    """At 4e6 two float32 numbers are about a half apart: a cloud of width 1 would stand still."""
    far = Particles((np.random.default_rng(0).normal(size=(20, 2)) + 4e6).astype(np.float32))
    F = fn.Potential(lambda x: 0.5 * jnp.sum((x - 4e6) ** 2))
    F = F + fn.Entropy() if "entropy" in scheme.takes else F
    with pytest.raises(ValueError, match=r"float32 numbers are 0\.\d+ apart.*or give float64"):
        jko.flow(F, far, scheme, tau=0.1, n_steps=1)


def test_noise_that_is_rounded_away_is_refused_and_on_the_way_it_fails():
    start = Particles(np.random.default_rng(0).normal(size=(20, 1)).astype(np.float32) + 100)
    slide = fn.Potential(lambda x: -1e6 * x[0])
    with pytest.raises(ValueError, match=r"the noise of a step is 1\.4e-06"):
        jko.flow(1e-10 * fn.Entropy() + slide, start, Langevin(), tau=0.01, n_steps=1)
    with pytest.raises(StepFailed, match=r"the noise of a step is 0\.014"):
        jko.flow(0.01 * fn.Entropy() + slide, start, Langevin(), tau=0.01, n_steps=30, store_every=30)
