"""Sums of Gaussians over particles through a mesh: O(n) in place of O(n²).

A Gaussian of variance ε² is the convolution of two of variance ε²/2, and the trapezoidal rule on a mesh of
spacing ε/2 gives that convolution to 2e^{−2π²} = 5e-9 [TrefethenWeideman2014]. So charges are spread with the
narrow Gaussian and read off with it: the kernel that results is symmetric and positive definite, and its
gradient is that of the reading.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.loops.sums.tolerances import TOLERANCES

REACH = 9  # mesh points to each side: e^{−REACH²/4} = 2e-9 of the narrow Gaussian is left out
_MARGIN = 2 * REACH + 3  # mesh points beside the cloud, for windows at both ends and for interpolation


def mesh_size(x: np.ndarray, bandwidth: float) -> int:
    """How many mesh points to keep for particles `[n, d]`: a power of two, with room to move."""
    extent = np.ptp(np.asarray(x, dtype=float), axis=0) / (0.5 * bandwidth)
    needed = math.prod(float(n) for n in TOLERANCES.room * extent + _MARGIN)
    return max(TOLERANCES.least_mesh, 2 ** math.ceil(math.log2(needed)))


@partial(jax.jit, static_argnums=(3,))
def gaussian_mesh_sum(x: Array, charges: Array, bandwidth: Array, size: int):
    """(Σ_j q_j φ(x_i − x_j) `[n]`, its gradient in x_i `[n, d]`), φ the density of N(0, ε² I).

    ε is the bandwidth, a number.     `size` is the number of mesh points to keep, from `mesh_size`; particles
    that need more get NaN.
    """
    n, d = x.shape
    scaled = (x - x.mean(axis=0)) * (2.0 / bandwidth)
    extent = lax.stop_gradient(jnp.max(scaled, axis=0) - jnp.min(scaled, axis=0))
    room = jnp.where(jnp.prod(extent + _MARGIN) <= size, 1.0, jnp.nan).astype(x.dtype)
    shape = jnp.clip(extent, 0, size).astype(jnp.int32) + _MARGIN
    chunk = min(TOLERANCES.chunk, n)
    pad = -n % chunk
    blocks = jnp.pad(scaled, ((0, pad), (0, 0))).reshape(-1, chunk, d)
    weights = jnp.pad(charges, (0, pad)).reshape(-1, chunk)

    def spread(mesh: Array, block: tuple):
        points, q = block
        indices, values, _ = _stencil(points, shape)
        return mesh.at[indices].add(q[:, None] * values), None

    mesh, _ = lax.scan(spread, jnp.zeros(size, x.dtype), (blocks, weights))

    def read(points: Array):
        indices, values, offsets = _stencil(points, shape)
        field = mesh[indices] * values
        slopes = [-0.5 * jnp.sum(field * offset, axis=1) for offset in offsets]
        return jnp.sum(field, axis=1), jnp.stack(slopes, axis=1)

    # in units of the mesh the narrow Gaussian is N(0, 2I): its density twice, and back to x
    scale = room * (2.0 / bandwidth) ** d * (4.0 * math.pi) ** (-d)
    values, slopes = lax.map(read, blocks)
    return values.reshape(-1)[:n] * scale, slopes.reshape(-1, d)[:n] * (scale * 2.0 / bandwidth)


def _stencil(points: Array, shape: Array):
    """Flat mesh indices `[n, s^d]`, Gaussian values there, and the offsets point − mesh along each axis."""
    n, d = points.shape
    steps = jnp.arange(-REACH, REACH + 1, dtype=jnp.int32)
    nearest = jnp.round(points)
    offset = (points - nearest)[:, :, None] - steps.astype(points.dtype)  # [n, d, s]
    value = jnp.exp(-0.25 * offset**2)
    index = jnp.mod(nearest.astype(jnp.int32)[:, :, None] + steps, shape[:, None])
    flat = jnp.zeros((n, 1), jnp.int32)
    product = jnp.ones((n, 1), points.dtype)
    for axis in range(d):
        flat = (flat[:, :, None] * shape[axis] + index[:, axis, None, :]).reshape(n, -1)
        product = (product[:, :, None] * value[:, axis, None, :]).reshape(n, -1)
    return flat, product, [_along(offset[:, axis], axis, d) for axis in range(d)]


def _along(offset: Array, axis: int, d: int):
    n, size = offset.shape
    wide = offset.reshape(n, *(size if a == axis else 1 for a in range(d)))
    return jnp.broadcast_to(wide, (n, *([size] * d))).reshape(n, -1)
