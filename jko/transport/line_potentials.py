"""Kantorovich potentials on the line, from the monotone rearrangement."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Particles
from jko.transport.distance import Certificate
from jko.transport.quantile import matched_segments


def line_certificate(mu, nu, first, second) -> Certificate:
    """Potentials at the points of measures with quantile functions `first` and `second`, mass 1.

    u(x) = ∫T convex and u*(y) its conjugate give ψ = x²/2 − u, φ = y²/2 − u*. Along a segment of both
    quantile functions each is a parabola, so that Simpson's rule gives the dual value exactly.
    """
    width, a0, b0, a1, b1 = matched_segments(first, second)
    shift = a0[0]  # potentials from one end keep their digits far from 0
    u = _Convex(np.stack([a0, b0], 1).ravel() - shift, np.stack([a1, b1], 1).ravel())
    dual = _Convex(u.images, u.knots, u.knots[0] * u.images[0])

    def psi(x):
        return 0.5 * x * x - u(x - shift)

    def phi(y):
        return 0.5 * y * y - shift * y - dual(y)

    value = _simpson(width, a0, b0, psi) + _simpson(width, a1, b1, phi)
    a, b = a0 - a1, b0 - b1
    squared = float(np.sum(width * (a * a + a * b + b * b)) / 3.0)
    return Certificate((_at(mu, psi), _at(nu, phi)), squared - 2.0 * value)


class _Convex:
    """∫ of a nondecreasing piecewise linear map from its first knot, of slope 1 beyond the ends."""

    def __init__(self, knots, images, start=0.0):
        self.knots, self.images = np.maximum.accumulate(knots), np.maximum.accumulate(images)
        steps = 0.5 * (self.images[1:] + self.images[:-1]) * np.diff(self.knots)
        self.at_knots = start + np.concatenate([[0.0], np.cumsum(steps)])

    def __call__(self, x):
        inside = np.clip(x, self.knots[0], self.knots[-1])
        k = np.clip(np.searchsorted(self.knots, inside, side="right") - 1, 0, self.knots.size - 2)
        span = self.knots[k + 1] - self.knots[k]
        fraction = np.where(span > 0.0, (inside - self.knots[k]) / np.where(span > 0.0, span, 1.0), 0.0)
        image = self.images[k] + fraction * (self.images[k + 1] - self.images[k])
        beyond = x - inside
        edge = np.where(beyond > 0.0, self.images[-1], np.where(beyond < 0.0, self.images[0], 0.0))
        inner = self.at_knots[k] + 0.5 * (self.images[k] + image) * (inside - self.knots[k])
        return inner + edge * beyond + 0.5 * beyond * beyond


def _simpson(width, left, right, f):
    return float(np.sum(width * (f(left) + 4.0 * f(0.5 * (left + right)) + f(right))) / 6.0)


def _at(mu, potential):
    if isinstance(mu, Density):
        return potential(mu.grid.axes[0])
    if isinstance(mu, Particles):
        return potential(np.asarray(mu.positions, dtype=float)[:, 0])
    return lambda x: potential(np.asarray(x, dtype=float).reshape(-1))
