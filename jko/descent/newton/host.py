"""The proximal step of `newton.py` for a field whose sums over pairs are taken outside jax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from functionals.array import Array
from jko.descent.newton.dense import dense_direction, has_dense_newton
from jko.descent.tolerances import TOLERANCES


def proximal_step_on_the_host(
    flow, start: np.ndarray, w: np.ndarray, tau: float, tolerance: float, max_iterations: int, max_inner: int
):
    """(x, relative residual, iterations) as `newton.proximal_step` has them, in numpy, from the start on.

    Where conjugate gradients take long and the whole matrix is at hand, it is factored instead.
    """
    dense = has_dense_newton(flow, start)

    def inner(u: np.ndarray, v: np.ndarray):
        return float(np.sum(w[:, None] * u * v, dtype=float))

    def objective(x: np.ndarray):
        return inner(x - start, x - start) / (2 * tau) + float(flow.compiled_energy(x, w))

    def residual(x: np.ndarray):
        return x - start + tau * np.asarray(flow.compiled_gradient(x, w))

    def relative(x: np.ndarray, r: np.ndarray):
        floor = least * np.sqrt(inner(start, start))
        return np.sqrt(inner(r, r)) / (np.sqrt(inner(x - start, x - start)) + floor / tolerance)

    least = 64 * np.finfo(start.dtype).eps
    x, r, value, count = start, residual(start), objective(start), 0
    error = np.inf if inner(r, r) > 0 else 0.0
    while error > tolerance and count < max_iterations:

        def product(v: np.ndarray, x: np.ndarray = x):
            return v + tau * np.asarray(flow.compiled_product(x, w, v))

        few = min(max_inner, TOLERANCES.few_products) if dense else max_inner
        direction, solved = _conjugate_gradients(product, -r, inner, min(0.1, np.sqrt(error)), few)
        if dense and not solved:
            whole = dense_direction(flow, x, w, tau, r)
            direction = direction if whole is None else whole
            solved = whole is not None
        if solved and inner(direction, direction) <= least**2 * inner(x, x):
            # stiff forces round off by more than that: the positions are what they can be
            error = min(error, tolerance)
            break
        x, value, moved = _line_search(objective, x, direction, value, inner(r, direction) / tau)
        r, count = residual(x), count + 1
        error = relative(x, r)
        if not moved:
            break
    return x, float(error), count


def _conjugate_gradients(
    product: Callable, b: Array, inner: Callable, forcing: float | Array, max_inner: int
):
    # (an inexact solution, whether it is as good as asked)
    v, r, p, rr = np.zeros_like(b), b, b, inner(b, b)
    target = forcing**2 * rr
    for count in range(max_inner):
        if not rr > target:
            return v, True
        image = product(p)
        curvature = inner(p, image)
        if curvature <= 0:
            return (v if count else p), False
        length = rr / curvature
        v, r = v + length * p, r - length * image
        new = inner(r, r)
        p, rr = r + (new / rr) * p, new
    return v, not rr > target


def _line_search(objective: Callable, x: Array, direction: Array, value: float | Array, slope: float | Array):
    slack = 8 * np.finfo(x.dtype).eps * abs(value)
    length = 1.0
    for _ in range(TOLERANCES.halvings):
        there = (x + length * direction).astype(x.dtype)
        trial = objective(there)
        if trial <= value + TOLERANCES.sufficient_decrease * length * slope + slack:
            return there, trial, True
        length /= 2
    return x, value, False
