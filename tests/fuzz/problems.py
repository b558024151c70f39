"""Random problems in a box: a functional, a density on a grid, a time step, in random units, all from one
seed."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko

N_CELLS = {1: (48, 120), 2: (9, 12)}  # the range along an axis
HALF_WIDTH = 3.0  # of the box, in the problem's own unit of length


def quadratic(x):
    return 0.5 * jnp.sum((x - 0.3) ** 2)


def double_well(x):
    return 0.5 * jnp.sum((x**2 - 1.0) ** 2) + 0.1 * jnp.sum(x)


def quartic(x):
    return 0.25 * jnp.sum(x**4)


def kinked(x):
    return jnp.sum(jnp.abs(x - 0.25))


def flat_with_walls(x):
    return 2.0 * jnp.sum(jnp.maximum(jnp.abs(x) - 1.5, 0.0) ** 2)


def waves(x):
    return jnp.sum(jnp.cos(2.5 * x) + 0.15 * x**2)


def hole(x):
    return 0.3 * jnp.sum(x**2) - 2.0 * jnp.exp(-3.0 * jnp.sum((x - 1.0) ** 2))


def linear(x):
    return jnp.sum(x)


def two_far_wells(x):
    return jnp.minimum(jnp.sum((x - 1.6) ** 2), jnp.sum((x + 1.6) ** 2))


POTENTIALS = (quadratic, double_well, quartic, kinked, flat_with_walls, waves, hole, linear, two_far_wells)


def wide_gaussian(z):
    return jnp.exp(-0.7 * jnp.sum(z**2))


def spring(z):
    return 0.5 * jnp.sum(z**2)


def distance(z):
    return jnp.sqrt(jnp.sum(z**2) + 1e-30)


def cut_distance(z):
    return jnp.minimum(jnp.sum(z**2), 1.0) ** 0.75


def minus_logarithm(z):
    return -0.5 * jnp.log(jnp.sum(z**2))


def cosine(z):
    return -jnp.sum(jnp.cos(z))


@functools.cache
def reversed_sign(W):
    """−W as one function, so that it is compiled once."""
    return lambda z: -W(z)


KERNELS = (wide_gaussian, spring, distance, cut_distance, cosine)
SINGULAR = (minus_logarithm,)


def quartic_internal(s):
    return s**4 / 12.0 + 0.5 * s**2


POWERS = (0.3, 0.6, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Units:
    """Lengths are multiplied by `length` and shifted by `offset` of it, energies by `energy`."""

    length: float = 1.0
    energy: float = 1.0
    offset: float = 0.0

    @property
    def time(self) -> float:
        """That of a flow: length²/energy."""
        return self.length**2 / self.energy

    def function(self, f):
        """f of a point in these units; f itself where the unit of length is 1 and nothing is shifted."""
        if self.length == 1.0 and self.offset == 0.0:
            return f
        length, offset = self.length, self.offset
        return lambda x: f((x - offset * length) / length)

    def kernel(self, W):
        """W of a difference in these units."""
        length = self.length
        return W if length == 1.0 else lambda z: W(z / length)


@dataclass(frozen=True)
class Trial:
    """A scheme that is asked, and how many steps τ is divided into."""

    scheme: jko.scheme.Scheme
    parts: int = 1


@dataclass(frozen=True)
class Problem:
    """F, μ and τ of one seed; `units` are those it is stated in, `label` says what it is made of.

    `trials` are the schemes to ask, by name; those of a box, none being given, are all that move a density.
    `decays` says whether F must not rise, `twins` are pairs of names that solve one discrete problem, up to
    their gaps.
    """

    seed: int
    F: fn.Functional
    mu: jko.measures.Measure
    tau: float
    units: Units
    label: str
    trials: dict[str, Trial] = field(default_factory=dict)
    decays: bool = True
    twins: tuple[tuple[str, str], ...] = ()

    @property
    def natural_step(self) -> float:
        """τ in the problem's own unit of time."""
        return self.tau / self.units.time


def problem(seed: int, in_units: bool = True) -> Problem:
    """The problem of a seed, the same on every machine; without units functions are compiled once."""
    generator = np.random.default_rng([20261128, seed])
    dimension = 1 if generator.random() < 0.75 else 2
    units = drawn_units(generator)
    units = units if in_units else Units()
    grid = _grid(generator, dimension, units)
    values, shape = drawn_density(generator, grid, units)
    mu = jko.Density(grid, values).normalized()
    F, parts = _functional(generator, mu, units)
    tau = float(10.0 ** generator.uniform(-2.5, 1.0)) * units.time
    size = "x".join(map(str, grid.cells))
    label = f"{' + '.join(parts)} on {shape}, {size} cells, tau = {tau / units.time:.3g} in {units}"
    return Problem(seed, F, mu, tau, units, label)


def drawn_units(generator) -> Units:
    kind = generator.random()
    energy = float(10.0 ** np.round(generator.uniform(-12.0, 12.0))) if generator.random() < 0.3 else 1.0
    if kind < 0.85:
        return Units(energy=energy)
    length = float(10.0 ** np.round(generator.uniform(-6.0, 6.0)))
    offset = 1e3 * float(generator.integers(-3, 4)) if kind > 0.95 else 0.0
    return Units(length, energy, offset)


def _grid(generator, dimension, units) -> jko.Grid:
    low, high = N_CELLS[dimension]
    cells = tuple(int(n) for n in generator.integers(low, high + 1, dimension))
    lower = (units.offset - HALF_WIDTH) * units.length
    upper = (units.offset + HALF_WIDTH) * units.length
    return jko.Grid.uniform((lower,) * dimension, (upper,) * dimension, cells)


def drawn_density(generator, grid, units):
    """Values and a name; every feature is at least three cells wide."""
    x = (grid.centers - units.offset * units.length) / units.length
    least = 3.0 * 2.0 * HALF_WIDTH / min(grid.cells)
    shape = ("gaussian", "mixture", "patch", "parabola", "rough")[generator.integers(5)]
    width = generator.uniform(max(0.25, least), max(0.9, 1.5 * least))
    center = generator.uniform(-1.2, 1.2, grid.dimension)
    squared = np.sum((x - center) ** 2, axis=-1)
    if shape == "gaussian":
        return np.exp(-0.5 * squared / width**2), shape
    if shape == "mixture":
        other = np.sum((x + center) ** 2, axis=-1)
        share = generator.uniform(0.2, 0.8)
        return share * np.exp(-0.5 * squared / width**2) + np.exp(-0.5 * other / width**2) + 1e-6, shape
    if shape == "patch":
        return np.all(np.abs(x - center) < 1.3 * width, axis=-1).astype(float), shape
    if shape == "parabola":
        return np.maximum((2.0 * width) ** 2 - squared, 0.0), shape
    waves = sum(
        generator.normal() * np.cos(generator.uniform(0.5, 2.5) * x[..., a] + generator.uniform(0.0, 6.0))
        for a in range(grid.dimension)
        for _ in range(3)
    )
    return np.exp(waves) * np.exp(-0.3 * np.sum(x**2, axis=-1)), shape


def _functional(generator, mu, units):
    """A sum of an internal energy, a potential, an interaction and a cap, each with some probability."""
    terms, names = [], []

    def add(coefficient, atom, name):
        terms.append(float(coefficient) * units.energy * atom)
        names.append(f"{coefficient:.2g} {name}")

    if generator.random() < 0.8:
        energies, labels = internal_energy(generator, mu.dimension, units)
        terms, names = terms + energies, names + labels
    if generator.random() < 0.8:
        V = POTENTIALS[generator.integers(len(POTENTIALS))]
        add(generator.uniform(0.3, 2.0), fn.Potential(units.function(V)), V.__name__)
    if generator.random() < 0.3:
        pool = KERNELS + SINGULAR if mu.dimension == 1 else KERNELS
        W = pool[generator.integers(len(pool))]
        keep = W in SINGULAR or generator.random() < 0.6
        name = W.__name__ if keep else f"minus {W.__name__}"
        kernel = W if keep else reversed_sign(W)
        add(generator.uniform(0.2, 1.0), fn.Interaction(units.kernel(kernel)), name)
    if generator.random() < 0.2:
        terms.append(fn.Cap(float(mu.values.max() * generator.uniform(1.0, 1.6))))
        names.append("cap")
    if not terms:
        add(1.0, fn.Potential(units.function(quadratic)), "quadratic")
    return sum(terms[1:], terms[0]), names


def internal_energy(generator, d: int, units) -> tuple[list, list]:
    """One internal energy in d dimensions, and its name."""
    coefficient, which = float(generator.uniform(0.2, 1.0)), generator.random()
    if which < 0.45:
        return [coefficient * units.energy * fn.Entropy()], [f"{coefficient:.2g} entropy"]
    if which < 0.9:
        m = float(generator.choice(POWERS if d == 1 else POWERS[1:]))
        # ∫U(ρ) keeps its value when lengths change: ρ is mass over length^d
        factor = coefficient * units.length ** (d * (m - 1.0))
        return [factor * units.energy * fn.Power(m)], [f"{factor:.2g} power {m:g}"]
    scale = units.length**d
    U = quartic_internal if scale == 1.0 else lambda s: quartic_internal(scale * s) / scale
    atom = fn.InternalEnergy(U, displacement_convex=True)
    return [coefficient * units.energy * atom], [f"{coefficient:.2g} quartic"]
