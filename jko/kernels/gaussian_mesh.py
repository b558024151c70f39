"""Sums of Gaussians over particles through a mesh: O(n) in place of O(n²).

A Gaussian of variance ε² is the convolution of two of variance ε²/2, and the trapezoidal rule on a mesh of spacing
ε/2 gives that convolution to 2e^{−2π²} = 5e-9 [TrefethenWeideman2014]. So charges are spread with the narrow Gaussian and
read off with it: the kernel that results is symmetric and positive definite, and its gradient is that of the reading.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

REACH = 9  # mesh points to each side: e^{−REACH²/4} = 2e-9 of the narrow Gaussian is left out
_CHUNK = 4096


def mesh_shape(x, bandwidth: float) -> tuple[int, ...]:
    """Mesh points along each axis for particles `[n, d]`, with room to move, in steps of a quarter octave."""
    spacing = 0.5 * bandwidth
    needed = 1.25 * (np.ptp(np.asarray(x, dtype=float), axis=0) / spacing) + 4 * REACH
    return tuple(int(math.ceil(2.0 ** (math.ceil(4 * math.log2(n)) / 4))) for n in needed)


def fits(x, bandwidth: float, shape) -> bool:
    """Whether particles can be summed on a mesh of this shape without meeting their periodic images."""
    spacing = 0.5 * bandwidth
    return bool(
        np.all(np.ptp(np.asarray(x, dtype=float), axis=0) / spacing + 2 * REACH + 2 <= np.array(shape))
    )


@partial(jax.jit, static_argnums=(3,))
def gaussian_mesh_sum(x, charges, bandwidth, shape):
    """(Σ_j q_j φ(x_i − x_j) `[n]`, its gradient in x_i `[n, d]`), φ the density of N(0, ε² I), ε the bandwidth."""
    n, d = x.shape
    scaled = (x - x.mean(axis=0)) * (2.0 / bandwidth)
    size = min(_CHUNK, n)
    pad = -n % size
    blocks = jnp.pad(scaled, ((0, pad), (0, 0))).reshape(-1, size, d)
    weights = jnp.pad(charges, (0, pad)).reshape(-1, size)

    def spread(mesh, block):
        points, q = block
        indices, values, _ = _stencil(points, shape)
        return mesh.at[indices].add(q[:, None] * values), None

    mesh, _ = lax.scan(spread, jnp.zeros(math.prod(shape), x.dtype), (blocks, weights))

    def read(points):
        indices, values, offsets = _stencil(points, shape)
        field = mesh[indices] * values
        slopes = -0.5 * jnp.stack([jnp.sum(field * offset, axis=1) for offset in offsets], axis=1)
        return jnp.sum(field, axis=1), slopes

    # in units of the mesh the narrow Gaussian is N(0, 2I): its density twice, and back to x
    scale = (2.0 / bandwidth) ** d * (4.0 * math.pi) ** (-d)
    values, slopes = lax.map(read, blocks)
    slopes = slopes.reshape(-1, d)[:n] * (2.0 / bandwidth)
    return values.reshape(-1)[:n] * scale, slopes * scale


def _stencil(points, shape):
    """Flat mesh indices `[n, s^d]`, Gaussian values there, and the offsets point − mesh along each axis."""
    d = points.shape[1]
    steps = jnp.arange(-REACH, REACH + 1)
    nearest = jnp.round(points)
    offset = (points - nearest)[:, :, None] - steps.astype(points.dtype)  # [n, d, s]
    value = jnp.exp(-0.25 * offset**2)
    index = jnp.mod(nearest.astype(jnp.int32)[:, :, None] + steps, jnp.asarray(shape, jnp.int32)[:, None])
    flat = jnp.zeros((points.shape[0], 1), jnp.int32)
    product = jnp.ones((points.shape[0], 1), points.dtype)
    for axis in range(d):
        flat = (flat[:, :, None] * shape[axis] + index[:, axis, None, :]).reshape(points.shape[0], -1)
        product = (product[:, :, None] * value[:, axis, None, :]).reshape(points.shape[0], -1)
    size = 2 * REACH + 1
    offsets = []
    for axis in range(d):
        wide = offset[:, axis].reshape(-1, *(size if a == axis else 1 for a in range(d)))
        offsets.append(jnp.broadcast_to(wide, (points.shape[0], *([size] * d))).reshape(points.shape[0], -1))
    return flat, product, offsets
