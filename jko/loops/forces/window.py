"""The window that carries particles to a mesh and back: Kaiser and Bessel's I₀(β√(1 − t²)), |t| ≤ 1.

[PottsSteidl2003].

Its pieces between mesh points are polynomials, so that values and exact derivatives cost multiplications
alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from jko.loops.forces.terms import interpolation_matrix


@lru_cache(maxsize=32)
def window(width: int, oversampling: float):
    """(pieces `[degree + 1, padded]`, slopes alike, β): the window over `width` mesh points.

    Column a holds the window at t = (x + a)·2/width − 1 as a polynomial of u = 2x − 1, x ∈ [0, 1) the
    distance from the left end of the window to the first mesh point in it. Columns beyond `width` are 0.
    """
    beta = np.pi * width * (1.0 - 0.5 / oversampling)
    degree = min(width + 5, 16)
    nodes = np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))
    t = (0.5 * (nodes[:, None] + 1.0) + np.arange(width)) * 2.0 / width - 1.0
    pieces = np.zeros((degree + 1, 8 if width <= 8 else 16))
    pieces[:, :width] = interpolation_matrix(nodes) @ _value(t, beta)
    slopes = np.zeros_like(pieces)
    slopes[:-1] = 2.0 * np.arange(1, degree + 1)[:, None] * pieces[1:]  # by x, and du/dx = 2
    return pieces, slopes, beta


def transform(width: int, oversampling: float, frequencies: np.ndarray) -> np.ndarray:
    """∫ψ(x)e^{−iθx}dx over mesh units x, at angular frequencies θ per mesh point."""
    from scipy.special import i0e

    beta = window(width, oversampling)[2]
    root = np.sqrt(np.maximum(beta**2 - (0.5 * width * np.asarray(frequencies)) ** 2, 1e-12))
    return 0.5 * width * (np.exp(root - beta) - np.exp(-root - beta)) / (root * i0e(beta))


def _value(t: np.ndarray, beta: float):
    from scipy.special import i0e

    root = np.sqrt(np.maximum(1.0 - t * t, 0.0))
    return np.where(np.abs(t) <= 1.0, i0e(beta * root) * np.exp(beta * (root - 1.0)) / i0e(beta), 0.0)
