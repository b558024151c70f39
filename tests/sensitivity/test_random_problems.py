"""Twenty random problems an engine: gradients against central differences, on the line and in the plane,
in two systems of units."""

from functools import cache
from zlib import crc32

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from tests.sensitivity.differences import worst_error
from tests.sensitivity.test_grid_steps import density


def cloud(dimension, length):
    return jko.Particles(np.random.default_rng(dimension).normal(0.3, 0.8, (40, dimension)) * length)


def gaussian(dimension, length):
    return jko.Gaussian(np.full(dimension, 0.4 * length), (0.5 * np.eye(dimension) + 0.1) * length**2)


def potential(p):
    L = p["length"]
    return fn.Potential(
        lambda x: (
            0.5 * p["stiffness"] * jnp.sum(x**2) + p["hill"] * L**2 * jnp.cos(jnp.sum(x) / L + p["phase"])
        )
    )


def interaction(p):
    L = p["length"]
    return fn.Interaction(lambda z: p["pull"] * L**2 * jnp.log1p(jnp.sum(z**2) / L**2))


def cold(p):
    return potential(p) + interaction(p)


def heated(p):
    return potential(p) + p["theta"] * p["length"] ** 2 * fn.Entropy()


def hot_and_bound(p):
    return heated(p) + interaction(p)


def quadratic(p):
    V = fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum((x - p["phase"] * p["length"]) ** 2))
    bound = fn.Interaction(lambda z: 0.5 * p["pull"] * jnp.sum(z**2))
    return V + bound + p["theta"] * p["length"] ** 2 * fn.Entropy()


@cache
def in_units(make, length):
    """(make_functional, loss) in a unit of length, the same objects for all problems: compiled once."""

    def loss(mu):
        return jnp.sum(jnp.sin(mu.mean() / length)) + jnp.trace(mu.covariance()) / length**2

    return lambda p: make({**p, "length": length}), loss


# the measure, the functional with the parameters that it has, the scheme, the dimensions, the relative step
COLD, HOT = ("stiffness", "hill", "phase", "pull"), ("stiffness", "hill", "phase", "theta")
ENGINES = {
    "Gaussian": (gaussian, quadratic, ("stiffness", "phase", "pull", "theta"), jko.steps.Gaussian(), (1, 2)),
    "Quantile": (density, hot_and_bound, (*HOT, "pull"), jko.steps.Quantile(tolerance=1e-13), (1,)),
    "MongeAmpere": (density, heated, HOT, jko.steps.MongeAmpere(tolerance=1e-14), (1, 2)),
    "Linearized": (density, heated, HOT, jko.steps.Linearized(tolerance=1e-13), (1, 2)),
    "BackAndForth": (density, heated, HOT, jko.steps.BackAndForth(), (1, 2)),
    "FiniteVolume": (density, hot_and_bound, (*HOT, "pull"), jko.limits.FiniteVolume(), (1, 2)),
    "ForwardEuler": (cloud, cold, COLD, jko.descent.ForwardEuler(), (1, 2)),
    "BackwardEuler": (cloud, cold, COLD, jko.descent.BackwardEuler(tolerance=1e-12), (1, 2)),
    "Langevin": (cloud, hot_and_bound, (*HOT, "pull"), jko.descent.Langevin(), (1, 2)),
    "LeimkuhlerMatthews": (cloud, hot_and_bound, (*HOT, "pull"), jko.descent.LeimkuhlerMatthews(), (1, 2)),
    "StochasticHeun": (cloud, hot_and_bound, (*HOT, "pull"), jko.descent.StochasticHeun(), (1, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(name, number, marks=() if (name, number) == ("FiniteVolume", 2) else pytest.mark.long)
        for name in ENGINES
        for number in range(20)
    ],
)
def test_gradients_are_central_differences(name, number):
    measure, make, held, scheme, dimensions = ENGINES[name]
    rng = np.random.default_rng([number, crc32(name.encode())])
    length = (1.0, 1e3)[number // 2 % 2]
    drawn = {
        "stiffness": rng.uniform(0.5, 1.5),
        "hill": rng.uniform(0.1, 0.5),
        "phase": rng.uniform(0.2, 1.2),
        "theta": rng.uniform(0.4, 0.8),
        "pull": rng.uniform(0.2, 0.5),
    }

    mu = measure(dimensions[number % len(dimensions)], length)
    parameters = {key: drawn[key] for key in held}
    units, tau = in_units(make, length), rng.uniform(0.03, 0.1)
    error = worst_error(units[0], parameters, mu, scheme, units[1], tau=tau, n_steps=2)
    assert error < 1e-5
