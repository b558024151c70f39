"""Arrays to a mesh and back; without a mesh they stay as they are."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jko.sharding.mesh import AXIS


def spread(mesh: Mesh | None, positions: np.ndarray, weights: np.ndarray):
    """Positions `[n, d]` and weights `[n]` in equal parts on the devices, n padded by the last particle.

    The padding has weight 0, so that it enters no integral. Every process gives the whole arrays.
    """
    if mesh is None:
        return positions, weights
    missing = -len(positions) % mesh.size
    positions = np.concatenate([positions, np.repeat(positions[-1:], missing, axis=0)])
    weights = np.concatenate([weights, np.zeros(missing, weights.dtype)])
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return tuple(
        jax.make_array_from_callback(array.shape, sharding, lambda index, a=array: a[index])
        for array in (positions, weights)
    )


def gather(array, n: int | None = None) -> np.ndarray:
    """The whole of an array on every process, as numpy; its first n entries."""
    if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
        from jax.experimental import multihost_utils

        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)[:n]
