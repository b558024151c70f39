"""The same problem in other units of length and energy, τ with them, has the same answer."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals.base import Functional

FV = jko.limits.FiniteVolume()


class Spread(Functional):
    """A user's energy, e·(∫|x/L|²dρ)²."""

    def __init__(self, length, energy):
        self.length, self.scale = length, energy

    def energy(self, mu):
        return self.scale * mu.integrate(lambda x: jnp.sum((x / self.length) ** 2)) ** 2


def well(length, energy):
    return fn.Potential(lambda x: energy * jnp.sum((x / length) ** 2 + 0.1 * jnp.cos(3.0 * x / length)))


def attraction(length, energy):
    return fn.Interaction(lambda z: energy * jnp.exp(-jnp.sum((z / length) ** 2)) * -0.5)


PROBLEMS = {
    "entropy": lambda L, e, d: 0.3 * e * fn.Entropy() + well(L, e),
    "power": lambda L, e, d: 0.3 * e * L**d * fn.Power(2) + well(L, e),
    "interaction": lambda L, e, d: 0.3 * e * fn.Entropy() + attraction(L, e),
    "transport": lambda L, e, d: well(L, e),
    "crowd": lambda L, e, d: well(L, e) + fn.Cap(0.9 / L**d),
    "capped entropy": lambda L, e, d: 0.1 * e * fn.Entropy() + well(L, e) + fn.Cap(0.9 / L**d),
    "own": lambda L, e, d: 0.3 * e * L**d * fn.Power(2) + Spread(L, e),
}


def final(scheme, name, dimension, length, energy, tau=0.05, cells=(40, 14)):
    grid = jko.Grid.uniform((-2.0 * length,) * dimension, (2.0 * length,) * dimension, cells[dimension - 1])
    rho = jko.Density.gaussian(grid, (0.4 * length,) * dimension, std=0.5 * length)
    F = PROBLEMS[name](length, energy, dimension)
    run = jko.flow(F, rho, scheme, tau=tau * length**2 / energy, n_steps=2)
    return run.final.values * length**dimension, run.info


@pytest.mark.parametrize(
    ("name", "dimension"),
    [*((name, 1) for name in PROBLEMS), ("entropy", 2), ("crowd", 2), ("capped entropy", 2)],
)
def test_other_units(name, dimension):
    reference, info = final(FV, name, dimension, 1.0, 1.0)
    for length, energy in ((1e-6, 1.0), (1e6, 1e-12), (1.0, 1e12)):
        found, again = final(FV, name, dimension, length, energy)
        assert np.abs(found - reference).max() < 1e-9 * reference.max(), (length, energy)
        assert list(again.note) == list(info.note)


@pytest.mark.slow
def test_other_units_of_a_rough_density_with_vacuum():
    """Units of powers of 2 change no digit: nothing is compared with a number that has units."""
    draw = np.random.default_rng(3)
    shape = np.exp(2.0 * draw.standard_normal(60)) * (draw.random(60) < 0.7)

    def after(length, energy):
        rho = jko.Density(jko.Grid.uniform(-3.0 * length, 3.0 * length, 60), shape / length).normalized()
        F = energy * length * fn.Power(2) + fn.Potential(lambda x: 0.5 * energy * jnp.sum((x / length) ** 4))
        return jko.flow(F, rho, FV, tau=length**2 / energy, n_steps=1).final.values * length

    one = after(1.0, 1.0)
    assert np.array_equal(after(2.0**-20, 2.0**40), one)
    assert np.abs(after(1e-3, 7.0) - one).max() < 1e-8 * one.max()
