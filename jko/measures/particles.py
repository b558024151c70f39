"""Particle measures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from functionals.by_numpy import evaluated
from functionals.programs import kept
from jko.errors import finite_array, own_array, seed_number, whole_number
from jko.measures import forces, pair_fields
from jko.measures.measure import Measure
from jko.measures.number_table import read_table


class Particles(Measure):
    """α = Σ wᵢ δ_{xᵢ}: positions `[n, d]` and weights `[n]`, equal unless given, which sum to 1.

    The positions keep their dtype, float32 or float64, and particle schemes compute in it. Raises ValueError
    for positions that are not finite, weights that are not positive or do not sum to 1. An array that the
    caller can write to is copied.
    """

    def __init__(self, positions: np.ndarray, weights: np.ndarray | None = None):
        if isinstance(positions, jax.core.Tracer) or isinstance(weights, jax.core.Tracer):
            self.positions, self.weights = positions, weights
            return
        self.positions = _checked_positions(positions)
        self.weights = _checked_weights(weights, self.positions)

    @classmethod
    def moved(cls, positions: np.ndarray, weights: np.ndarray) -> Particles:
        """Arrays that are known to be good, unchecked: within a step."""
        particles = cls.__new__(cls)
        particles.positions, particles.weights = positions, weights
        return particles

    @classmethod
    def from_csv(cls, path: Path, columns=None) -> Particles:
        """Particles from a text file of numbers, a line a particle, with or without a header line.

        `columns` picks columns by their number from 0; all of them are coordinates unless given.
        Raises ValueError for a file that is no such table.
        """
        return cls(read_table(path, columns))

    @property
    def n(self) -> int:
        """The number of particles."""
        return self.positions.shape[0]

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return self.positions.shape[1]

    @property
    def points(self):
        return self.positions

    @property
    def masses(self):
        return self.weights

    mass = 1.0
    sums_pairs = True

    def difference_integrate(self, W: Callable, summation=None):
        """∬W(x − y) dα(x)dα(y); coincident pairs are left out where W is infinite at 0."""
        return self.integrate_values(self.convolve(W, summation))

    def convolve(self, W: Callable, summation=None):
        """W∗α at the particles, `[n]`, summed as `summation` says (`Interaction`); in jax where traced."""
        sums = self._native(W, summation)
        return self._summed(pair_fields.values, W) if sums is None else sums.values()

    def convolve_gradient(self, W: Callable, summation=None):
        """∇W∗α at the particles, `[n, d]`."""
        if summation is not None and summation.method == "random batch":
            return self._summed(pair_fields.random_gradients, W, summation)
        sums = self._native(W, summation)
        return self._summed(pair_fields.gradients, W) if sums is None else sums.gradients()

    def convolve_product(self, W, v, summation=None):
        """The derivative of `convolve_gradient` along v `[n, d]`; None where jax sums and differentiates."""
        sums = self._native(W, summation)
        return None if sums is None else sums.products(v)

    def choice_of_sums(self, W: Callable, summation=None) -> forces.Choice:
        """How these sums are taken, why, and their measured error."""
        return forces.choice_of(W, self.positions, self.weights, summation)

    @property
    def sources(self):
        """The positions and weights over which sums run: those of all particles."""
        return self.positions, self.weights

    def _native(self, W: Callable, summation):
        return None if self._traced else forces.native_sums(W, self.positions, self.weights, summation)

    def _summed(self, total: Callable, W: Callable, *how):
        result = total(W, self.positions, *self.sources, *how)
        return result if self._traced else np.array(result)

    @property
    def _traced(self):
        return isinstance(self.positions, jax.Array) or isinstance(self.weights, jax.Array)

    def reads(self, F):
        """F as these particles see it: itself in free space."""
        return F

    def with_positions(self, positions: np.ndarray) -> Particles:
        """The same weights elsewhere."""
        if isinstance(positions, jax.core.Tracer):
            return self._at(positions, self.weights)
        moved = _checked_positions(positions)
        if len(moved) != self.n:
            raise ValueError(f"positions: expected {self.n}, one a weight, got shape {moved.shape}")
        return self._at(moved, np.asarray(self.weights, dtype=moved.dtype))

    def _at(self, positions: np.ndarray, weights: np.ndarray):
        # whatever a subclass keeps beside them goes along
        here = copy.copy(self)
        here.positions, here.weights = positions, weights
        return here

    def packed(self):
        return {"positions": self.positions}

    def fixed(self):
        return {"weights": self.weights}

    def unpacked(self, arrays: dict):
        return self.with_positions(arrays["positions"])

    @classmethod
    def fields_of(cls, measures: list):
        positions = np.stack([mu.positions for mu in measures])
        weights = measures[0].weights
        fixed = all(mu.weights is weights or np.array_equal(mu.weights, weights) for mu in measures)
        weight = ("particle", weights)
        if not fixed:
            weight = ("time", "particle"), np.stack([mu.weights for mu in measures])
        return {"position": (("time", "particle", "axis"), positions), "weight": weight}, {}, {}

    @classmethod
    def from_fields(cls, dataset):
        positions, weights = dataset["position"].values, dataset["weight"].values
        weights = np.broadcast_to(weights, positions.shape[:2]) if weights.ndim == 1 else weights
        return [cls(x, w) for x, w in zip(positions, weights, strict=True)]

    @property
    def layout(self):
        return self.n, self.dimension

    @property
    def size(self):
        return f"{self.n} particles"

    def vertical_derivative(self, energy):
        with jax.enable_x64(True):
            return evaluated(_compiled_vertical(energy), self.positions, self.weights)

    def horizontal_derivative(self, energy, first_variation):
        with jax.enable_x64(True):
            gradient = evaluated(_compiled_horizontal(energy), self.positions, self.weights)
        return gradient / self.weights[:, None]

    def subsample(self, n: int, seed: int) -> Particles:
        """n particles of equal weight: without replacement where the weights are equal, else by systematic
        draws in random order, particle i ⌊nwᵢ⌋ times or once more and nwᵢ times on average [DoucCappe2005].
        """
        n = whole_number("n", n)
        generator = np.random.default_rng(seed_number("seed", seed))
        equal = np.ptp(self.weights) <= 1e-6 / self.n
        if n >= self.n and equal:
            return self
        if equal:
            return Particles(self.positions[generator.choice(self.n, size=n, replace=False)])
        order, uniform = generator.permutation(self.n), generator.random()
        levels = np.cumsum(_normalised(self.weights)[order])
        chosen = np.searchsorted(levels / levels[-1], (np.arange(n) + uniform) / n, side="right")
        return Particles(self.positions[order[np.minimum(chosen, self.n - 1)]])

    def __repr__(self) -> str:
        return f"{self.n} particles in {self.dimension}D"


@kept
def _compiled_vertical(energy):
    return jax.jit(jax.grad(lambda x, w: jnp.asarray(energy(Particles(x, w))), argnums=1))


@kept
def _compiled_horizontal(energy):
    return jax.jit(jax.grad(lambda x, w: jnp.asarray(energy(Particles(x, w))), argnums=0))


def _checked_positions(positions: np.ndarray) -> np.ndarray:
    try:
        dtype = np.asarray(positions).dtype
    except ValueError:
        raise ValueError("positions: expected rows of one length, [n, d], got rows of several") from None
    if dtype.kind == "b":
        raise TypeError("positions: expected an array of numbers, got truth values")
    array = finite_array("positions", positions, dtype=dtype if dtype in (np.float32, np.float64) else float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"positions: expected an array [n, d] of at least one particle, got shape {array.shape}"
        )
    return own_array(array, positions)


def _checked_weights(weights: np.ndarray | None, positions: np.ndarray) -> np.ndarray:
    n = len(positions)
    if weights is None:
        return np.full(n, 1.0 / n, dtype=positions.dtype)
    weights = own_array(finite_array("weights", weights, dtype=positions.dtype), weights)
    if weights.shape != (n,):
        raise ValueError(f"weights: expected {n}, one a particle, got shape {weights.shape}")
    if weights.min() <= 0:
        raise ValueError(
            f"weights: expected positive numbers, got {weights.min():g} at the least: drop those particles"
        )
    total = weights.sum(dtype=float)
    if abs(total - 1.0) > 1e-5:
        raise ValueError(f"weights: expected to sum to 1, got {total:g}: divide them by their sum")
    return weights


def _normalised(weights):
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()
