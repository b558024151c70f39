"""W₂² from below and from above by what an entropic plan knows."""

from __future__ import annotations

import numpy as np

from jko.measures import Gaussian, Particles
from jko.transport.distances.distance import Certificate


def entropic_bracket(mu: Particles, nu: Particles, found):
    """(lower, upper, certificate) of W₂² between the atoms of two measures from an `EntropicTransport`.

    Entropic potentials exceed the cost by O(ε), and are made admissible by two conjugations over the
    atoms: ψ = φᶜ for |x − y|²/2 from φ = g/2 where nu has mass, then φ = ψᶜ. Their dual value is the lower
    bound, the cost of a plan with both marginals the upper, and the gap what lies between. Atoms of a
    density are its cells at their centres; between Gaussians both bounds are the closed form.
    """
    if isinstance(mu, Gaussian) and isinstance(nu, Gaussian):
        from jko.transport.distances.gaussian import bures_wasserstein, gaussian_certificate

        squared = bures_wasserstein(mu.mean(), mu.covariance(), nu.mean(), nu.covariance()) ** 2
        return squared, squared, gaussian_certificate(mu, nu)
    pair = found.problem
    psi, phi = _admissible(mu, nu, pair, 0.5 * found.potentials[1])
    lower = 2.0 * pair.mass * float((psi * pair.mu).sum() + (phi * pair.nu).sum())
    upper = pair.feasible_cost(*found.centred)
    return lower, upper, Certificate((psi, phi), upper - lower)


def _admissible(mu: Particles, nu: Particles, pair, phi: np.ndarray):
    if pair.spacing:
        from jko.loops.transport.c_transform import c_transform

        psi = c_transform(np.where(pair.nu > 0.0, phi, -np.inf), pair.spacing, 1.0, refine=False)
        return psi, c_transform(psi, pair.spacing, 1.0, refine=False)
    from jko.transport.distances.atoms import conjugate_from

    middle = pair.middles[1]
    psi = conjugate_from(mu, np.asarray(nu.positions, dtype=float) - middle, phi, middle)
    return psi, conjugate_from(nu, np.asarray(mu.positions, dtype=float) - middle, psi, middle)
