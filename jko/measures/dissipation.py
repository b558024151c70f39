"""How fast a functional falls along its own flow."""

from __future__ import annotations

import numpy as np

from functionals.base import Functional
from jko.measures.measure import Measure


def dissipation(functional: Functional, measure: Measure) -> float:
    """∫|∇_W F|² dρ, the rate −dF/dt along the Wasserstein gradient flow of F at this measure.

    Of F = KL(·‖π) it is the relative Fisher information ∫|∇log(ρ/π)|² dρ, and λ-convexity bounds it from
    below: F − min F ≤ ∫|∇_W F|² dρ/(2λ) [OttoVillani2000]. On a Density by centred differences, of second
    order in the cells; on Particles exact for the energy of the cloud. Raises TypeError for something that is
    no functional or no measure, and what F raises where it has no gradient.
    """
    if not isinstance(functional, Functional):
        raise TypeError(f"functional: expected a Functional, got {type(functional).__name__}")
    if not isinstance(measure, Measure):
        raise TypeError(f"measure: expected a Density, Particles or Gaussian, got {type(measure).__name__}")
    gradient = np.asarray(functional.wasserstein_gradient(measure), dtype=np.float64)
    squared = np.sum(gradient**2, axis=-1).ravel()
    masses = np.asarray(measure.masses, dtype=np.float64).ravel()
    return float(masses @ np.where(masses > 0.0, squared, 0.0))
