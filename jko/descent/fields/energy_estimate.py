"""The energy of a cloud under an entropy: an estimate from nearest neighbours, with its standard error."""

from __future__ import annotations

import math

import numpy as np

from functionals import Functional
from jko.descent.fields.program import outside_terms
from jko.descent.fields.sharded import energy_at
from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure
from jko.measures.entropy_estimate import default_neighbours, entropy_estimate, standard_error

ENTROPY_SAMPLE = 1_000_000


def estimated_energy(
    F: Functional, mu: Measure, flow, neighbours=None, entropy_sample: int = ENTROPY_SAMPLE
) -> tuple[float, float]:
    """(F(α), its standard error) for F = θ∫ρ log ρ + G: G(α), the energy of `flow`, and an estimated entropy.

    The entropy comes from `neighbours` nearest neighbours (`entropy_estimate`) of at most `entropy_sample` of
    the particles, and of at most 2000 from seven dimensions on, where each neighbour is looked for among all;
    without one the value is exact and the error 0.
    """
    theta, value = F.parts.temperature, energy_at(flow, mu)
    if theta == 0.0:
        return value, 0.0
    most = (
        min(entropy_sample, TOLERANCES.high_dimension_sample)
        if mu.dimension >= TOLERANCES.high_dimension
        else entropy_sample
    )
    sample = mu if mu.n <= most else mu.subsample(most, seed=0)
    neighbours = neighbours or default_neighbours(mu.dimension)
    if sample.n <= neighbours:
        raise ValueError(
            f"particles: the recorded energy estimates the entropy by {neighbours} nearest neighbours, which "
            f"needs more than {neighbours} particles, got {sample.n}: take more, or neighbours=1"
        )
    estimate = entropy_estimate(sample, neighbours)
    influence = theta * estimate.log_density
    for c, atom in outside_terms(F.parts):
        influence = influence + c * np.asarray(atom.first_variation(sample), dtype=float)
    weights, mass = np.asarray(sample.weights, dtype=float) / sample.mass, float(sample.mass)
    error = mass * standard_error(influence, weights, neighbours, theta)
    return theta * estimate.value + value, math.hypot(error, theta * estimate.bias)
