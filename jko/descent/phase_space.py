"""The free energy of positions and velocities together, from samples."""

from __future__ import annotations

import math

import numpy as np

from jko.descent.field import outside_terms
from jko.measures import Particles
from jko.measures.entropy_estimate import default_neighbours, entropy_estimate, standard_error


def phase_space_energy(F, mu, velocities, mass: float) -> tuple[float, float]:
    """(E, its standard error), E = G(ρ) + ½m∫|v|²df + θ∫f log f + θ(d/2) log(2πθ/m), velocities `[n, d]`.

    f is the law of positions and velocities, ρ that of the positions, F = θ∫ρ log ρ + G. The constant makes
    E = F(ρ) + θ KL(f | ρ ⊗ N(0, θ/m)) ≥ F(ρ), with equality where the velocities are in equilibrium. Along
    the kinetic Fokker–Planck equation dE/dt = −γm∫|v + (θ/m)∇_v log f|²df ≤ 0 [Villani2009]. ∫f log f is
    estimated from nearest neighbours in 2d dimensions, whose bias grows with them.
    """
    parts, d = F.parts, mu.dimension
    x, v = np.asarray(mu.positions, dtype=float), np.asarray(velocities, dtype=float)
    weights = np.asarray(mu.weights, dtype=float)
    outside = outside_terms(parts)
    influence = 0.5 * mass * np.sum(v**2, axis=1)
    value = float(weights @ influence) + sum(c * atom(mu) for c, atom in outside)
    for c, atom in outside:
        influence = influence + c * np.asarray(atom.first_variation(mu), dtype=float)
    theta = parts.temperature
    if theta == 0.0:
        return value, 0.0
    if not np.any(v):
        return math.inf, math.inf
    # neighbours are looked for where positions and velocities are of one size
    size = math.sqrt(weights @ np.sum((x - weights @ x) ** 2, axis=1) / (weights @ np.sum(v**2, axis=1)))
    neighbours = default_neighbours(2 * d)
    estimate = entropy_estimate(Particles(np.hstack([x, size * v]), mu.weights.astype(float)), neighbours)
    log_density = estimate.log_density + d * math.log(size)
    value += theta * float(weights @ log_density) + 0.5 * theta * d * math.log(2.0 * math.pi * theta / mass)
    error = standard_error(influence + theta * log_density, weights, neighbours, theta)
    return value, math.hypot(error, theta * estimate.bias)
