"""The map y ↦ y + σ∇φ(y) on a grid: its displacement and derivative in cells, φ mirrored at the walls."""

from __future__ import annotations

import numpy as np

# of I + σD²φ: a map that folds more counts as if it did not, and logarithms stay finite
LEAST_DETERMINANT = 0.05


def derivatives(phi: np.ndarray, sigma: float, spacing: tuple, wide: bool = False):
    """σ∇φ in cells `[d, *cells]` and σD²φ in cells `[d(d+1)/2, *cells]`, rows of the upper triangle."""
    d, h = phi.ndim, spacing
    first = [_slope(phi, axis, wide) for axis in range(d)]
    gradient = np.stack([sigma / h[a] ** 2 * first[a] for a in range(d)])
    rows = []
    for a in range(d):
        for b in range(a, d):
            if a != b:
                second = _slope(first[a], b, wide)
            else:
                second = _slope(first[a], a, wide, odd=True) if wide else _bend(phi, a)
            rows.append(sigma / (h[a] * h[b]) * second)
    return gradient, np.stack(rows)


def shifted(field: np.ndarray, axis: int, layers: int, odd: bool = False):
    """The field with mirrored layers, as a function of the shift."""
    n = field.shape[axis]
    index = np.arange(-layers, n + layers) % (2 * n)
    inside = index < n
    padded = field.take(np.where(inside, index, 2 * n - 1 - index), axis)
    if odd:
        padded *= np.where(inside, 1.0, -1.0).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    slices = [slice(None)] * field.ndim

    def at(shift: int):
        slices[axis] = slice(layers + shift, layers + shift + n)
        return padded[tuple(slices)]

    return at


def _slope(field: np.ndarray, axis: int, wide: bool, odd: bool = False):
    at = shifted(field, axis, 2, odd)
    if wide:
        return 0.5 * (at(1) - at(-1))
    return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12.0


def _bend(field: np.ndarray, axis: int):
    at = shifted(field, axis, 2)
    return (16.0 * (at(1) + at(-1)) - (at(2) + at(-2)) - 30.0 * at(0)) / 12.0


def jacobian(hessian: np.ndarray):
    """det(I + H) and its least eigenvalue, H given by the rows of its upper triangle, the same in cells'
    units."""
    if len(hessian) == 1:
        return 1.0 + hessian[0], 1.0 + hessian[0]
    if len(hessian) == 3:
        a, b, c = 1.0 + hessian[0], hessian[1], 1.0 + hessian[2]
        half = 0.5 * (a + c)
        return a * c - b * b, half - np.sqrt((0.5 * (a - c)) ** 2 + b * b)
    matrix = np.empty((*hessian.shape[1:], 3, 3))
    for row, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        matrix[..., i, j] = matrix[..., j, i] = hessian[row] + (i == j)
    return np.linalg.det(matrix), np.linalg.eigvalsh(matrix)[..., 0]


def lift(field: np.ndarray):
    """As a field of three dimensions, the first ones of a single cell."""
    return np.ascontiguousarray(field).reshape((1,) * (3 - field.ndim) + field.shape)


def lift_all(fields: np.ndarray):
    """Several fields `[k, *cells]`, each as `lift` does."""
    return np.ascontiguousarray(fields).reshape((len(fields),) + (1,) * (4 - fields.ndim) + fields.shape[1:])
