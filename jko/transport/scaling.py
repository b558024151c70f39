"""The fixed points of Sinkhorn's algorithm in the log domain, with Anderson's mixing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.loops.anderson import Anderson

_DEPTH = 6
_START_MIXING = 0.5  # the L1 error below which iterates are worth mixing
_LARGEST = 600.0  # exponents above are as good as infinite


class Scaling(NamedTuple):
    """Potentials over the temperature: first = f/ε, second = g/ε, of the plan e^{f + g − c}μ⊗ν whose first
    marginal is exact; `error` is ∑|second marginal − ν|."""

    first: np.ndarray
    second: np.ndarray
    error: float
    iterations: int


def scale(kernel, log_mu, log_nu, start, tolerance, max_iterations) -> Scaling:
    """f ← −log K(e^g ν), g ← −log Kᵀ(e^f μ) in turn [Cuturi2013], from g = start, the pair mixed.

    `kernel.forth(logs on the second)` is log of the kernel's sums on the first, `kernel.back` the transpose.
    Stops at `tolerance` or `max_iterations`, which the result tells.
    """
    nu = np.exp(log_nu)
    mixing, second = Anderson(nu, _DEPTH), start - float((nu * start).sum())
    for done in range(1, max_iterations + 1):
        first = -kernel.forth(second + log_nu)
        image = -kernel.back(first + log_mu)
        error = _difference(nu, second - image)
        if error <= tolerance or done == max_iterations:
            break
        # a constant in g is one in f, and mixing would let it grow
        image -= float((nu * image).sum())
        second = mixing(second, image) if error < _START_MIXING else image
    return Scaling(first, second, error, done)


def scale_symmetric(kernel, log_mu, start, tolerance, max_iterations) -> Scaling:
    """f ← (f − log K(e^f μ))/2, the fixed point of a measure with itself [FeydyEtAl2019]."""
    mu = np.exp(log_mu)
    mixing, f = Anderson(mu, _DEPTH), start
    for done in range(1, max_iterations + 1):
        image = -kernel.forth(f + log_mu)
        error = _difference(mu, f - image)
        if error <= tolerance or done == max_iterations:
            break
        half = 0.5 * (f + image)
        f = mixing(f, half) if error < _START_MIXING else half
    return Scaling(f, f, error, done)


def _difference(masses, excess):
    return float(np.abs(masses * np.expm1(np.minimum(excess, _LARGEST))).sum())
