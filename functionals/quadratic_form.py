"""Is a jax function quadratic, and which one?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from functionals import pointwise


class QuadraticForm(NamedTuple):
    """V(x) = ½xᵀAx + b·x + c, with A `[d, d]`, b `[d]`, c a number."""

    A: np.ndarray
    b: np.ndarray
    c: float


def quadratic_form(V, dimension: int, tolerance: float = 1e-10) -> QuadraticForm | None:
    """The quadratic form that V is on R^dimension, or None; found from V, ∇V and D²V at 8 fixed points."""
    generator = np.random.default_rng(20260101)
    scales = np.repeat([[0.3], [3.0]], 4, axis=0)
    probes = np.vstack([scales * generator.standard_normal((8, dimension))])
    A = pointwise.hessians(V, probes)
    if not np.all(np.isfinite(A)):
        return None
    form_A = A.mean(axis=0)
    form_A = 0.5 * (form_A + form_A.T)
    slopes, values = pointwise.gradients(V, probes), pointwise.values(V, probes)
    b = (slopes - probes @ form_A).mean(axis=0)
    quadratic = 0.5 * np.einsum("ni,ij,nj->n", probes, form_A, probes) + probes @ b
    c = float((values - quadratic).mean())
    # |x| has a quadratic form's Hessian, but not its slopes
    pairs = ((A, np.broadcast_to(form_A, A.shape)), (slopes, probes @ form_A + b), (values, quadratic + c))
    if any(
        np.abs(found - fitted).max() > tolerance * max(1.0, np.abs(found).max()) for found, fitted in pairs
    ):
        return None
    return QuadraticForm(form_A, b, c)
