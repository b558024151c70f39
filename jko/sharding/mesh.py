"""Which devices hold the particles: a mesh of one axis, active within a `with` block."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from jko.errors import whole_number

AXIS = "particles"
_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)


@contextmanager
def over(devices=None):
    """Within the block, runs of particles use many devices: `with jko.sharding.over(8): jko.flow(...)`.

    `devices` is a number of them, a list of jax devices, or None for all there are, those of other processes
    among them. Every device holds a part of the particles, padded with some of no weight to equal parts; it
    computes their forces and their noise, and what a sum over all particles needs is exchanged. The numbers
    are those of one device: noise to the last bit, forces to rounding. Schemes that are not made for it, and
    fewer particles than devices, are refused. Raises ValueError for more devices than there are.
    """
    token = _mesh.set(Mesh(np.array(_chosen(devices)), (AXIS,), axis_types=(AxisType.Auto,)))
    try:
        yield _mesh.get()
    finally:
        _mesh.reset(token)


def active() -> Mesh | None:
    """The mesh of the innermost `over`, or None."""
    return _mesh.get()


def require_enough(n: int) -> None:
    """Refuse n particles on more than n devices."""
    mesh = active()
    if mesh is not None and n < mesh.size:
        raise ValueError(
            f"measure: {n} particles are fewer than the {mesh.size} devices: give more particles, "
            f"or jko.sharding.over({n}) at most"
        )


def _chosen(devices) -> list:
    there = jax.devices()
    if devices is None:
        return there
    if isinstance(devices, (list, tuple)):
        if not devices or not all(isinstance(device, jax.Device) for device in devices):
            raise TypeError(f"devices: expected a number or a list of jax devices, got {devices!r}")
        if len(set(devices)) < len(devices):
            twice = next(device for device in devices if devices.count(device) > 1)
            raise ValueError(f"devices: expected each device once, got {twice} more than once")
        return list(devices)
    count = whole_number("devices", devices)
    if count > len(there):
        raise ValueError(
            f"devices: expected at most the {len(there)} that jax sees, got {count}; on a CPU, "
            f'jax.config.update("jax_num_cpu_devices", {count}) at the start of the program makes more'
        )
    if count < len(there) and jax.process_count() > 1:
        raise ValueError(f"devices: a run of {jax.process_count()} processes takes all {len(there)} devices")
    return there[:count]
