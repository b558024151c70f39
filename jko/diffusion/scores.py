"""Scores: an estimate from particles, and what tells a gradient from another field."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.arguments import cloud, finite_number, known_times, point, within
from jko.diffusion.coefficients import at_points
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, positive_number, whole_number
from jko.measures import Particles


def kernel_score(particles: Particles, bandwidth: float):
    """∇log(φ_h ∗ α) of a cloud under a Gaussian kernel of standard deviation h, as a jax function of (x, t).

    It is the exact score of the cloud after the noise σ = h [Vincent2011]; t is ignored.
    """
    cloud("particles", particles)
    bandwidth = positive_number("bandwidth", bandwidth)
    positions, log_weights = np.asarray(particles.positions), np.log(np.asarray(particles.weights))

    def score(x, t: float = 0.0):
        x = point("x", x, particles.dimension)
        pull = jnp.asarray(positions, x.dtype) - x
        exponent = -0.5 * jnp.sum(pull**2, axis=1) / bandwidth**2
        share = jax.nn.softmax(exponent + jnp.asarray(log_weights, x.dtype))
        return share @ pull / bandwidth**2

    return score


def curl(field: Callable, points: np.ndarray, t: float = 0.0) -> np.ndarray:
    """∂ⱼvᵢ − ∂ᵢvⱼ of a field v(x, t) at points `[n, d]`, as `[n, d, d]`: 0 everywhere for a gradient."""
    points = finite_array("points", points)
    if points.ndim != 2:
        raise ValueError(f"points: expected an array [n, d], got shape {points.shape}")
    field, t = _ready("field", field, t, points.shape[1])
    jacobian = at_points(jax.jacfwd(field), points, t)
    return jacobian - jacobian.transpose(0, 2, 1)


def circulation(field, loop, t: float = 0.0, *, nodes: int = 256) -> float:
    """∮v·dx along a closed curve, 0 for a gradient; `loop(s)` `[d]` is a jax function with period 1.

    By the trapezoidal rule, of spectral accuracy for smooth curves [TrefethenWeideman2014]. Raises
    ValueError for a curve that does not close.
    """
    loop = checked_function("loop", loop, (None,), of="(s)")
    with jax.enable_x64(True):
        ends = np.asarray(loop(jnp.asarray(0.0))), np.asarray(loop(jnp.asarray(1.0)))
    turn = np.asarray(at_points(lambda s, t: loop(s[0]), np.linspace(0.0, 1.0, 9)[:, None], 0.0))
    if np.abs(ends[1] - ends[0]).max() > TOLERANCES.closed * np.abs(turn - turn[0]).max():
        raise ValueError(f"loop: expected a closed curve, got ends {ends[0].tolist()}, {ends[1].tolist()}")
    field, t = _ready("field", field, t, ends[0].size)
    parameters = np.arange(whole_number("nodes", nodes)) / nodes
    return float(np.mean(_along(field, loop, parameters, t)))


def log_density_difference(score, start, end, t: float = 0.0, *, nodes: int = 64) -> np.ndarray:
    """log pₜ(end) − log pₜ(start), the line integral of the score, for points `[n, d]` or `[d]`.

    Along the straight segment, by Gauss–Legendre quadrature; any path gives the same for a true score.
    """
    start, end = finite_array("start", start), finite_array("end", end)
    if not 1 <= max(start.ndim, end.ndim) <= 2 or start.shape[-1:] != end.shape[-1:]:
        raise ValueError(
            f"start, end: expected points [n, d] or [d] of one dimension, got {start.shape}, {end.shape}"
        )
    if start.ndim == end.ndim == 2 and 1 not in (len(start), len(end)) and len(start) != len(end):
        raise ValueError(f"start, end: expected as many points, got {len(start)} and {len(end)}")
    start, end = np.broadcast_arrays(start, end)
    x, w = np.polynomial.legendre.leggauss(whole_number("nodes", nodes))
    share, w = 0.5 * (x + 1.0), 0.5 * w
    first, last = np.atleast_2d(start), np.atleast_2d(end)
    score, t = _ready("score", score, t, first.shape[1])
    points = first[:, None] + share[:, None] * (last - first)[:, None]
    values = at_points(score, points.reshape(-1, first.shape[1]), t).reshape(points.shape)
    integral = np.einsum("q,nqd,nd->n", w, values, last - first)
    return integral if start.ndim == 2 else integral[0]


def _ready(name: str, function, t, dimension: int):
    """The field, checked in this dimension, and the time, at which it is known."""
    field, t = checked_function(name, function), finite_number("t", t)
    within("t", [t], known_times(function))
    probe(field, dimension)
    return field, t


def _along(field, curve, parameters, t):
    """v·dx/ds at the parameters."""

    def integrand(s, t):
        x, tangent = jax.jvp(lambda r: curve(r[0]), (s,), (jnp.ones_like(s),))
        return field(x, t) @ tangent

    return at_points(integrand, parameters[:, None], t)
