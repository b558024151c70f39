"""All-pairs sums Σ_j w_j k(x_i, y_j) and their gradients: exact, row-blocked, in bounded memory.

Coordinates are subtracted before they are squared, always: the expansion ‖x‖² + ‖y‖² − 2x·y loses every digit
for close pairs far from the origin. Everything here can be traced and differentiated by jax; a block is
recomputed on the way back, so a reverse pass keeps the memory bound too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.programs import kept
from functionals.time_dependence import AtTime
from jko.loops.sums.tolerances import TOLERANCES


@dataclass(frozen=True)
class Difference:
    """The kernel k(x, y) = W(x − y), equal for equal W, so that a compiled sum is found again."""

    function: Callable

    def __call__(self, x: Array, y: Array):
        return self.function(x - y)


def pair_sum(
    kernel: Callable | Difference,
    x: Array,
    y: Array,
    weights: Array,
    *,
    block: int | None = None,
    exclude_coincident: bool = False,
):
    """Σ_j w_j k(x_i, y_j).

    kernel: ``kernel(x_i [d], y_j [d]) -> scalar`` in jax, hashable, the same object from call to call (sums
    are compiled once for each kernel and shape; ``Difference(W)`` makes such an object of an even W). x ``[n,
    d]``, y ``[m, d]``, weights ``[m]``; returns ``[n]`` in the dtype of x. ``block`` rows of the n × m matrix
    are held at once. ``exclude_coincident`` drops pairs with x_i == y_j; their gradients are zero.
    """
    with precision(x, y):
        x, y, weights = _arrays(x, y, weights)
        return _summed(_pair_sum, kernel, (_rows(x, y, block), exclude_coincident), x, y, weights)


def pair_gradient_sum(
    kernel: Difference,
    x: Array,
    y: Array,
    weights: Array,
    *,
    block: int | None = None,
    exclude_coincident: bool = False,
):
    """Σ_j w_j ∇₁k(x_i, y_j) ``[n, d]``, ∇₁ the gradient in the first argument; see `pair_sum`."""
    with precision(x, y):
        x, y, weights = _arrays(x, y, weights)
        return _summed(_pair_gradient_sum, kernel, (_rows(x, y, block), exclude_coincident), x, y, weights)


def radial_sum(profile: Callable, x: Array, y: Array, weights: Array, *, block: int | None = None):
    """Σ_j w_j f(|x_i − y_j|²) ``[n]``, for an elementwise jax function f of the squared distance.

    weights may be ``[m]`` or ``[m, c]``, c sums sharing one evaluation of f: the result is then ``[n, c]``.
    """
    with precision(x, y):
        x, y, weights = _arrays(x, y, weights)
        return _summed(_radial_sum, profile, (_rows(x, y, block),), x, y, weights)


def radial_gradient_sum(slope: Callable, x: Array, y: Array, weights: Array, *, block: int | None = None):
    """Σ_j w_j s(|x_i − y_j|²)(x_i − y_j) ``[n, d]``, in the matrix form x·Σ s w − (s w) @ y.

    With s = 2f′ this is the gradient of `radial_sum`. weights may be ``[m]``, or, where y is x, a pair
    ``(u [n], v [n])`` for the symmetric sum Σ_j v_j (u_i + u_j) s(·)(x_i − x_j).
    """
    left, right = weights if isinstance(weights, tuple) else (None, weights)
    with precision(x, y):
        x, y, right = _arrays(x, y, right)
        if left is None:
            return _summed(_radial_gradient_sum, slope, (_rows(x, y, block),), x, y, right)
        return _summed(_symmetric_gradient_sum, slope, (_rows(x, y, block),), x, y, left, right)


def radial_difference_sum(slope: Callable, x: Array, y: Array, weights: Array, *, block: int | None = None):
    """Σ_j w_j s(|x_i − y_j|²)(x_i − y_j) ``[n, d]``, each difference taken first: for an s without bound at
    0."""
    with precision(x, y):
        x, y, weights = _arrays(x, y, weights)
        return _summed(_radial_difference_sum, slope, (_rows(x, y, block),), x, y, weights)


def precision(*arrays):
    """A context for computing with these arrays: jax's x64 mode if one is float64, else as it is."""
    double = any(str(getattr(a, "dtype", "")) == "float64" for a in arrays)
    return jax.enable_x64(True) if double else nullcontext()


def _summed(total: Callable, kernel: Callable, fixed: tuple, *arrays):
    """A sum over pairs by its program; the time of a kernel that has one is an operand."""
    at = getattr(kernel, "function", None)
    if isinstance(at, AtTime):
        program, operands = _program_of_time(total, at.function, *fixed), (at.t, *arrays)
    else:
        program, operands = _program_of(total, kernel, *fixed), arrays
    traced = any(isinstance(operand, jax.Array) for operand in operands)
    return program(*operands) if traced else evaluated(program, *operands)


@kept
def _program_of(total: Callable, *fixed):
    return jax.jit(partial(total, *fixed))


@kept
def _program_of_time(total: Callable, function: Callable, *fixed):
    return jax.jit(lambda t, *arrays: total(Difference(AtTime(function, t)), *fixed, *arrays))


def _arrays(x: np.ndarray, y: np.ndarray, weights: np.ndarray):
    namespace = jnp if any(isinstance(a, jax.Array) for a in (x, y, weights)) else np
    x, y, weights = (namespace.asarray(a) for a in (x, y, weights))
    return x, y, weights.astype(jnp.result_type(x.dtype, y.dtype))


def _rows(x: Array, y: Array, block: int | None) -> int:
    entries = max(1, TOLERANCES.block_entries // max(1, y.shape[0]))
    return max(1, min(x.shape[0], entries if block is None else int(block)))


def _by_rows(function: Callable, block: int, *arrays):
    """``function`` of blocks of rows of the arrays ``[n, ...]``, put together again."""
    n = arrays[0].shape[0]
    full = n - n % block
    blocks = tuple(a[:full].reshape(full // block, block, *a.shape[1:]) for a in arrays)
    head = lax.map(jax.checkpoint(lambda rows: function(*rows)), blocks)
    head = head.reshape(full, *head.shape[2:])
    if full == n:
        return head
    return jnp.concatenate([head, jax.checkpoint(function)(*(a[full:] for a in arrays))])


def without_coincident(kernel: Callable) -> Callable:
    """k(x, y), 0 with gradient 0 where x = y."""

    def masked(x: Array, y: Array):
        coincident = jnp.all(x == y)
        # a finite point stands in for a coincident one: a gradient through the unused branch must not be NaN
        value = kernel(x, jnp.where(coincident, lax.stop_gradient(x) + 1, y))
        return jnp.where(coincident, jnp.zeros_like(value), value)

    return masked


def _pair_sum(kernel: Callable | Difference, block: int, exclude: bool, x: Array, y: Array, weights: Array):
    kernel = without_coincident(kernel) if exclude else kernel
    matrix = jax.vmap(jax.vmap(kernel, (None, 1)), (1, None))  # coordinates first: long inner loops
    columns = y.T
    return _by_rows(lambda rows: matrix(rows.T, columns) @ weights, block, x).astype(x.dtype)


def _pair_gradient_sum(
    kernel: Callable | Difference, block: int, exclude: bool, x: Array, y: Array, weights: Array
):
    gradient = jax.grad(without_coincident(kernel) if exclude else kernel)
    matrix = jax.vmap(jax.vmap(gradient, (None, 0), 1), (0, None), 1)  # [d, rows, m]
    return _by_rows(lambda rows: (matrix(rows, y) @ weights).T, block, x).astype(x.dtype)


def _squared_distances(rows: Array, y: Array):
    total = jnp.zeros((), rows.dtype)
    for i in range(y.shape[1]):
        total = total + (rows[:, i, None] - y[None, :, i]) ** 2
    return total


def _radial_sum(profile: Callable, block: int, x: Array, y: Array, weights: Array):
    return _by_rows(lambda rows: profile(_squared_distances(rows, y)) @ weights, block, x)


def _radial_gradient_sum(slope: Callable, block: int, x: Array, y: Array, weights: Array):
    x, y = _centred(x, y)
    columns = weights[:, None] * jnp.concatenate([jnp.ones_like(y[:, :1]), y], axis=1)

    def rows_sum(rows: Array):
        sums = slope(_squared_distances(rows, y)) @ columns
        return rows * sums[:, :1] - sums[:, 1:]

    return _by_rows(rows_sum, block, x)


def _radial_difference_sum(slope: Callable, block: int, x: Array, y: Array, weights: Array):
    def rows_sum(rows: Array):
        matrix = slope(_squared_distances(rows, y)) * weights
        sums = [jnp.sum(matrix * (rows[:, i, None] - y[None, :, i]), axis=1) for i in range(y.shape[1])]
        return jnp.stack(sums, axis=1)

    return _by_rows(rows_sum, block, x)


def _symmetric_gradient_sum(slope, block, x, y, left, weights):
    x, y = _centred(x, y)
    d = y.shape[1]
    ones = jnp.concatenate([jnp.ones_like(y[:, :1]), y], axis=1)
    columns = jnp.concatenate([weights[:, None] * ones, (weights * left)[:, None] * ones], axis=1)

    def rows_sum(rows, row_left):
        sums = slope(_squared_distances(rows, y)) @ columns
        plain, scaled = sums[:, : d + 1], sums[:, d + 1 :]
        total = row_left[:, None] * plain + scaled
        return rows * total[:, :1] - total[:, 1:]

    return _by_rows(rows_sum, block, x, left)


def _centred(x: Array, y: Array):
    """Both clouds seen from the mean of y: x·Σ − Σ·y cancels, and cancels less near the origin."""
    centre = jnp.mean(y, axis=0)
    return x - centre, y - centre
