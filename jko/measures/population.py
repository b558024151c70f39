"""Particles that are born and die: weights, mass and number change along a run."""

from __future__ import annotations

import numpy as np

from jko.errors import finite_array, own_array, positive_number, seed_number, whole_number
from jko.measures.particles import Particles, _checked_positions


class Population(Particles):
    """α = Σ wᵢ δ_{xᵢ} of any mass Σwᵢ > 0: positions `[n, d]` and weights wᵢ > 0 `[n]`, mass/n unless given.

    Unlike those of `Particles` the weights need not sum to 1 and belong to what changes along a run, as does
    n: checkpoints and files keep them for each time (in a file, times of fewer particles are filled up with
    NaN and weights of 0). Every scheme for particles moves it; `descent.BirthDeath` changes its weights.
    Raises ValueError as `Particles` does, for weights that are not positive, and for weights given with a
    mass that is not their sum.
    """

    def __init__(self, positions: np.ndarray, weights=None, mass: float | None = None):
        if weights is None and mass is None:
            mass = 1.0
        positions = _checked_positions(positions)
        given = None if weights is None else _weights(weights, positions)
        total = positive_number("mass", float(given.sum(dtype=float)) if mass is None else mass)
        if given is None:
            given = np.full(len(positions), total / len(positions), dtype=positions.dtype)
        elif abs(float(given.sum(dtype=float)) - total) > 1e-5 * total:
            raise ValueError(
                f"mass: {total:g} was given with weights that sum to {given.sum(dtype=float):g}: give one "
                "of the two"
            )
        self.positions, self.weights = positions, given

    @classmethod
    def of(cls, particles: Particles, mass: float | None = None) -> Population:
        """A cloud as a population, of its own mass unless given."""
        if not isinstance(particles, Particles):
            raise TypeError(
                f"particles: expected Particles, got {type(particles).__name__}: take mu.sample(n, seed)"
            )
        if getattr(particles, "domain", None) is not None:
            raise ValueError(
                f"particles: a population lives in free space, got {particles!r}, whose sides it would not "
                "know: take Particles, or a Density with steps.HellingerKantorovich"
            )
        factor = 1.0 if mass is None else positive_number("mass", mass) / float(particles.mass)
        return cls(particles.positions, particles.weights * np.asarray(factor, particles.weights.dtype))

    @property
    def mass(self) -> float:
        """Σ wᵢ."""
        return float(np.sum(self.weights, dtype=float))

    def normalized(self) -> Particles:
        """The cloud divided by its mass, as `Particles`."""
        weights = np.asarray(self.weights, dtype=float)
        return Particles(self.positions, (weights / weights.sum()).astype(self.weights.dtype))

    def packed(self):
        return {"positions": self.positions, "weights": self.weights}

    def fixed(self):
        return {}

    def unpacked(self, arrays: dict):
        return Population(arrays["positions"], arrays["weights"])

    @classmethod
    def fields_of(cls, measures: list):
        most, d = max(mu.n for mu in measures), measures[0].dimension
        positions = np.full((len(measures), most, d), np.nan, dtype=measures[0].positions.dtype)
        weights = np.zeros((len(measures), most), dtype=measures[0].weights.dtype)
        for k, mu in enumerate(measures):
            positions[k, : mu.n], weights[k, : mu.n] = mu.positions, mu.weights
        fields = {
            "position": (("time", "particle", "axis"), positions),
            "weight": (("time", "particle"), weights),
        }
        return fields, {}, {}

    @classmethod
    def from_fields(cls, dataset):
        positions, weights = dataset["position"].values, dataset["weight"].values
        return [cls(x[w > 0.0], w[w > 0.0]) for x, w in zip(positions, weights, strict=True)]

    @property
    def layout(self):
        return (self.dimension,)

    @property
    def size(self):
        return f"{self.n} particles of mass {self.mass:.4g}"

    def subsample(self, n: int, seed: int) -> Population:
        """n particles of equal weight and the same mass, drawn by weight."""
        n = whole_number("n", n)
        if n >= self.n and np.ptp(self.weights) <= 1e-6 * np.mean(self.weights):
            return self
        return Population(self.normalized().subsample(n, seed).positions, mass=self.mass)

    def resampled(self, n: int, seed: int) -> Population:
        """n particles of equal weight by systematic resampling: particle i is drawn ⌊nwᵢ/Σw⌋ times or once
        more, nwᵢ/Σw times on average, so that every integral keeps its mean and the mass is kept
        [DoucCappe2005]."""
        n = whole_number("n", n)
        uniform = np.random.default_rng(seed_number("seed", seed) if np.isscalar(seed) else seed).random()
        levels = np.cumsum(np.asarray(self.weights, dtype=float))
        chosen = np.searchsorted(levels / levels[-1], (np.arange(n) + uniform) / n, side="right")
        return Population(self.positions[np.minimum(chosen, self.n - 1)], mass=self.mass)

    def __repr__(self) -> str:
        return f"{self.n} particles of mass {self.mass:.6g} in {self.dimension}D"


def _weights(weights: np.ndarray, positions: np.ndarray) -> np.ndarray:
    weights = own_array(finite_array("weights", weights, dtype=positions.dtype), weights)
    if weights.shape != (len(positions),):
        raise ValueError(f"weights: expected {len(positions)}, one a particle, got shape {weights.shape}")
    if weights.min() <= 0:
        raise ValueError(
            f"weights: expected positive numbers, got {weights.min():g} at the least: drop those particles"
        )
    return weights
