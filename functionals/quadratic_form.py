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
    """The quadratic form that V is on R^dimension, or None; found from V, ∇V and D²V at 8 fixed points
    and held to V at 6144 more, within a distance of 30."""
    generator = np.random.default_rng(20260101)
    scales = np.repeat([[0.3], [3.0]], 4, axis=0)
    probes = np.vstack([scales * generator.standard_normal((8, dimension))])
    A = pointwise.hessians(V, probes)
    if not np.all(np.isfinite(A)):
        return None
    form_A = A.mean(axis=0)
    form_A = 0.5 * (form_A + form_A.T)
    slopes, values = pointwise.gradients(V, probes), pointwise.values(V, probes)
    if not (np.all(np.isfinite(slopes)) and np.all(np.isfinite(values))):
        return None
    b = (slopes - probes @ form_A).mean(axis=0)
    quadratic = 0.5 * np.einsum("ni,ij,nj->n", probes, form_A, probes) + probes @ b
    c = float((values - quadratic).mean())
    # |x| has a quadratic form's Hessian, but not its slopes
    pairs = ((A, np.broadcast_to(form_A, A.shape)), (slopes, probes @ form_A + b), (values, quadratic + c))
    if any(
        np.abs(found - fitted).max() > tolerance * max(1.0, np.abs(found).max()) for found, fitted in pairs
    ):
        return None
    form = QuadraticForm(form_A, b, c)
    return form if _holds_elsewhere(form, V, generator) else None


def _holds_elsewhere(form: QuadraticForm, V, generator) -> bool:
    """V at many points near and far: a bump that the few probes missed makes it no quadratic form."""
    reach = np.repeat([1.0, 5.0, 30.0], 2048)[:, None]
    points = reach * generator.uniform(-1.0, 1.0, (reach.size, form.b.size))
    fitted = 0.5 * np.einsum("ni,ij,nj->n", points, form.A, points) + points @ form.b + form.c
    scale = (
        0.5 * np.sum(points**2, axis=1) * np.abs(form.A).max() + np.abs(points) @ np.abs(form.b) + abs(form.c)
    )
    return bool(np.all(np.abs(pointwise.values(V, points) - fitted) <= 1e-8 * np.maximum(1.0, scale)))
