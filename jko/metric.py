"""Matrix metrics A(x) of ∂_tρ = ∇·(ρA∇ξ): what is declared of one, for every scheme that takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.pointwise import describe, each_point
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.tolerances import TOLERANCES
from jko.errors import shown

Given = Callable | ArrayLike


def frozen_metric(given: Given) -> Any:
    """What a scheme keeps of its `metric`: a function as it is, a matrix as tuples of numbers.

    Raises TypeError for what is neither, ValueError for a matrix that is not symmetric and positive definite.
    """
    if callable(given):
        return given
    try:
        matrix = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise TypeError(
            f"metric: expected a symmetric positive definite matrix `[d, d]`, or a jax function A(x) that "
            f"gives one, got {shown(given)}"
        )
    _require(matrix[None], None, "the matrix")
    return tuple(map(tuple, matrix.tolist()))


def matrices(metric: Any, points: np.ndarray) -> np.ndarray:
    """A at points `[n, d]`, `[n, d, d]` in float64, refused by ValueError where it is not symmetric and
    positive definite."""
    points = np.asarray(points, dtype=float)
    with jax.enable_x64(True):
        found = evaluated(each_point(at_point(metric)), points)
    _require(found, points, describe(metric) if callable(metric) else "the matrix")
    return found


def at_point(metric: Any) -> Callable:
    """A as a jax function of a point `[d]`, `[d, d]`."""
    return _function(as_it_reads_now(metric)) if callable(metric) else _constant(metric)


@kept
def _function(A: Callable) -> Callable:
    def checked(x):
        found = jnp.asarray(A(x), x.dtype)
        if found.size != x.size**2 or found.ndim not in (0, 2):
            raise TypeError(
                f"metric: expected a matrix of shape {(x.size, x.size)} at a point of shape {x.shape}, got "
                f"{found.shape} from {describe(A)}"
            )
        return found.reshape(x.size, x.size)

    return checked


@kept
def _constant(matrix: tuple) -> Callable:
    def constant(x):
        if len(matrix) != x.size:
            raise TypeError(
                f"metric: expected a matrix of shape {(x.size, x.size)}, got {(len(matrix), len(matrix))}"
            )
        return jnp.asarray(matrix, x.dtype)

    return constant


def divergence(A: Callable, x: Array) -> jax.Array:
    """∇·A at a point, (∇·A)_i = Σ_j ∂_j A_ij."""
    return jnp.einsum("ijj->i", jax.jacfwd(A)(x))


def _require(found: np.ndarray, points: np.ndarray | None, what: str) -> None:
    size = np.abs(found).max(axis=(1, 2))
    turned = np.abs(found - np.swapaxes(found, 1, 2)).max(axis=(1, 2))
    known = np.isfinite(size)
    bad = ~known | (turned > TOLERANCES.curvature * size)
    held = np.where(bad[:, None, None], np.eye(found.shape[1]), found)
    bad |= np.linalg.eigvalsh(0.5 * (held + np.swapaxes(held, 1, 2)))[:, 0] <= 0.0
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        where = "" if points is None else f" at x = {points[first].tolist()}"
        raise ValueError(
            f"metric: expected a symmetric positive definite matrix, got {found[first].tolist()} of "
            f"{what}{where}"
        )
